"""The verbs of drift: keep what differs, and decide what is to happen with it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import prefetch_related_objects

from inventory import lifecycle
from inventory.actions.operate import operate
from inventory.discovery import remedies
from inventory.discovery.comparing import Difference
from inventory.models import Component, Drift, Sighting
from operations import lifecycle as operation_states
from portal import clock, events
from portal.dispatch import nudge
from portal.errors import Conflict, Invalid
from portal.lifecycle import Actor, authorize, move, move_many

PERMISSION = "inventory.discover"
TOPIC = "inventory.drift"
LONGEST = timedelta(days=366)
UNDECIDED: dict[str, Any] = {"decided_at": None, "decided_by": "", "exempt_until": None, "operation": None}
_TOLD = ("declared", "observed", "others", "source", "field")


@transaction.atomic
def keep(found: Iterable[Difference], *, by: Actor) -> int:
    """Make the standing drifts those of ``found``: new ones are opened, those that ended are settled.

    Only the portal itself may. A difference that only old readings show opens nothing and settles nothing. A decision
    holds for the values it was made about; when others are seen, when an exemption is over, or when an operation ended
    without effect, the drift is open again. Returns how many were opened, reopened or settled.
    """
    authorize(by, PERMISSION)
    wanted = {difference.key: difference for difference in found}
    standing = {
        row.key: row for row in Drift.objects.standing().select_related("operation").select_for_update(of=("self",))
    }
    opened = _open([one for key, one in wanted.items() if key not in standing and one.certain], by)
    ended = _settle([row for key, row in standing.items() if key not in wanted], by)
    changes = opened + ended + _follow([(row, wanted[key]) for key, row in standing.items() if key in wanted], by)
    if changes:
        events.publish(TOPIC)
    return changes


def _open(fresh: list[Difference], by: Actor) -> int:
    components = Component.objects.in_bulk([one.component for one in fresh if one.component])
    sightings = Sighting.objects.in_bulk([one.sighting for one in fresh if one.sighting])
    rows = []
    for one in fresh:
        about = components.get(one.component) or sightings.get(one.sighting)
        if about is None:
            continue  # removed since it was looked at
        row = Drift(key=one.key, kind=one.kind, scope_id=about.scope_id, **_told(one))
        row.component, row.sighting = components.get(one.component), sightings.get(one.sighting)
        rows.append(row)
    Drift.objects.bulk_create(rows, batch_size=1000)
    told = ((row, {"declared": row.declared}, {"seen": row.observed}) for row in rows)
    events.record_many("inventory.detect", told, by=by)
    return len(rows)


def _told(one: Difference) -> dict[str, Any]:
    told = {"declared": one.declared, "observed": one.observed, "source": one.source, "field": one.field[:255]}
    return told | {"others": [list(other) for other in one.others]}


def _settle(rows: list[Drift], by: Actor) -> int:
    move_many(rows, "settle", by=by, settled_at=clock.now(), **UNDECIDED)
    events.record_many("inventory.settle", ((row, {}, {}) for row in _named(rows)), by=by)
    return len(rows)


def _named(rows: list[Drift]) -> list[Drift]:
    """With what they are about, which their events name."""
    prefetch_related_objects(rows, "component", "sighting")
    return rows


def _follow(pairs: list[tuple[Drift, Difference]], by: Actor) -> int:
    """Bring standing drifts up to date; returns how many are open again."""
    changed, reasons = [], defaultdict(list)
    for row, now in pairs:
        told = _told(now)
        values_differ = (row.observed, row.declared) != (told["observed"], told["declared"])
        if now.certain and any(getattr(row, name) != told[name] for name in _TOLD):
            for name, value in told.items():
                setattr(row, name, value)
            changed.append(row)
        if row.state != lifecycle.OPEN:
            another = values_differ and now.certain and now.kind != "stale"
            if why := "Another value is seen now." if another else _over(row):
                reasons[why].append(row)
    Drift.objects.bulk_update(changed, _TOLD, batch_size=1000)
    for why, rows in reasons.items():
        move_many(rows, "reopen", by=by, **UNDECIDED)
        events.record_many("inventory.reopen", ((row, {}, {}) for row in _named(rows)), by=by, reason=why)
    return sum(map(len, reasons.values()))


def _over(row: Drift) -> str:
    """Why a decision no longer holds."""
    if row.exempt_until and row.exempt_until <= clock.now():
        return "The exemption is over."
    operation = row.operation
    if operation and operation.state in operation_states.operation.terminal:
        if operation.state != operation_states.DONE:
            return f"{operation} ended without effect."
        if operation.finished_at and operation.finished_at < clock.now() - timedelta(minutes=5):
            return f"{operation} is done, and the difference is still there."
    return ""


@transaction.atomic
def accept(drift: Drift, *, by: Actor, reason: str = "") -> Drift:
    """What is seen is right: the declaration is to change.

    A row that a catalog declared waits for the change of its file (``inventory.catalog.proposal`` gives it as a
    diff); a row that was made by hand is changed at once. It settles when the next comparison finds no difference.
    """
    authorize(by, "inventory.accept", drift)
    _sensible(drift, "accept")
    move(drift, "accept", by=by, reason=reason, **_decided(by))
    component = drift.component
    at_once = component is not None and not component.declared_by and not drift.field.startswith("needs ")
    if at_once:
        assert component is not None
        _change(component, drift)
    after = {"field": drift.field, "value": drift.observed, "changed": at_once}
    events.record("inventory.accept", drift, by=by, reason=reason, before={"value": drift.declared}, after=after)
    nudge("inventory.drift")
    return drift


def _change(component: Component, drift: Drift) -> None:
    """Give a row that nobody's catalog declares the value that is seen."""
    if drift.kind == Drift.Kind.MISSING:
        component.status = Component.Status.RETIRED
        component.connection = ""
    elif drift.field == "kind":
        component.kind = str(drift.observed)
        component.attributes = {
            name: value for name, value in component.attributes.items() if name in _known(component)
        }
    elif drift.field in ("software", "version"):
        setattr(component, drift.field, drift.observed)
    else:
        component.attributes = {**component.attributes, drift.field: drift.observed}
    try:
        component.save(update_fields=["status", "connection", "software", "version", "kind", "attributes"])
    except IntegrityError:
        raise Conflict("What is seen is nothing that this kind of component may have.") from None


def _known(component: Component) -> set[str]:
    return set(component.spec.attributes)


def plan(drift: Drift, *, by: Actor, reason: str = "") -> Drift:
    """Ask for the operation that brings reality back to what is declared; it is a draft that somebody confirms.

    ``by`` must also hold the right that the plan itself needs. Raises ``Conflict`` with the reason when no plan can do
    it. Must not be called inside a transaction, because planning looks at the world.
    """
    authorize(by, "inventory.plan", drift)
    _sensible(drift, "plan")
    subject, remedy = remedy_for(drift)
    operation = operate(
        subject, by=by, plan=remedy.plan, params=remedy.params, reason=reason or str(drift), draft=True, cause=drift
    )
    with transaction.atomic():
        move(drift, "plan", by=by, reason=reason, **{**_decided(by), "operation": operation})
        after = {"operation": str(operation), "plan": remedy.plan}
        events.record("inventory.plan", drift, by=by, reason=reason, after=after)
    return drift


def remedy_for(drift: Drift) -> tuple[Component, remedies.Remedy]:
    """The plan for a drift and the component it is asked for on; ``Conflict`` says why there is none."""
    component = drift.component
    if component is None:
        raise Conflict(remedies.NO_PLAN[drift.kind])
    rows = Sighting.objects.filter(component=component, source=drift.source).exclude(state="gone")
    seen = rows.order_by("key").first()
    fields = {name: held["value"] for name, held in seen.fields.items()} if seen else {}
    key = seen.key if seen and not component.connection else ""
    if component.kind == Component.Kind.APP and not key:
        key, seen = _process_of(component)
    case = remedies.Case(component.kind, drift.field, drift.declared, fields, key)
    try:
        found = remedies.remedy(drift.kind, case)
    except remedies.NoRemedy as none:
        raise Conflict(str(none)) from None
    subject = component
    if found.at_source and seen:
        at = Component.objects.filter(connection=seen.source).order_by("slug").first()
        if at is None:
            raise Conflict(f"No component is declared for {seen.source}, on which the plan would act.")
        subject = at
    return subject, found


def _process_of(component: Component) -> tuple[str, Sighting | None]:
    """The process of PM2 that serves for an application: that of the slot with the traffic."""
    own = Sighting.objects.filter(component=component, source=component.connection, key="").first()
    slot = own.value("slot") if own else None
    claims = [claim for claim in (own.claims if own else ()) if claim.endswith(f"-{slot}") and "#process/" in claim]
    if not claims:
        return "", None
    source, _, key = claims[0].partition("#")
    return key, Sighting.objects.filter(source=source, key=key).first()


@transaction.atomic
def exempt(drift: Drift, *, by: Actor, until: datetime, reason: str) -> Drift:
    """Allow the difference until ``until``, for a year at most; then it is open again.

    It holds for the values that are seen now. Raises ``Invalid`` for a date that is over or too far, and without a
    reason.
    """
    authorize(by, "inventory.exempt", drift)
    problems: dict[str, list[str]] = {}
    if not clock.now() < until <= clock.now() + LONGEST:
        problems["until"] = [f"It must lie ahead, at most {LONGEST.days} days."]
    if not reason.strip():
        problems["reason"] = ["Say why: whoever reads it later will ask."]
    if problems:
        raise Invalid("This exemption cannot be given.", fields=problems)
    move(drift, "exempt", by=by, reason=reason, **{**_decided(by), "exempt_until": until})
    events.record("inventory.exempt", drift, by=by, reason=reason, after={"until": until.isoformat()})
    return drift


@transaction.atomic
def revoke(drift: Drift, *, by: Actor, reason: str = "") -> Drift:
    """Take a decision back; the drift is open again. An operation that was planned is not touched."""
    before = {"state": drift.state}
    move(drift, "revoke", by=by, reason=reason, **UNDECIDED)
    events.record("inventory.revoke", drift, by=by, reason=reason, before=before)
    return drift


def _decided(by: Actor) -> dict[str, Any]:
    return {**UNDECIDED, "decided_at": clock.now(), "decided_by": str(by)[:200]}


def _sensible(drift: Drift, verb: str) -> None:
    if reason := remedies.against(drift, verb):
        raise Conflict(reason)
