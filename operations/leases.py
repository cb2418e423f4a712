"""Who works on an operation: a claim with an end, renewed while a step runs.

A worker that dies stops renewing; its operation is taken up as soon as the lease has ended. A worker that was only
paused finds, before it records anything, that somebody else holds the claim.
"""

from __future__ import annotations

import os
import socket
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import structlog
from django.conf import settings
from django.db import Error, connection, transaction

from operations import actions, lifecycle
from operations.models import ChangeWindow, Operation
from portal import clock, events
from portal.errors import Conflict, IllegalTransition

log = structlog.get_logger(__name__)
ENGINE = events.System("engine")


class LeaseLost(Exception):
    """Somebody else works on this operation now: whatever was about to be recorded no longer counts."""


def seconds() -> float:
    """How long a claim lasts without renewal. Short, because a dead worker's operation waits that long."""
    return float(getattr(settings, "OPERATIONS_LEASE_SECONDS", 10))


@dataclass(frozen=True)
class Claim:
    """The right to work on ``operation`` until the lease ends, recognised by its fence."""

    operation: Operation
    fence: int
    lost: threading.Event = field(default_factory=threading.Event)

    def holds(self) -> bool:
        """Whether the claim holds at this instant, as the database sees it: a paused process cannot know by itself.

        A claim that holds is renewed by the asking, so that a whole lease is left for the effect that follows, and one
        whose lease had ended while nobody else wanted the operation goes on.
        """
        return not self.lost.is_set() and self.renew()

    def renew(self) -> bool:
        """Begin the lease anew; False when somebody else has claimed the operation since, or it was let go."""
        until: datetime = clock.now() + timedelta(seconds=seconds())
        rows: Any = Operation.objects.filter(pk=self.operation.pk, fence=self.fence).exclude(lease_owner="")
        return bool(rows.update(lease_until=until))

    @contextmanager
    def hold(self) -> Iterator[Operation]:
        """A transaction in which the claim is sure to hold, with the operation as it is now, locked.

        Raises ``LeaseLost`` when it no longer holds; then nothing may be recorded.
        """
        with transaction.atomic():
            rows = Operation.objects.select_for_update().filter(pk=self.operation.pk, fence=self.fence)
            found = rows.filter(state__in=lifecycle.HELD).exclude(lease_owner="").first()
            if found is None:
                raise LeaseLost(str(self.operation.pk))
            yield found


def _next_fence() -> int:
    with connection.cursor() as cursor:
        cursor.execute("SELECT nextval('operations_fence')")
        return int(cursor.fetchone()[0])


def claim(operation_id: uuid.UUID) -> Claim | None:
    """Take the operation if it is due and free; ``None`` otherwise. A queued one is started by this."""
    now = clock.now()
    operation = Operation.objects.due(now).select_related("requested_by").filter(pk=operation_id).first()
    if operation is None:
        return None
    fence = _next_fence()
    owner = f"{socket.gethostname()}:{os.getpid()}:{fence}"[:120]
    until = now + timedelta(seconds=seconds())
    if operation.state == lifecycle.QUEUED:
        return _start(operation, owner, until, fence)
    taken = (
        Operation.objects.due(now)
        .filter(pk=operation.pk, fence=operation.fence, state=operation.state)
        .update(
            lease_owner=owner,
            lease_until=until,
            fence=fence,
            not_before=None,
            waiting_for="",
            sent_at=None,
        )
    )
    return Claim(operation, fence) if taken else None


def _start(operation: Operation, owner: str, until: datetime, fence: int) -> Claim | None:
    try:
        started = actions.start(operation, by=ENGINE, owner=owner, lease_until=until, fence=fence)
    except actions.HeldUp as held_up:
        _hold_up(operation, held_up)
        return None
    except (Conflict, IllegalTransition):
        return None
    return Claim(started, fence) if started.state == lifecycle.RUNNING else None


def _stands(window: uuid.UUID) -> bool:
    """Whether it has not been lifted, nor can be before this transaction ends."""
    return ChangeWindow.objects.standing().select_for_update().filter(pk=window).first() is not None


def _hold_up(operation: Operation, held_up: actions.HeldUp) -> None:
    """Let it wait until then, unless somebody lifted the window or decided about the operation in the same instant.

    They have asked for all that waited, and would not ask for this one again. The window's row keeps the two in order.
    """
    waiting = {"not_before": held_up.until, "waiting_for": str(held_up)[:500]}
    with transaction.atomic():
        if held_up.window is None or _stands(held_up.window):
            asked = {"pk": operation.pk, "state": lifecycle.QUEUED, "row_version": operation.row_version}
            Operation.objects.filter(**asked).update(**waiting)


def release() -> None:
    """Give this thread's connection back to the pool: an act may wait for minutes, and others need the place."""
    if not connection.in_atomic_block:
        connection.close()


@contextmanager
def renewed(held: Claim, limit: float) -> Iterator[None]:
    """Renew the lease in the background during the block, for at most ``limit`` seconds.

    What takes longer loses its claim, so that a hanging call does not hold an operation for ever.
    """
    ended = threading.Event()
    thread = threading.Thread(target=_renew, args=(held, ended, limit), name="lease", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def _renew(held: Claim, ended: threading.Event, limit: float) -> None:
    period = seconds() / 4
    spent = 0.0
    while not ended.wait(period) and not held.lost.is_set():
        spent += period
        if spent > limit:
            log.warning("step_over_time", operation=str(held.operation.pk), seconds=spent)
            held.lost.set()
        elif not _renew_once(held):
            held.lost.set()


def _renew_once(held: Claim) -> bool:
    try:
        return held.renew()
    except Error:
        # The database may be back before the lease ends; if it is not, somebody else takes over.
        log.warning("lease_not_renewed", operation=str(held.operation.pk))
        return True
    finally:
        connection.close()
