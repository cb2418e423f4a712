"""The sweeper sends what is due and not on its way, and calls off drafts nobody wanted."""

from __future__ import annotations

from datetime import timedelta

import pytest

from operations import actions, reconcile, tasks
from operations.models import Operation
from portal import clock
from portal.dispatch import reconcilers
from portal.errors import IllegalTransition
from tests import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def sent(monkeypatch):
    """What was sent to workers, as (operation, queue)."""
    found = []
    monkeypatch.setattr(reconcile, "nudge", lambda task, pk, queue: found.append((pk, queue)))
    return found


def sweep(sent, after: float = 0):
    sent.clear()
    with clock.travel(timedelta(seconds=after)):
        reconcile.sweep()
    return list(sent)


def set_row(operation, **facts):
    Operation.objects.filter(pk=operation.pk).update(**facts)


def test_what_was_just_sent_is_not_sent_again_at_once(at, sent):
    operation = at("queued")
    assert sweep(sent) == []
    assert sweep(sent, after=6) == [(operation.pk, "default")]
    assert sweep(sent, after=7) == []


def test_what_a_dead_worker_left_is_sent_when_its_lease_has_ended(at, sent):
    operation = at("running")
    now = clock.now()
    set_row(operation, lease_owner="dead", lease_until=now + timedelta(seconds=3), sent_at=now)
    assert sweep(sent, after=2) == []
    assert sweep(sent, after=3.1) == [(operation.pk, "default")]


def test_what_waits_is_sent_when_its_time_has_come(at, sent):
    operation = at("running")
    now = clock.now()
    set_row(operation, not_before=now + timedelta(seconds=2), sent_at=now)
    assert sweep(sent, after=1) == []
    assert sweep(sent, after=2.1) == [(operation.pk, "default")]


@pytest.mark.parametrize("state", ["planned", "awaiting_approval", "stuck", "done", "undone", "cancelled"])
def test_what_needs_no_worker_is_never_sent(at, sent, state):
    at(state)
    assert sweep(sent, after=60) == []


def test_each_goes_to_the_queue_of_its_data_center(at, sent):
    operation = at("queued")
    set_row(operation, queue="us-east", sent_at=None)
    assert sweep(sent) == [(operation.pk, "us-east")]


def test_a_draft_nobody_confirmed_is_called_off(at, sent):
    operation = at("planned")
    assert reconcile.sweep() == 0
    with clock.travel(timedelta(minutes=31)):
        assert reconcile.sweep() == 1
    operation.refresh_from_db()
    assert (operation.state, operation.failure) == ("cancelled", "Nobody told it to run while its plan was fresh.")


def test_a_draft_confirmed_in_the_same_instant_runs(at, sent, monkeypatch):
    at("planned")

    def too_late(operation, **how):
        raise IllegalTransition("somebody was faster")

    monkeypatch.setattr(actions, "cancel", too_late)
    with clock.travel(timedelta(minutes=31)):
        assert reconcile.cancel_outdated() == 0


def test_it_runs_each_second_and_its_task_is_the_workers_entry(at, sent):
    operation = at("queued")
    assert reconcilers["operations.sweep"] == 1.0
    with clock.travel(timedelta(seconds=6)):
        assert tasks.sweep() == 1
    tasks.advance(str(operation.pk))
    operation.refresh_from_db()
    assert operation.state == "running"


def line_of(at, length):
    """One operation at work on a target, and so many that wait for it."""
    subject = world.component("production/us-central/busy", service="api")
    running = at("running", subject=subject)
    set_row(running, lease_owner="w", lease_until=clock.now() + timedelta(hours=1))
    return running, [at("queued", subject=subject) for _ in range(length)]


def test_what_stands_behind_others_is_not_sent(at, sent):
    running, waiting = line_of(at, 3)
    Operation.objects.filter(state="queued").update(sent_at=None)
    assert sweep(sent) == []
    set_row(running, state="done", lease_owner="", lease_until=None, finished_at=clock.now())
    assert sweep(sent) == [(waiting[0].pk, "default")]


def test_asking_for_what_has_to_wait_sends_no_message(at, settled, monkeypatch):
    nudged = []
    monkeypatch.setattr(actions.asking, "nudge", lambda task, pk, queue: nudged.append(pk))
    _, waiting = line_of(at, 2)
    free = at("queued")
    assert [one.sent_at for one in waiting] == [None, None]
    assert {one.pk for one in waiting}.isdisjoint(nudged)
    assert free.pk in nudged


def test_a_long_line_at_one_target_hides_no_other_target(at, sent, monkeypatch):
    monkeypatch.setattr(reconcile, "BATCH", 2)
    line_of(at, 12)
    free = at("queued")
    Operation.objects.filter(state="queued").update(sent_at=None)  # the broker forgot everything
    assert sweep(sent) == [(free.pk, "default")]
