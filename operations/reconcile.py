"""What becomes true by itself: due operations are sent to workers, outdated drafts are called off."""

from __future__ import annotations

from datetime import timedelta

from django.db.models import F, Q

from operations import actions, lifecycle
from operations.actions.asking import ADVANCE
from operations.models import Operation
from portal import clock, events
from portal.dispatch import nudge
from portal.errors import Refused

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
    rows = Operation.objects.due(now).filter(unsent).order_by("number").values_list("pk", "queue")[:BATCH]
    due = list(rows)
    Operation.objects.filter(pk__in=[pk for pk, _ in due]).update(sent_at=now)
    for pk, queue in due:
        nudge(ADVANCE, pk, queue=queue)
    return len(due)


def cancel_outdated() -> int:
    """Call off drafts that nobody told to run in time; somebody may do so in the same instant, and then wins."""
    ended = 0
    for operation in Operation.objects.filter(state=lifecycle.PLANNED, valid_until__lte=clock.now())[:BATCH]:
        try:
            actions.cancel(operation, by=SWEEPER, reason="Nobody told it to run while its plan was fresh.")
        except Refused:
            continue
        ended += 1
    return ended
