"""What must become true: timers that are due are run, messages that are due are sent.

Each function takes one row at a time with SKIP LOCKED, so that any number of workers may run them, and none waits.
"""

from __future__ import annotations

import time
import uuid
from datetime import timedelta

import structlog
from django.db import transaction
from django.db.models import Q

from incidents import actions, guards
from incidents.actions import paging
from incidents.actions.ending import CLOSER
from incidents.lifecycle import BEFORE_MITIGATION
from incidents.models import Escalation, Incident, Notification
from incidents.reconcile import senders
from portal import clock
from portal.errors import Refused

log = structlog.get_logger(__name__)
WEBHOOK = Q(kind=Notification.Kind.WEBHOOK)
LEASE = timedelta(seconds=30)
TURN_SECONDS = 20.0
STALE = "Nobody has worked on it since it was answered."


def escalate() -> int:
    """Run every escalation timer that is due; returns how many."""
    count = 0
    while _escalate_one():
        count += 1
    return count


@transaction.atomic
def _escalate_one() -> bool:
    due = Escalation.objects.filter(state__in=paging.LIVE, next_step_at__lte=clock.now())
    # Both rows at once: a verb on the incident takes the incident first, so this must not hold one and wait.
    rows = due.select_related("incident__scope", "incident__component__service").select_for_update(
        skip_locked=True, of=("self", "incident"), no_key=True
    )
    escalation = rows.order_by("next_step_at").first()
    if escalation is None:
        return False
    if escalation.incident.state not in BEFORE_MITIGATION and escalation.state == Escalation.State.ACKED:
        paging.stop(escalation.incident)
    else:
        if escalation.state == Escalation.State.ACKED:
            paging.call_again(escalation, reason=STALE)
        paging.advance(escalation, by=paging.PAGER)
    return True


def deliver() -> int:
    """Send the pages that are due; returns how many were tried."""
    return _drain(~WEBHOOK)


def post() -> int:
    """Send the webhooks that are due, apart from the pages: a dead receiver must not keep anybody asleep."""
    return _drain(WEBHOOK)


def _drain(which: Q) -> int:
    until, count = time.monotonic() + TURN_SECONDS, 0
    while time.monotonic() < until and (claimed := claim(which)):
        send(*claimed)
        count += 1
    return count


@transaction.atomic
def claim(which: Q) -> tuple[Notification, uuid.UUID] | None:
    """Take one due message of those under a lease; ``None`` when there is none.

    A message whose lease has lapsed counts as due: its sender is taken for dead.
    """
    now = clock.now()
    free = Q(lease_until=None) | Q(lease_until__lt=now)
    due = Notification.objects.filter(which, free, state=Notification.State.DUE, due_at__lte=now)
    notification = due.order_by("due_at").select_for_update(skip_locked=True).first()
    if notification is None:
        return None
    notification.lease_until, notification.lease_token = now + LEASE, uuid.uuid4()
    notification.attempts += 1
    notification.save(update_fields=["lease_until", "lease_token", "attempts"])
    return notification, notification.lease_token


def send(notification: Notification, token: uuid.UUID) -> bool:
    """Hand one claimed message to its provider, outside any transaction, and keep how it went."""
    try:
        senders.send(notification)
    except Exception as error:  # noqa: BLE001 (whatever a provider's library raises, the next way is tried)
        log.warning("page_failed", notification=str(notification.pk), error=type(error).__name__)
        paging.mark_failed(notification, token, senders.sentence(error))
        return False
    return paging.mark_sent(notification, token)


def send_one(pk: str) -> bool:
    """Send one message now, if it is still due; the nudge's way, beside the timer's."""
    claimed = claim(Q(pk=pk))
    return send(*claimed) if claimed else False


def finish() -> int:
    """Close every incident that waits for nothing any more; returns how many."""
    count = 0
    for incident in Incident.objects.filter(state="closing").select_related("scope"):
        if guards.before("finish", incident, CLOSER):
            continue
        try:
            actions.finish(incident, by=CLOSER)
            count += 1
        except Refused as error:
            log.info("not_closed_yet", incident=incident.reference, reason=error.detail)
    return count
