"""Pausing: the step at work is recorded, no other begins, and nothing is lost or done twice, whoever dies meanwhile."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from operations import actions, engine, leases, reconcile
from operations.models import Operation
from operations.plan import registry
from portal import clock, events
from portal.errors import Conflict
from portal.models import Event
from tests.operations.counting import DONE, KIND, STEPS, UNDONE, Counting, found
from tests.operations.scripted import Passing, Refused, Scripted, failing
from tests.operations.worlds import Killed, drive, hooked

pytestmark = pytest.mark.django_db


def fresh(operation: Operation) -> Operation:
    return Operation.objects.get(pk=operation.pk)


def folder(operation: Operation) -> list[str]:
    return found(Path(operation.params["folder"]))


def steps(operation: Operation) -> list[tuple[str, int]]:
    return list(operation.steps.order_by("position").values_list("state", "attempts"))


def pausing(operation: list[Operation], result=None, error=None, at: int = 1):
    """A ``do`` during whose step ``at`` somebody pauses the operation."""

    def do(ctx):
        if ctx.position == at:
            actions.pause(fresh(operation[0]), by=events.SYSTEM)
            if error:
                raise error
        return result or {}

    return do


def test_no_step_begins_until_somebody_resumes_it(at, owner):
    operation = actions.pause(at("running"), by=owner, reason="the shop opens")
    assert folder(operation) == ["done-1"]
    assert engine.advance(operation.pk) is False
    with clock.travel(timedelta(days=2)):
        assert (reconcile.send_due(), engine.advance(operation.pk)) == (0, False)
    assert (fresh(operation).state, folder(operation)) == ("paused", ["done-1"])
    assert Event.objects.get(verb="operations.pause").reason == "the shop opens"
    operation = drive(actions.resume(fresh(operation), by=owner))
    assert (operation.state, folder(operation)) == ("done", DONE)
    assert steps(operation) == [("done", 1)] * (STEPS + 1)


def test_resuming_sends_it_to_a_worker_at_once(at, owner, settled, monkeypatch):
    operation, sent = at("paused"), []
    monkeypatch.setattr("portal.dispatch._send", lambda task, args, queue: sent.append((task, args[0], queue)))
    with settled():
        actions.resume(operation, by=owner)
    assert sent == [("operations.advance", operation.pk, "default")]


def test_paused_between_the_claim_and_the_turn_begins_nothing(at, owner, monkeypatch):
    operation, claim = at("running"), leases.claim

    def then_paused(pk):
        held = claim(pk)
        actions.pause(fresh(operation), by=owner)
        return held

    monkeypatch.setattr(leases, "claim", then_paused)
    engine.advance(operation.pk)
    monkeypatch.setattr(leases, "claim", claim)
    operation = fresh(operation)
    assert (operation.state, operation.lease_owner, operation.lease_until) == ("paused", "", None)
    assert steps(operation) == [("done", 1)] + [("pending", 0)] * STEPS
    assert drive(actions.resume(operation, by=owner)).state == "done"


def test_the_step_at_work_is_finished_and_recorded(run, owner):
    operation: list[Operation] = []
    it = Scripted(pausing(operation, {"answer": 7}), steps=3)
    operation.append(run(it))
    assert engine.advance(operation[0].pk) is True
    assert engine.advance(operation[0].pk) is False
    paused = fresh(operation[0])
    assert (paused.state, paused.lease_owner, steps(paused)) == (
        "paused",
        "",
        [("done", 1), ("pending", 0), ("pending", 0)],
    )
    assert paused.steps.get(position=1).output == {"answer": 7}
    assert drive(actions.resume(paused, by=owner)).state == "done"
    assert it.happened == [1, 2, 3]


def test_the_last_step_at_work_ends_it_only_after_it_was_resumed(run, owner):
    operation: list[Operation] = []
    operation.append(run(Scripted(pausing(operation))))
    engine.advance(operation[0].pk)
    paused = fresh(operation[0])
    assert (paused.state, steps(paused), paused.finished_at) == ("paused", [("done", 1)], None)
    assert drive(actions.resume(paused, by=owner)).state == "done"


def test_resumed_before_the_step_ended_goes_on_as_if_nothing_had_been(run, owner):
    def do(ctx):
        if ctx.position == 2:
            actions.resume(actions.pause(fresh(operation), by=owner), by=owner)
            assert engine.advance(operation.pk) is False, "the step is still at work"
        return {}

    it = Scripted(do, steps=3)
    operation = run(it)
    assert drive(operation).state == "done"
    assert (it.happened, steps(operation)) == ([1, 2, 3], [("done", 1)] * 3)


@pytest.mark.parametrize(("on_failure", "state"), [("undo", "undoing"), ("halt", "halted")])
def test_a_step_that_fails_after_the_pause_is_answered_all_the_same(run, on_failure, state):
    operation: list[Operation] = []
    it = Scripted(pausing(operation, error=Refused("no"), at=2), steps=3)
    operation.append(run(it, on_failure=on_failure))
    for _ in range(2):
        engine.advance(operation[0].pk)
    assert (fresh(operation[0]).state, fresh(operation[0]).failure) == (state, "Step 2, Act 2: no")
    assert drive(operation[0]).state == {"undoing": "undone"}.get(state, state)
    assert it.happened == {"undoing": [1, -2, -1], "halted": [1]}[state]


def test_a_fault_that_may_pass_waits_for_its_next_try_until_it_is_resumed(run, owner):
    operation: list[Operation] = []
    fails = failing(Passing("busy"), times=1)

    def do(ctx):
        if ctx.attempt == 1:
            actions.pause(fresh(operation[0]), by=owner)
        return fails(ctx)

    operation.append(run(Scripted(do)))
    engine.advance(operation[0].pk)
    with clock.travel(timedelta(hours=1)):
        assert engine.advance(operation[0].pk) is False
    paused = fresh(operation[0])
    assert (paused.state, paused.waiting_for, steps(paused)) == ("paused", "Try 2 of 5 after: busy", [("running", 1)])
    assert drive(actions.resume(paused, by=owner)).state == "done"
    assert steps(paused) == [("done", 2)]


def test_it_keeps_its_target(run, owner):
    it = Scripted(lambda ctx: {}, steps=2)
    first, second = run(it), run(it)
    engine.advance(first.pk)
    actions.pause(fresh(first), by=owner)
    assert engine.advance(second.pk) is False
    assert fresh(second).state == "queued"


# -- workers that die


MOMENTS = [(moment, place) for moment in ("before", "after") for place in range(1, STEPS + 1)]


@pytest.mark.parametrize("dies", [False, True], ids=["lives", "dies"])
def test_paused_at_any_instant_no_step_is_lost_or_done_twice(at, monkeypatch, dies):
    """Paused immediately before and after each effect; the worker lives, or is killed in that same instant."""
    for moment in MOMENTS:
        operation = at("queued")
        left = [1]

        def hook(when, verb, ctx, operation=operation, moment=moment, left=left):
            if (when, ctx.position) == moment and left:
                left.pop()
                actions.pause(fresh(operation), by=events.SYSTEM)
                if dies:
                    raise Killed

        monkeypatch.setitem(registry, (KIND, 1), hooked(Counting(), hook))
        assert drive(operation).state == "paused", moment
        with clock.travel(timedelta(minutes=5)):
            assert (engine.advance(operation.pk), reconcile.send_due()) == (False, 0), (
                "a lease that ended changes nothing"
            )
        paused = fresh(operation)
        assert len(folder(paused)) == moment[1] - (dies and moment[0] == "before"), moment
        ended = drive(actions.resume(paused, by=events.SYSTEM))
        assert (ended.state, folder(ended)) == ("done", DONE), moment
        tries = [1 + (dies and place == moment[1]) for place in range(1, STEPS + 1)]
        assert [attempts for _, attempts in steps(ended)] == [*tries, 1], moment


def test_a_worker_that_was_overtaken_after_the_pause_records_nothing(run, owner):
    """It was paused as a process as well; by the time it goes on, another has done the step."""

    effects: list[int] = []

    def do(ctx):
        if ctx.attempt == 1:
            actions.resume(actions.pause(fresh(operation), by=owner), by=owner)
            with clock.travel(timedelta(seconds=60)):
                assert engine.advance(operation.pk) is True
            actions.pause(fresh(operation), by=owner)
        effects.append(ctx.attempt)
        return {"try": ctx.attempt}

    operation = run(Scripted(do, done=lambda ctx: ctx.attempt in effects))
    assert engine.advance(operation.pk) is False
    assert (fresh(operation).state, operation.steps.get().output) == ("paused", {"try": 2})


# -- stopping


def test_stopped_while_paused_takes_back_what_it_did(at, owner):
    operation = actions.stop(at("paused"), by=owner, reason="not today")
    operation = drive(operation)
    assert (operation.state, operation.failure, folder(operation)) == (
        "undone",
        "Stopped by Owner: not today",
        UNDONE[:1],
    )
    assert [state for state, _ in steps(operation)] == ["undone"] + ["skipped"] * STEPS


def test_stopped_while_paused_and_a_step_is_at_work_takes_that_one_back_as_well(run, owner):
    operation: list[Operation] = []

    def do(ctx):
        if ctx.position == 2:
            actions.stop(actions.pause(fresh(operation[0]), by=owner), by=owner)
        return {}

    it = Scripted(do, steps=3)
    operation.append(run(it))
    assert drive(operation[0]).state == "undone"
    assert it.happened == [1, 2, -2, -1]


def test_what_has_been_told_to_stop_is_not_paused(at, owner):
    """Nobody could tell it to stop again, and it would stand there half done."""
    operation = actions.stop(at("running"), by=owner)
    with pytest.raises(Conflict, match="told to stop"):
        actions.pause(operation, by=owner)
    assert drive(operation).state == "undone"
