"""Any state of an incident, reached by the real verbs."""

from __future__ import annotations

from typing import Any

from incidents import actions
from incidents.actions.ending import CLOSER
from incidents.actions.opening import RULES
from incidents.models import Episode, Incident
from inventory.models import Component
from tests import world


def opened(estate: Any, **changes: Any) -> Incident:
    """Reported by a person, on the estate's component unless told otherwise."""
    component = changes.pop("component", estate.component)
    facts = {"title": "Something is wrong", "component": component, **changes}
    environment = facts.pop("environment", component.environment if component else world.environment())
    return actions.open(environment, by=facts.pop("by", estate.first), **facts)


def classified(estate: Any, *, impact: int = 1, urgency: int = 1, **changes: Any) -> Incident:
    return actions.classify(opened(estate, **changes), by=estate.first, impact=impact, urgency=urgency)


def mitigating(estate: Any, **changes: Any) -> Incident:
    incident = classified(estate, **changes)
    actions.take_command(incident, by=estate.first)
    return actions.mitigate(incident, by=estate.first, mitigation="Restarted it")


def investigating(estate: Any, **changes: Any) -> Incident:
    return actions.investigate(mitigating(estate, **changes), by=estate.first, evidence="The error rate is 0 again")


def resolved(estate: Any, **changes: Any) -> Incident:
    facts = {"diagnosis": "A leak", "fix": "permanent", "validation": "An hour of clean readings"}
    return actions.resolve(investigating(estate, **changes), by=estate.first, **facts)


def post_mortem(estate: Any, **changes: Any) -> Incident:
    texts = dict.fromkeys(("summary", "impact", "root_cause", "went_well", "went_poorly"), "Said.")
    return actions.write_post_mortem(
        resolved(estate, **changes), by=estate.first, no_actions_reason="Fixed for good", **texts
    )


def improving(estate: Any, **changes: Any) -> Incident:
    return actions.improve(post_mortem(estate, **changes), by=estate.owner)


def closing(estate: Any, **changes: Any) -> Incident:
    """Asked to close while an alert has come back."""
    incident = improving(estate, **changes)
    source = estate.source
    Episode.objects.create(
        source=source, fingerprint="late", starts_at=incident.detected_at, incident=incident, name="x"
    )
    return actions.close(incident, by=estate.owner, runbooks="None had to change", ticket="OPS-1")


def closed(estate: Any, **changes: Any) -> Incident:
    return actions.close(improving(estate, **changes), by=estate.owner, runbooks="None had to change", ticket="OPS-1")


def cancelled(estate: Any, **changes: Any) -> Incident:
    return actions.cancel(opened(estate, **changes), by=estate.first, reason="A false alarm")


def merged(estate: Any, **changes: Any) -> Incident:
    other = opened(estate, component=world.component("production/us-central/play"))
    return actions.merge(opened(estate, **changes), by=estate.first, into=other, reason="The same cause")


def bare_classified(estate: Any, **changes: Any) -> Incident:
    """Between classification and its consequence; nobody sees it, because both are one transaction."""
    incident = opened(estate, **changes)
    Incident.objects.filter(pk=incident.pk).update(
        state="classified", impact=1, urgency=1, severity=1, classified_at=incident.detected_at
    )
    incident.refresh_from_db()
    return incident


REACH = {
    "detected": opened,
    "classified": bare_classified,
    "response_active": classified,
    "support_handling": lambda estate, **facts: classified(estate, impact=3, urgency=2, **facts),
    "mitigating": mitigating,
    "investigating": investigating,
    "resolved": resolved,
    "post_mortem": post_mortem,
    "improving": improving,
    "closing": closing,
    "closed": closed,
    "cancelled": cancelled,
    "merged": merged,
}
__all__ = ["CLOSER", "REACH", "RULES", "Component"]
