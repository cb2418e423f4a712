"""News of other apps that make an incident, and our own news for whoever subscribed outside."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from incidents.actions import hooks, intake
from incidents.payload import Alert
from inventory.models import Component
from portal import events

COLLECTOR = events.System("collector")
ENGINE = events.System("operations")


@events.subscribe("observability.change_health")
def health_changed(event: Any) -> None:
    """A component that turned down is an alert of the portal's own; healthy again ends it (not the incident)."""
    state = event.after.get("state")
    if event.subject_type != "inventory.component" or state not in ("down", "healthy"):
        return
    component = Component.objects.filter(pk=event.subject_id).first()
    if component is None or (state == "healthy" and not _firing("observability", component.slug)):
        return
    starts_at = _firing("observability", component.slug) or event.at
    reason = str(event.after.get("reason") or "The collector cannot reach it.")
    labels = {"alertname": "ComponentDown", "component": component.slug, "severity": "critical"}
    annotations = {"summary": f"{component.name} is down", "description": reason[:2000]}
    alert = Alert(state == "down", labels, annotations, starts_at, component.slug)
    intake.find("observability", alert, by=COLLECTOR)


def _firing(source: str, fingerprint: str) -> datetime | None:
    from incidents.models import Episode

    episode = Episode.objects.filter(source__slug=source, fingerprint=fingerprint, resolved_at=None).first()
    return episode.starts_at if episode else None


@events.subscribe(*hooks.NEEDS)
def operation_needs_people(event: Any) -> None:
    """An operation whose undoing failed needs people at once, one that halted needs a decision."""
    hooks.open_for_operation(event, by=ENGINE)


@events.subscribe("*")
def tell_endpoints(event: Any) -> None:
    """Each event of an incident becomes due at every webhook endpoint that is switched on."""
    if event.verb.startswith("incidents.") and event.subject_type == "incidents.incident":
        hooks.queue_webhooks(event)
