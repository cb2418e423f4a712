"""Verbs while it runs. The engine calls most of them; stop, retry and settle are a person's."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import IntegrityError, transaction
from django.db.models import Q

from identity.models import Account
from operations import approvals, lifecycle, queries, redaction, windows
from operations.actions.asking import ADVANCE, cancel
from operations.models import Operation
from portal import clock, events
from portal.dispatch import nudge
from portal.errors import Conflict, Invalid
from portal.lifecycle import Actor, move


class HeldUp(Conflict):
    """It may not begin now, because of a freeze or for want of a maintenance window.

    ``until`` is when to ask again, ``window`` the key of what holds it up.
    """

    def __init__(self, why: windows.HeldUp) -> None:
        super().__init__(why.sentence)
        self.until, self.window = why.until, why.window


FREE: dict[str, Any] = {"lease_owner": "", "lease_until": None, "not_before": None, "waiting_for": "", "sent_at": None}


def unfounded(operation: Operation) -> list[str]:
    """Why what was agreed no longer carries ``operation``: everything, one sentence each (empty: it may start).

    Rights end, people leave and votes can be taken back between asking and starting, so all of it is asked again.
    """
    problems = []
    asked = operation.requested_by
    if asked is not None and not (asked.is_active and asked.has_perm(operation.permission, operation)):
        problems.append(f"{operation.requested_label} no longer holds the right “{operation.permission}” here.")
    if operation.approvals_needed:
        counted = len(approvals.counting(operation, operation.approvals.select_related("account")))
        if counted < operation.approvals_needed:
            problems.append(f"{counted} of {operation.approvals_needed} approvals still count.")
    return problems


@transaction.atomic
def start(operation: Operation, *, by: Actor, owner: str, lease_until: datetime, fence: int) -> Operation:
    """Claim a queued operation for its first step, if its target is free and nobody waits longer for it.

    Raises ``Conflict`` while the target is taken; the operation stays queued. When what was agreed no longer holds
    the operation is cancelled with the reasons.
    """
    if problems := unfounded(operation):
        return cancel(operation, by=by, reason=" ".join(problems))
    now = clock.now()
    if operation.mutating:
        if (held_up := windows.against(operation, now)) is not None:
            raise HeldUp(held_up)
        sooner = queries.ahead(operation).filter(state=lifecycle.QUEUED)
        if sooner.filter(Q(not_before=None) | Q(not_before__lte=now)).exists():
            raise Conflict(f"Others wait longer for {operation.target}.")
    lease = {"lease_owner": owner, "lease_until": lease_until, "fence": fence}
    try:
        with transaction.atomic():
            move(operation, "start", by=by, started_at=now, not_before=None, waiting_for="", sent_at=None, **lease)
    except IntegrityError:
        raise Conflict(f"Another operation changes {operation.target}.") from None
    events.record("operations.start", operation, by=by, operation_id=operation.pk)
    return operation


@transaction.atomic
def finish(operation: Operation, *, by: Actor) -> Operation:
    """Every step is done; the target is free for the next."""
    move(operation, "finish", by=by, finished_at=clock.now(), **FREE)
    _next_in_line(operation)
    events.record("operations.finish", operation, by=by, operation_id=operation.pk)
    return operation


@transaction.atomic
def stop(operation: Operation, *, by: Actor, reason: str = "") -> Operation:
    """Ask a running operation to end: the step at work is finished, then everything is taken back."""
    declared = lifecycle.operation["stop"]
    if operation.state in declared.sources and operation.cancel_requested:
        raise Conflict("It has been told to stop already.")
    because = f"Stopped by {by}" + (f": {reason}" if reason else ".")
    move(operation, "stop", by=by, cancel_requested=True, failure=because[:2000], not_before=None, sent_at=None)
    events.record("operations.stop", operation, by=by, reason=reason, operation_id=operation.pk)
    nudge(ADVANCE, operation.pk, queue=operation.queue)
    return operation


@transaction.atomic
def pause(operation: Operation, *, by: Actor, reason: str = "") -> Operation:
    """Let no further step begin. The step at work is finished first, and one that fails is still answered."""
    if operation.state in lifecycle.operation["pause"].sources and operation.cancel_requested:
        raise Conflict("It has been told to stop, and takes back what it did.")
    move(operation, "pause", by=by)
    events.record("operations.pause", operation, by=by, reason=reason, operation_id=operation.pk)
    return operation


@transaction.atomic
def resume(operation: Operation, *, by: Actor) -> Operation:
    """Go on with the next step of a paused operation."""
    move(operation, "resume", by=by, sent_at=None)
    events.record("operations.resume", operation, by=by, operation_id=operation.pk)
    nudge(ADVANCE, operation.pk, queue=operation.queue)
    return operation


@transaction.atomic
def halt(operation: Operation, *, by: Actor, failure: str) -> Operation:
    """A step cannot be done, and the requester wanted a person to decide what then. The target stays reserved."""
    failure = redaction.text(failure)
    move(operation, "halt", by=by, failure=failure, **FREE)
    events.record("operations.halt", operation, by=by, reason=failure, operation_id=operation.pk)
    return operation


@transaction.atomic
def proceed(operation: Operation, *, by: Actor) -> Operation:
    """Try the step that failed again, with all its tries; the steps before it stand."""
    failed = operation.steps.filter(state=lifecycle.STEP_FAILED)
    move(operation, "proceed", by=by, failure="", sent_at=None)
    failed.update(state=lifecycle.STEP_RUNNING, attempts=0, finished_at=None)
    events.record("operations.proceed", operation, by=by, operation_id=operation.pk)
    nudge(ADVANCE, operation.pk, queue=operation.queue)
    return operation


@transaction.atomic
def fail(operation: Operation, *, by: Actor, failure: str) -> Operation:
    """A step cannot be done, or somebody said stop: from here everything begun is taken back, last step first."""
    failure = redaction.text(failure)
    move(operation, "fail", by=by, failure=failure, **FREE)
    operation.steps.filter(state=lifecycle.STEP_PENDING).update(state=lifecycle.STEP_SKIPPED)
    events.record("operations.fail", operation, by=by, reason=failure, operation_id=operation.pk)
    nudge(ADVANCE, operation.pk, queue=operation.queue)
    return operation


@transaction.atomic
def undo(operation: Operation, *, by: Actor) -> Operation:
    """Everything begun has been taken back; the target is free for the next."""
    move(operation, "undo", by=by, finished_at=clock.now(), **FREE)
    _next_in_line(operation)
    events.record("operations.undo", operation, by=by, reason=operation.failure, operation_id=operation.pk)
    return operation


@transaction.atomic
def stick(operation: Operation, *, by: Actor, reason: str) -> Operation:
    """Taking back failed: a person has to look. The target stays reserved."""
    reason = redaction.text(reason) or "It could not be undone."
    move(operation, "stick", by=by, stuck_reason=reason, **FREE)
    events.record("operations.stick", operation, by=by, reason=reason, operation_id=operation.pk)
    return operation


@transaction.atomic
def retry(operation: Operation, *, by: Actor) -> Operation:
    """Try once more to take back what is left of a stuck operation."""
    was = operation.stuck_reason
    move(operation, "retry", by=by, stuck_reason="", **FREE)
    operation.steps.filter(state=lifecycle.STEP_FAILED).update(undo_attempts=0)
    events.record("operations.retry", operation, by=by, before={"stuck_reason": was}, operation_id=operation.pk)
    nudge(ADVANCE, operation.pk, queue=operation.queue)
    return operation


@transaction.atomic
def settle(operation: Operation, *, by: Account, reason: str) -> Operation:
    """Declare a stuck operation taken back by hand, with what was done; the target is free again. Needs step-up."""
    if not reason.strip():
        raise Invalid("Say what was done by hand.", fields={"reason": ["This is needed."]})
    was = operation.stuck_reason
    move(operation, "settle", by=by, stuck_reason="", finished_at=clock.now(), **FREE)
    _next_in_line(operation)
    events.record(
        "operations.settle", operation, by=by, reason=reason, before={"stuck_reason": was}, operation_id=operation.pk
    )
    return operation


def _next_in_line(operation: Operation) -> None:
    due = Operation.objects.due(clock.now()).filter(state=lifecycle.QUEUED, target=operation.target, mutating=True)
    if operation.mutating and (following := due.order_by("priority", "number").first()):
        nudge(ADVANCE, following.pk, queue=following.queue)
