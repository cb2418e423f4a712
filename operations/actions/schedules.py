"""Verbs of schedules: let a plan ask for itself at set times."""

from __future__ import annotations

import functools
from typing import Any
from zoneinfo import available_timezones

from cronsim import CronSimError
from django.db import transaction

from operations import plan as plans
from operations.actions.asking import checked
from operations.models import Schedule
from operations.models.schedule import upcoming
from portal import clock, events
from portal.errors import Invalid
from portal.lifecycle import Actor, authorize, move

LONGEST = 120


@transaction.atomic
def schedule(
    subject: Any,
    *,
    by: Any,
    plan: str,
    cron: str,
    time_zone: str = "UTC",
    reason: str,
    params: dict[str, Any] | None = None,
    in_window: bool = False,
) -> Schedule:
    """Ask for ``plan`` on ``subject`` at each instant of ``cron``, in the name of ``by``.

    ``by`` must hold ``operations.schedule``, ``operations.request`` and the plan's own permission; all of it is asked
    again at each run. Raises ``Invalid`` with every field that is wrong.
    """
    chosen = _fitting(subject, plan, cron, time_zone, reason)
    for permission in ("operations.schedule", "operations.request", chosen.permission):
        authorize(by, permission, subject)
    made = Schedule.objects.create(
        plan_kind=plan,
        params=checked(chosen, params or {}),
        subject_type=subject._meta.label_lower,
        subject_id=str(subject.pk),
        subject_label=str(subject)[:200],
        scope_id=subject.scope_id,
        cron=cron,
        time_zone=time_zone,
        reason=reason.strip()[:500],
        in_window=in_window,
        next_at=upcoming(cron, time_zone, clock.now(), 1)[0],
        asked_by=by,
    )
    made.refresh_from_db(fields=["number"])
    after = {"plan": plan, "cron": cron, "time_zone": time_zone, "params": made.params}
    events.record("operations.schedule", made, by=by, reason=reason, after=after)
    return made


def _fitting(subject: Any, plan: str, cron: str, time_zone: str, reason: str) -> plans.Plan:
    """The plan, when it and everything else fits; ``Invalid`` with every fault otherwise."""
    faults = _wrong_times(cron, time_zone)
    try:
        chosen: plans.Plan | None = plans.get(plan)
    except plans.UnknownPlan:
        chosen = None
    if chosen is None or chosen.steered or not chosen.fits(subject):
        faults["plan"] = [f"“{plan[:80]}” cannot be asked for on {subject}."]
    if not reason.strip():
        faults["reason"] = ["Say what it is for."]
    if chosen is None or faults:
        raise Invalid("This cannot be scheduled.", fields=faults)
    return chosen


@functools.cache
def _time_zones() -> set[str]:
    """All names; "localtime" is whatever the machine at hand is set to."""
    return available_timezones() - {"localtime"}


def _wrong_times(cron: str, time_zone: str) -> dict[str, list[str]]:
    if time_zone not in _time_zones():
        return {"time_zone": ["There is no such time zone; an example is Europe/Madrid."]}
    try:
        instants = upcoming(cron, time_zone, clock.now(), 1) if len(cron) <= LONGEST else None
    except (CronSimError, ValueError):
        instants = None
    if instants is None:
        return {"cron": ["Five fields are expected: minute, hour, day, month, day of the week, such as 30 4 * * 1."]}
    return {} if instants else {"cron": ["This never comes."]}


@transaction.atomic
def suspend(schedule: Schedule, *, by: Actor, reason: str = "") -> Schedule:
    """Ask for nothing more until somebody resumes it."""
    move(schedule, "suspend", by=by, next_at=None, problem=reason[:500])
    events.record("operations.suspend", schedule, by=by, reason=reason)
    return schedule


@transaction.atomic
def reactivate(schedule: Schedule, *, by: Actor) -> Schedule:
    """Ask again, from the next instant on; what was missed meanwhile is not made up for."""
    following = upcoming(schedule.cron, schedule.time_zone, clock.now(), 1)[0]
    move(schedule, "reactivate", by=by, next_at=following, problem="")
    events.record("operations.reactivate", schedule, by=by)
    return schedule


@transaction.atomic
def retire(schedule: Schedule, *, by: Actor, reason: str = "") -> Schedule:
    """End the schedule for good; what it asked for stays on record."""
    move(schedule, "retire", by=by, next_at=None)
    events.record("operations.retire", schedule, by=by, reason=reason)
    return schedule
