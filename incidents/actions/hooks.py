"""What follows from other apps' events, and what goes out to other people's machines."""

from __future__ import annotations

from typing import Any, NamedTuple

from django.db import transaction

from identity.models import Scope
from incidents.actions import opening
from incidents.models import Incident, Notification, WebhookEndpoint
from incidents.severity import Impact, Urgency
from inventory.models import Component, Environment
from operations.models import Operation
from portal.dispatch import nudge
from portal.lifecycle import Actor


class Need(NamedTuple):
    """What an incident about an operation says, and how fast somebody has to come."""

    title: str
    urgency: Urgency
    reason: str


# Whoever wanted to decide about a failed step may have gone home since, and the target stays reserved until somebody
# does. What was done has had its effect as planned, so that can wait longer than what could not even be taken back.
NEEDS = {
    "operations.stick": Need(
        "Operation is stuck", Urgency.NOW, "An operation that cannot be undone leaves the component half changed."
    ),
    "operations.halt": Need(
        "Operation has halted", Urgency.HOURS, "A step failed, what was done stands, and a person has to decide."
    ),
}


@transaction.atomic
def open_for_operation(event: Any, *, by: Actor) -> Incident | None:
    """Open (once per operation) and classify an incident about one that needs a person; raise it when it got worse."""
    need = NEEDS[event.verb]
    operation = Operation.objects.filter(pk=event.subject_id).first()
    target = operation.target if operation else ""
    component = Component.objects.filter(slug=target).select_related("scope", "environment", "service").first()
    scope = component.scope if component else Scope.objects.filter(pk=event.scope_id).first()
    environment = component.environment if component else _environment(scope)
    key = f"operation:{event.subject_id}"
    if scope is None or environment is None:
        return None
    if known := Incident.objects.working().filter(dedupe_key=key).first():
        return _raised(known, need, by=by)
    incident = opening.create(
        by=by,
        environment=environment,
        component=component,
        unknown_reason="" if component else f"The operation {event.subject_label} names no component."[:300],
        scope=scope,
        title=f"{need.title}: {event.subject_label}"[:200],
        summary=event.reason or "An operation could be neither finished nor undone.",
        dedupe_key=key,
    )
    return opening.classify(
        incident, by=by, impact=Impact.DEGRADED, urgency=need.urgency, reason=need.reason, rule=event.verb
    )


def _raised(incident: Incident, need: Need, *, by: Actor) -> Incident:
    if incident.urgency is None or incident.urgency <= need.urgency:
        return incident
    impact = min(incident.impact or Impact.DEGRADED, Impact.DEGRADED)
    return opening.reclassify(incident, by=by, impact=impact, urgency=need.urgency, reason=need.reason)


def _environment(scope: Scope | None) -> Environment | None:
    return Environment.objects.filter(slug=scope.environment).first() if scope else None


def queue_webhooks(event: Any) -> None:
    """One due message per endpoint that is switched on, in the event's own transaction."""
    endpoints = list(WebhookEndpoint.objects.filter(is_active=True))
    if not endpoints:
        return
    incident = Incident.objects.get(pk=event.subject_id)
    data = {"incident": incident.reference, "title": incident.title, "state": incident.state}
    data |= {"severity": incident.severity, "by": event.actor_label, "reason": event.reason, "after": event.after}
    payload = {"type": event.verb, "timestamp": event.at.isoformat(), "data": data}
    for endpoint in endpoints:
        Notification.objects.create(
            kind=Notification.Kind.WEBHOOK,
            incident=incident,
            endpoint=endpoint,
            dedupe_key=f"{event.pk}:{endpoint.pk}",
            payload=payload,
        )
    nudge("incidents.post")
