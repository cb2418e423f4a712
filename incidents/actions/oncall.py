"""Changing who is on call."""

from __future__ import annotations

from datetime import UTC, datetime

from django.db import IntegrityError, transaction
from django.db.backends.postgresql.psycopg_any import DateTimeTZRange

from identity.models import Person
from incidents.actions.records import need
from incidents.models import Override, Schedule
from portal import clock, events
from portal.errors import Conflict
from portal.lifecycle import Actor, authorize


def override(
    schedule: Schedule, *, by: Actor, person: Person, starts: datetime, ends: datetime, reason: str = ""
) -> Schedule:
    """``person`` stands in over ``[starts, ends)``. Two stand-ins at one time are refused with ``Conflict``."""
    authorize(by, "incidents.override")
    problems = [] if starts < ends else ["It must end after it begins."]
    problems += [] if ends > clock.now() else ["It lies in the past."]
    if not person.accounts.filter(teams=schedule.team_id).exists():
        problems.append(f"{person} is not on the team of this schedule.")
    need(problems, "Standing in")
    during = DateTimeTZRange(starts.astimezone(UTC), ends.astimezone(UTC), "[)")
    try:
        with transaction.atomic():
            Override.objects.create(
                schedule=schedule, person=person, during=during, reason=reason[:300], created_by_id=by.pk
            )
            after = {"person": person.name, "from": starts.isoformat(), "until": ends.isoformat()}
            events.record("incidents.override", schedule, by=by, reason=reason, after=after)
    except IntegrityError as error:
        raise Conflict("Somebody else stands in during that time already.") from error
    return schedule
