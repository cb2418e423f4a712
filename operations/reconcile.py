"""What becomes true by itself: due operations are sent to workers, outdated drafts are called off."""

from __future__ import annotations

import contextlib
from datetime import UTC, datetime, timedelta
from typing import Any

import structlog
from django.db import Error
from django.db.models import Exists, F, OuterRef, Q

from operations import actions, lifecycle, plan, queries, redaction
from operations.actions.asking import ADVANCE
from operations.models import Operation, Schedule
from operations.models.schedule import upcoming
from portal import clock, events
from portal.dispatch import nudge
from portal.errors import Conflict, Denied, Invalid, Refused

log = structlog.get_logger(__name__)
SWEEPER = events.System("sweeper")
# A message may be lost without a trace, so what nobody took is sent again after this time.
RESEND = timedelta(seconds=5)
BATCH = 500


def sweep() -> int:
    """Send what is due and not on its way, and cancel drafts that are too old. Returns how many rows it touched."""
    return send_due() + cancel_outdated()


def send_due() -> int:
    """Nudge a worker for every operation that is due: never sent, sent before it became due, or sent long ago."""
    now = clock.now()
    unsent = (
        Q(sent_at=None)
        | Q(sent_at__lt=now - RESEND)
        | Q(sent_at__lt=F("lease_until"), lease_until__lte=now)
        | Q(sent_at__lt=F("not_before"), not_before__lte=now)
    )
    rows = Operation.objects.due(now).filter(unsent, ~Q(state=lifecycle.QUEUED) | Q(pk__in=_turns(now)))
    due = list(rows.order_by("priority", "number").values_list("pk", "queue")[:BATCH])
    Operation.objects.filter(pk__in=[pk for pk, _ in due]).update(sent_at=now)
    for pk, queue in due:
        nudge(ADVANCE, pk, queue=queue)
    return len(due)


def _turns(now: datetime) -> Any:
    """The queued operations whose turn it is: the first in line for each target that nothing holds.

    The others would only be told to wait, and a line of thousands would drown what can begin in messages.
    """
    queued = Operation.objects.due(now).filter(state=lifecycle.QUEUED)
    holders = Operation.objects.filter(target=OuterRef("target"), mutating=True, state__in=lifecycle.HOLDING)
    lines = queued.filter(mutating=True).filter(~Exists(holders))
    first = lines.order_by("target", "priority", "number").distinct("target").values("pk")
    return queued.filter(Q(mutating=False) | Q(pk__in=first)).order_by().values("pk")


def ask_for_scheduled() -> int:
    """Ask for what is scheduled and due. Each instant is asked for once, whoever dies in between: its key says so."""
    due = Schedule.objects.filter(state=lifecycle.SCHEDULED, next_at__lte=clock.now()).select_related("asked_by")
    asked = 0
    for schedule in due.select_related("last_operation").order_by("next_at")[:BATCH]:
        _at_its_instant(schedule)
        asked += 1
    return asked


class Gone(Invalid):
    """What a schedule acts on does not exist any more."""


def _at_its_instant(schedule: Schedule) -> None:
    """Ask, and keep what came of it. A plan that raises what nobody foresaw keeps no other schedule waiting."""
    instant = schedule.next_at
    assert instant is not None
    facts: dict[str, Any] = {"last_at": instant, "problem": ""}
    try:
        facts["last_operation"] = _ask_for(schedule, instant)
    except Error:
        raise
    except Exception as refusal:
        if not isinstance(refusal, (Refused, plan.UnknownPlan)):
            log.exception("schedule_raised", schedule=schedule.label)
        facts["problem"] = redaction.text(f"{instant:%Y-%m-%d %H:%M} UTC: {refusal}", 500)
        if isinstance(refusal, (Denied, Gone)):
            with contextlib.suppress(Refused):
                actions.suspend(schedule, by=SWEEPER, reason=facts["problem"])
            return
    # What was missed while nothing ran is made up for once: the next instant lies after now.
    facts["next_at"] = upcoming(schedule.cron, schedule.time_zone, clock.now(), 1)[0]
    Schedule.objects.filter(pk=schedule.pk, state=lifecycle.SCHEDULED, next_at=instant).update(**facts)


def _ask_for(schedule: Schedule, instant: datetime) -> Operation:
    """The operation of this instant. What it asked for before must have ended: a freeze would pile them up."""
    subject = queries.subject_of(schedule, events.SYSTEM)
    if subject is None:
        raise Gone(f"{schedule.subject_label} does not exist any more.")
    last = schedule.last_operation
    if last is not None and last.state in lifecycle.operation.open:
        raise Conflict(f"{last.label}, which it asked for before, has not ended.")
    if not plan.get(schedule.plan_kind).fits(subject):
        raise Conflict(f"“{schedule.plan_kind}” can no longer be asked for on {subject}.")
    how = {"params": schedule.params, "in_window": schedule.in_window}
    by, reason = schedule.asked_by, f"{schedule.label}: {schedule.reason}"
    key = f"schedule:{schedule.pk}:{instant.astimezone(UTC).isoformat()}"
    return actions.request(schedule.plan_kind, subject, by=by, reason=reason, key=key, **how)


def cancel_outdated() -> int:
    """Call off what people did not decide in time; somebody may do so in the same instant, and then wins."""
    ended = 0
    late = {lifecycle.PLANNED: "Nobody told it to run while its plan was fresh."}
    late[lifecycle.AWAITING_APPROVAL] = "Those who had to agree did not decide in time."
    for operation in Operation.objects.filter(state__in=late, valid_until__lte=clock.now())[:BATCH]:
        try:
            actions.cancel(operation, by=SWEEPER, reason=late[operation.state])
        except Refused:
            continue
        ended += 1
    return ended
