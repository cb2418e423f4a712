"""Who goes first: the more urgent, then whoever asked earlier, at one target and among those that wait for a worker."""

from __future__ import annotations

from datetime import timedelta

import pytest

from operations import actions, engine, queries, reconcile
from operations.models import Operation, Priority
from portal import clock
from portal.errors import IllegalTransition, Invalid
from portal.models import Event
from tests.operations.scripted import Scripted
from tests.operations.worlds import drive

pytestmark = pytest.mark.django_db
BACKGROUND, NORMAL, URGENT = Priority.BACKGROUND, Priority.NORMAL, Priority.URGENT


def fresh(operation: Operation) -> Operation:
    return Operation.objects.get(pk=operation.pk)


@pytest.fixture
def line(run):
    """One that runs, and three that wait for its target: in the background, normal, normal."""
    it = Scripted(lambda ctx: {}, steps=2)
    holder = run(it)
    engine.advance(holder.pk)
    return [holder, *(run(it, priority=priority) for priority in (BACKGROUND, NORMAL, NORMAL))]


def order(waiting: list[Operation]) -> list[int]:
    """In which order they begin, when each is offered to a worker whenever the target is free."""
    begun = []
    for _ in waiting:
        first = next(place for place, each in enumerate(waiting) if engine.advance(each.pk))
        begun.append(first)
        drive(waiting[first])
    return begun


def test_they_begin_by_priority_then_by_age(line):
    holder, *waiting = line
    assert [engine.advance(each.pk) for each in waiting] == [False] * 3
    drive(holder)
    assert order(waiting) == [1, 2, 0]


def test_the_one_put_first_begins_before_all_of_them(line, owner):
    holder, *waiting = line
    last = actions.expedite(fresh(waiting[0]), by=owner, reason="the pager rings")
    assert (last.state, last.priority) == ("queued", URGENT)
    told = Event.objects.get(verb="operations.expedite")
    assert (told.reason, told.before, told.after) == ("the pager rings", {"priority": 9}, {"priority": 0})
    assert [engine.advance(each.pk) for each in waiting] == [False] * 3, "what runs is not interrupted"
    drive(holder)
    assert order(waiting) == [0, 1, 2]


def test_the_place_in_line_follows(line, owner):
    holder, background, normal, later = line
    assert list(queries.ahead(background)) == [holder, normal, later]
    assert list(queries.ahead(normal)) == [holder]
    background = actions.expedite(fresh(background), by=owner)
    assert list(queries.ahead(background)) == [holder]
    assert list(queries.ahead(normal)) == [holder, background]


def test_whoever_ends_calls_the_most_urgent(line, owner, settled, monkeypatch):
    holder, *waiting = line
    first = actions.expedite(fresh(waiting[2]), by=owner)
    sent = []
    monkeypatch.setattr("portal.dispatch._send", lambda task, args, queue: sent.append(args[0]))
    engine.advance(holder.pk)
    with settled():
        engine.advance(holder.pk)
    assert (fresh(holder).state, sent) == ("done", [first.pk])


def test_an_urgent_one_that_waits_for_its_hour_holds_nobody_up(line, settled, monkeypatch):
    holder, background, normal, later = line
    soon = clock.now() + timedelta(hours=1)
    Operation.objects.filter(pk__in=[normal.pk, later.pk]).update(not_before=soon, waiting_for="the window")
    sent = []
    monkeypatch.setattr("portal.dispatch._send", lambda task, args, queue: sent.append(args[0]))
    engine.advance(holder.pk)
    with settled():
        engine.advance(holder.pk)
    assert sent == [background.pk]
    assert drive(background).state == "done"


def test_among_those_that_wait_for_a_worker_the_urgent_are_sent_first(at, owner, monkeypatch):
    waiting = [at("queued", priority=priority) for priority in (BACKGROUND, NORMAL, URGENT, BACKGROUND, NORMAL)]
    actions.expedite(fresh(waiting[3]), by=owner)
    sent = []
    monkeypatch.setattr(reconcile, "nudge", lambda task, pk, queue: sent.append(pk))
    with clock.travel(timedelta(seconds=6)):
        reconcile.send_due()
    assert sent == [waiting[place].pk for place in (2, 3, 1, 4, 0)]


def test_a_batch_that_is_too_small_takes_the_urgent(at, monkeypatch):
    background, urgent = at("queued", priority=BACKGROUND), at("queued", priority=URGENT)
    monkeypatch.setattr(reconcile, "BATCH", 1)
    sent = []
    monkeypatch.setattr(reconcile, "nudge", lambda task, pk, queue: sent.append(pk))
    with clock.travel(timedelta(seconds=6)):
        assert [reconcile.send_due(), reconcile.send_due()] == [1, 1]
    assert sent == [urgent.pk, background.pk]


def test_it_is_sent_at_once(at, owner, settled, monkeypatch):
    operation, sent = at("queued"), []
    monkeypatch.setattr("portal.dispatch._send", lambda task, args, queue: sent.append(args[0]))
    with settled():
        actions.expedite(operation, by=owner)
    assert sent == [operation.pk]


@pytest.mark.parametrize("state", ["running", "done", "awaiting_approval"])
def test_only_what_waits_in_line_is_put_first(at, owner, state):
    with pytest.raises(IllegalTransition):
        actions.expedite(at(state), by=owner)


def test_there_are_three_priorities(run):
    for priority in (-1, 1, 10, None, "0"):
        with pytest.raises(Invalid):
            run(Scripted(lambda ctx: {}), priority=priority)
