"""Signals: what is received is committed whole, with the page that follows from it, before anybody is told "yes"."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db import connection, transaction

from incidents import severity
from incidents.actions import opening, working
from incidents.models import Episode, Incident, RawSignal, SignalSource
from incidents.payload import MAX_BODY, Alert, Parsed, parse
from incidents.queries import Place, locate
from portal import clock, events
from portal.lifecycle import Actor

INTAKE_LOCK = 0x1A7A4E  # any fixed number: one intake at a time, so that two cannot open one root twice
KEPT_OF_OVERSIZED = 64 * 1024
NOT_WORKING_YET = "detected"


@dataclass
class Received:
    """The stored body and what came of it."""

    raw: RawSignal
    incidents: list[Incident] = field(default_factory=list)
    duplicate: bool = False


@transaction.atomic
def receive(source: SignalSource, body: bytes, *, by: Actor, content_type: str = "") -> Received:
    """Take one Alertmanager body of ``source``: raw signal, episodes, incidents, escalations and due pages, or nothing.

    A body that was stored before changes nothing. One that cannot be read is stored too, with what is wrong with it;
    ``raw.status`` is the answer to give. No network is touched.
    """
    _one_at_a_time()
    now = clock.now()
    digest = hashlib.sha256(body).hexdigest()
    if known := RawSignal.objects.filter(source=source, digest=digest).first():
        Episode.objects.filter(raw=known, resolved_at=None).update(last_seen_at=now)
        seen = Incident.objects.filter(episodes__raw=known).distinct().order_by("number")
        return Received(known, list(seen), duplicate=True)
    large = len(body) > MAX_BODY
    parsed = Parsed(problems=["The body is larger than 1 MB."], status=413) if large else parse(body)
    outcome = RawSignal.Outcome.PARTLY if parsed.problems else RawSignal.Outcome.ACCEPTED
    raw = RawSignal.objects.create(
        source=source,
        digest=digest,
        body=body[:KEPT_OF_OVERSIZED] if large else body,
        truncated=large,
        content_type=content_type.replace("\0", "")[:120],
        outcome=outcome if parsed.alerts else RawSignal.Outcome.REFUSED,
        status=parsed.status,
        problems=parsed.problems[:50],
    )
    return Received(raw, take(raw, parsed.alerts, by=by))


@transaction.atomic
def find(slug: str, alert: Alert, *, by: Actor) -> list[Incident]:
    """A finding of the portal itself, kept and followed like a signal from outside."""
    _one_at_a_time()
    source, _ = SignalSource.objects.get_or_create(slug=slug, defaults={"kind": SignalSource.Kind.INTERNAL})
    facts = {"status": "firing" if alert.firing else "resolved", "labels": alert.labels}
    facts |= {
        "annotations": alert.annotations,
        "startsAt": alert.starts_at.isoformat(),
        "fingerprint": alert.fingerprint,
    }
    body = json.dumps(facts, sort_keys=True).encode()
    digest = hashlib.sha256(body).hexdigest()
    raw, fresh = RawSignal.objects.get_or_create(
        source=source, digest=digest, defaults={"body": body, "outcome": RawSignal.Outcome.ACCEPTED, "status": 200}
    )
    return take(raw, [alert], by=by) if fresh else []


def _one_at_a_time() -> None:
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_advisory_xact_lock(%s)", [INTAKE_LOCK])


def take(raw: RawSignal, alerts: Iterable[Alert], *, by: Actor) -> list[Incident]:
    """Bring every alert to its episode and every new episode to its incident; returns the incidents touched."""
    fresh: list[tuple[Episode, Place]] = []
    touched: dict[Any, Incident] = {}
    for alert in alerts:
        episode, is_new = _episode(raw, alert)
        if is_new and alert.firing:
            fresh.append((episode, locate(alert.labels, raw.source)))
        elif episode.incident:
            touched[episode.incident.pk] = episode.incident
    keys = {place.root(raw.source, episode.name) for episode, place in fresh}
    # Rows first, in one order, then the audit trail's lock: a verb on one of them goes the same way.
    list(Incident.objects.working().filter(dedupe_key__in=keys).order_by("pk").select_for_update(no_key=True))
    for episode, place in fresh:
        incident = _incident(episode, place, by=by)
        touched[incident.pk] = incident
    for incident in touched.values():
        events.publish(f"incidents.incident:{incident.pk}")
    return sorted(touched.values(), key=lambda incident: incident.number)


def _episode(raw: RawSignal, alert: Alert) -> tuple[Episode, bool]:
    """The episode of an alert. A firing after the episode's end is an old message and changes nothing."""
    now = clock.now()
    episode, is_new = Episode.objects.select_related("incident").get_or_create(
        source=raw.source,
        fingerprint=alert.fingerprint,
        starts_at=alert.starts_at,
        defaults={
            "raw": raw,
            "name": alert.name,
            "severity_label": alert.labels.get("severity", "")[:40],
            "labels": alert.labels,
            "annotations": alert.annotations,
            "resolved_at": None if alert.firing else now,
        },
    )
    if not is_new and episode.resolved_at is None:
        episode.last_seen_at = now
        episode.resolved_at = None if alert.firing else now
        episode.save(update_fields=["last_seen_at", "resolved_at"])
    return episode, is_new


def _incident(episode: Episode, place: Place, *, by: Actor) -> Incident:
    """The incident that the episode joins: the open one of its root, a resolved one still watched, or a new one."""
    key = place.root(episode.source, episode.name)
    incident = Incident.objects.working().filter(dedupe_key=key).select_related("scope", "component__service").first()
    if incident is None:
        past = Incident.objects.filter(dedupe_key=key).order_by("-number").select_related("scope", "component__service")
        last = past.first()
        if last is not None and last.watched:
            incident = working.regress(last, by=by, reason=f"“{episode.name}” fires again.")
        else:
            incident = opening.create(
                by=by,
                environment=place.environment,
                component=place.component,
                unknown_reason=place.reason,
                scope=place.scope,
                title=_title(episode, place),
                summary=episode.annotations.get("description", "")[:20_000],
                dedupe_key=key,
                started_at=episode.starts_at,
                recurrence_of=last if last is not None and last.state != "cancelled" else None,
            )
    episode.incident, episode.component = incident, place.component
    episode.save(update_fields=["incident", "component"])
    _weigh(incident, episode, place)
    return incident


def _title(episode: Episode, place: Place) -> str:
    where = place.component.slug if place.component else place.environment.slug
    return (episode.name if where in episode.name else f"{episode.name} ({where})")[:200]


def _weigh(incident: Incident, episode: Episode, place: Place) -> None:
    """Classify by the signal, or raise the severity when this signal is worse than what is known."""
    tier = place.component.service.tier if place.component else None
    impact, urgency = severity.propose(episode.severity_label, tier)
    rule = f"severity label “{episode.severity_label}”, service tier {tier or 'unknown'}"
    if incident.state == NOT_WORKING_YET:
        opening.classify(incident, by=opening.RULES, impact=impact, urgency=urgency, reason=rule, rule=rule)
        return
    proposed = severity.decide(impact, urgency, production=incident.severity_cap == 1)
    if incident.severity and proposed < incident.severity:
        reason = f"“{episode.name}” is worse: {rule}."
        opening.reclassify(incident, by=opening.RULES, impact=impact, urgency=urgency, reason=reason)
