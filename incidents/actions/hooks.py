"""What follows from other apps' events, and what goes out to other people's machines."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from identity.models import Scope
from incidents.actions import opening
from incidents.models import Incident, Notification, WebhookEndpoint
from incidents.severity import Impact, Urgency
from inventory.models import Component, Environment
from operations.models import Operation
from portal.dispatch import nudge
from portal.lifecycle import Actor


@transaction.atomic
def open_for_stuck_operation(event: Any, *, by: Actor) -> Incident | None:
    """Open (once per operation) and classify an incident about an operation that cannot be undone."""
    operation = Operation.objects.filter(pk=event.subject_id).first()
    target = operation.target if operation else ""
    component = Component.objects.filter(slug=target).select_related("scope", "environment", "service").first()
    scope = component.scope if component else Scope.objects.filter(pk=event.scope_id).first()
    environment = component.environment if component else _environment(scope)
    key = f"operation:{event.subject_id}"
    if scope is None or environment is None or Incident.objects.working().filter(dedupe_key=key).exists():
        return None
    incident = opening.create(
        by=by,
        environment=environment,
        component=component,
        unknown_reason="" if component else f"The operation {event.subject_label} names no component."[:300],
        scope=scope,
        title=f"Operation is stuck: {event.subject_label}"[:200],
        summary=event.reason or "An operation could be neither finished nor undone.",
        dedupe_key=key,
    )
    reason = "An operation that cannot be undone leaves the component half changed."
    return opening.classify(incident, by=by, impact=Impact.DEGRADED, urgency=Urgency.NOW, reason=reason, rule="stuck")


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
