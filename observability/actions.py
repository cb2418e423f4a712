"""The verbs of observability: keep readings, and announce a change of health."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from datetime import datetime

import structlog
from django.db import transaction

from inventory.models import Component
from observability.health import BADNESS, HEALTHY, Finding
from observability.models import ComponentHealth, Sample
from portal import events
from portal.lifecycle import Actor, authorize

log = structlog.get_logger(__name__)
PERMISSION = "observability.report"
TOPIC = "observability.health"
CONFIRMED_BY = 2
"""Bad news is announced when this many readings in a row agree; good news at once."""
_KEPT = ("state", "readings", "observed_at", "since", "version", "latency_ms", "facts", "numbers", "error")


def report(findings: Sequence[Finding], *, by: Actor) -> int:
    """Keep the findings, newest per component, and announce each change of health.

    Only the portal itself may report. All readings are written in one transaction; each announcement has one of its
    own, so that a receiver that fails for one component holds up no other (it is announced again with the next
    reading). Browsers are told when something they show has changed. Returns how many changes were announced.
    """
    authorize(by, PERMISSION)
    rows = _keep(findings)
    announced = 0
    for row in rows:
        if row.state == row.announced or (row.state != HEALTHY and row.readings < CONFIRMED_BY):
            continue
        try:
            announced += change_health(row, by=by)
        except Exception:
            log.exception("announcement_failed", component=str(row.component_id))
    return announced


@transaction.atomic
def change_health(health: ComponentHealth, *, by: Actor) -> bool:
    """Announce that a component's health is no longer what was last announced.

    The event is on the component: ``before={"state"}``, ``after={"state", "reason", "readings", "version"}``. Whoever
    subscribes to it (incidents) runs in this transaction. Returns whether it was announced: not when another process
    has done so already.
    """
    authorize(by, PERMISSION, health.component)
    before = health.announced
    rows = ComponentHealth.objects.filter(pk=health.pk, announced=before)
    if before == health.state or not rows.update(announced=health.state):
        return False
    health.announced = health.state
    facts = {"state": health.state, "reason": health.error, "readings": health.readings, "version": health.version}
    events.record(
        "observability.change_health",
        health.component,
        by=by,
        reason=health.error,
        before={"state": before},
        after=facts,
    )
    return True


@transaction.atomic
def _keep(findings: Sequence[Finding]) -> list[ComponentHealth]:
    """Write the newest reading of each component; returns the rows written, each with its component."""
    newest = {finding.component_id: finding for finding in sorted(findings, key=lambda finding: finding.at)}
    components = Component.objects.select_related("health").in_bulk(list(newest))
    written: list[ComponentHealth] = []
    visible = False
    for component_id, finding in newest.items():
        if component_id not in components:
            continue  # removed since it was looked at
        component = components[component_id]
        row = getattr(component, "health", None) or ComponentHealth(component=component)
        if row.observed_at is None or row.observed_at < finding.at:
            visible |= row.is_stale or (row.state, row.version) != (finding.state, finding.version)
            written.append(_updated(row, finding))
    ComponentHealth.objects.bulk_create(
        written, update_conflicts=True, unique_fields=["component"], update_fields=_KEPT
    )
    _sample({row.component_id: newest[row.component_id] for row in written})
    if visible:
        events.publish(TOPIC)
    return written


def _updated(row: ComponentHealth, finding: Finding) -> ComponentHealth:
    same = row.observed_at is not None and row.state == finding.state
    row.readings = row.readings + 1 if same else 1
    row.since = row.since if same else finding.at
    row.state, row.observed_at, row.error = finding.state, finding.at, finding.reason
    row.version, row.latency_ms = finding.version, finding.latency_ms
    row.facts, row.numbers = finding.facts, finding.numbers
    return row


def _sample(findings: dict[uuid.UUID, Finding]) -> None:
    """Fold the readings into their minute. One process at a time reports for a component, so no count is lost."""
    minutes = {key: _minute(finding.at) for key, finding in findings.items()}
    present = {
        (row.component_id, row.minute): row
        for row in Sample.objects.filter(component__in=minutes, minute__in=set(minutes.values()))
    }
    rows = []
    for key, finding in findings.items():
        row = present.get((key, minutes[key])) or Sample(
            component_id=key, minute=minutes[key], state=finding.state, readings=0
        )
        row.readings += 1
        row.state = max(row.state, finding.state, key=BADNESS.__getitem__)
        row.latency_ms = max(
            (value for value in (row.latency_ms, finding.latency_ms) if value is not None), default=None
        )
        rows.append(row)
    fields = ["state", "readings", "latency_ms"]
    Sample.objects.bulk_create(rows, update_conflicts=True, unique_fields=["component", "minute"], update_fields=fields)


def _minute(at: datetime) -> datetime:
    return at.replace(second=0, microsecond=0)
