"""What every verb of an incident does the same way: milestones, facts without a move, and the event."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db.models import F

from incidents.lifecycle import WORKING
from incidents.models import Incident, Milestone
from portal import clock
from portal.errors import IllegalTransition, Invalid
from portal.lifecycle import Actor, authorize


def milestone(incident: Incident, kind: str, *, by: Actor, at: datetime | None = None) -> Milestone:
    """Append when ``kind`` was reached (now, when ``at`` is left out)."""
    return Milestone.objects.create(incident=incident, kind=kind, at=at or clock.now(), actor_label=str(by)[:200])


def write(
    incident: Incident, permission: str, *, by: Actor, states: tuple[str, ...] = WORKING, **values: Any
) -> Incident:
    """Authorize, then change facts that are not the state, by compare-and-set on the version."""
    authorize(by, permission, incident)
    rows = Incident.objects.filter(pk=incident.pk, state__in=states, row_version=incident.row_version)
    if not rows.update(row_version=F("row_version") + 1, **values):
        if not Incident.objects.filter(pk=incident.pk, state__in=states).exists():
            raise IllegalTransition(f"This is not possible while {incident.state_info.label.lower()}.")
        raise IllegalTransition("Somebody changed it a moment ago. Look again, then decide.")
    incident.row_version += 1
    for name, value in values.items():
        setattr(incident, name, value)
    return incident


def need(problems: list[str], what: str) -> None:
    """Refuse with every problem at once, when there is any."""
    if problems:
        raise Invalid(f"{what} is not possible yet.", problems)


def person_of(by: Actor) -> Any:
    """The person behind the actor; a machine cannot take what needs a person."""
    person = getattr(by, "person_id", None)
    if person is None:
        raise Invalid("This needs a person; a service account or the portal itself cannot do it.")
    return person
