"""A step that fails halts the operation when that was asked for: what was done stands until somebody decides."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from operations import actions, engine, reconcile
from operations.models import Operation
from operations.plan import Wait
from portal import clock, events
from portal.errors import Denied, Invalid
from portal.models import Event
from tests import world
from tests.operations.counting import DONE, STEPS, UNDONE, found
from tests.operations.scripted import Passing, Refused, Scripted, failing
from tests.operations.worlds import drive

pytestmark = pytest.mark.django_db


def fresh(operation: Operation) -> Operation:
    return Operation.objects.get(pk=operation.pk)


def steps(operation: Operation) -> list[tuple[str, int]]:
    return list(operation.steps.order_by("position").values_list("state", "attempts"))


def test_what_was_done_stands_and_nobody_touches_it(at):
    operation = at("halted")
    assert (operation.state, operation.failure) == ("halted", f"Step {STEPS + 1}, End: it is to be taken back")
    assert steps(operation) == [("done", 1)] * STEPS + [("failed", 1)]
    assert (operation.lease_owner, operation.not_before, operation.finished_at) == ("", None, None)
    assert Event.objects.get(verb="operations.halt").reason == operation.failure
    with clock.travel(timedelta(days=30)):
        assert (reconcile.sweep(), engine.advance(operation.pk)) == (0, False)
    assert found(Path(operation.params["folder"])) == DONE


def test_it_keeps_its_target(run):
    it = Scripted(failing(Refused("no"), times=1))
    first, second = run(it, on_failure="halt"), run(it)
    assert (drive(first).state, engine.advance(second.pk)) == ("halted", False)
    drive(actions.stop(fresh(first), by=events.SYSTEM))
    assert drive(second).state == "done"


def test_proceeding_tries_the_step_that_failed_with_all_its_tries(run, owner):
    fails = failing(Passing("busy"), times=7)
    it = Scripted(lambda ctx: fails(ctx) if ctx.position == 2 else {}, steps=3)
    operation = drive(run(it, on_failure="halt"))
    assert (operation.state, operation.failure) == ("halted", "Step 2, Act 2: busy")
    assert steps(operation) == [("done", 1), ("failed", 5), ("pending", 0)]
    operation = actions.proceed(operation, by=owner)
    assert (operation.state, operation.failure, steps(operation)[1]) == ("running", "", ("running", 0))
    operation = drive(operation)
    assert (operation.state, operation.failure, steps(operation)) == (
        "done",
        "",
        [("done", 1), ("done", 3), ("done", 1)],
    )
    assert it.happened == [1, 2, 3]
    assert operation.steps.get(position=2).error == ""


def test_it_halts_as_often_as_the_step_fails(run, owner):
    operation = drive(run(Scripted(failing(Refused("no"), times=2)), on_failure="halt"))
    for state in ("halted", "done"):
        operation = drive(actions.proceed(operation, by=owner))
        assert operation.state == state
    assert Event.objects.filter(verb="operations.halt").count() == 2


def test_a_step_whose_workers_died_gets_its_tries_anew_as_well(run, owner):
    it = Scripted(lambda ctx: {})
    operation = run(it, on_failure="halt")
    operation.steps.update(state="running", acted=True, attempts=5, started_at=clock.now())
    operation = drive(operation)
    assert (operation.state, it.happened) == ("halted", [])
    assert drive(actions.proceed(operation, by=owner)).state == "done"
    assert (it.happened, steps(operation)) == ([1], [("done", 1)])


def test_a_step_that_took_effect_in_spite_of_its_failure_is_not_done_again(run, owner):
    effects = []

    def do(ctx):
        effects.append(ctx.position)
        raise Refused("the answer was lost")

    operation = drive(run(Scripted(do, done=lambda ctx: bool(effects)), on_failure="halt"))
    assert operation.state == "halted"
    assert (drive(actions.proceed(operation, by=owner)).state, effects) == ("done", [1])


def test_proceeding_may_wait_like_any_step(run, owner):
    fails, waits = failing(Refused("no"), times=1), failing(Wait(3600, "soaking"), times=1)

    def do(ctx):
        fails(ctx)
        return waits(ctx)

    operation = drive(run(Scripted(do), on_failure="halt"))
    assert drive(actions.proceed(operation, by=owner)).state == "done"
    assert steps(operation) == [("done", 1)]


def test_stopping_takes_everything_back(at, owner):
    operation = drive(actions.stop(at("halted"), by=owner, reason="give up"))
    assert (operation.state, operation.failure) == ("undone", "Stopped by Owner: give up")
    assert found(Path(operation.params["folder"])) == UNDONE
    assert steps(operation) == [("undone", 1)] * (STEPS + 1)


def test_stopping_takes_back_the_step_that_failed_halfway_too(run, owner):
    it = Scripted(lambda ctx: failing(Refused("no"))(ctx) if ctx.position == 2 else {}, steps=3)
    operation = drive(run(it, on_failure="halt"))
    assert (drive(actions.stop(operation, by=owner)).state, it.happened) == ("undone", [1, -2, -1])


def test_an_undo_that_fails_afterwards_is_stuck_like_any(at, owner):
    operation = drive(actions.stop(at("halted", params={"sticks": True}), by=owner))
    assert operation.state == "stuck"
    (Path(operation.params["folder"]) / "mended").touch()
    assert drive(actions.retry(operation, by=owner)).state == "undone"


def test_deciding_needs_the_right_to(at):
    operation = at("halted")
    for role in ("viewer", "auditor", "developer", "ci"):
        somebody = world.account(f"a-{role}", role, ("production", "*"))
        for decide in (actions.proceed, actions.stop):
            with pytest.raises(Denied):
                decide(fresh(operation), by=somebody)


# -- what unwinds in spite of it


def test_what_was_told_to_stop_meanwhile_unwinds(run, owner):
    def do(ctx):
        if ctx.position == 2:
            actions.stop(fresh(operation), by=owner)
            raise Refused("no")
        return {}

    it = Scripted(do, steps=2)
    operation = run(it, on_failure="halt")
    assert (drive(operation).state, it.happened) == ("undone", [1, -2, -1])


def test_a_part_of_something_else_unwinds(run):
    """Whoever steers it waits for its end, and nobody is asked about a part."""
    it = Scripted(failing(Refused("no")))
    it.steered = True
    assert drive(run(it, on_failure="halt")).state == "undone"


def test_the_answer_to_a_failure_is_one_of_two(run):
    with pytest.raises(Invalid):
        run(Scripted(lambda ctx: {}), on_failure="ignore")
    assert Operation.objects.count() == 0
