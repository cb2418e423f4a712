"""What must hold is asked again immediately before the act; when it no longer does, nothing is touched."""

from __future__ import annotations

import pytest

from drivers.acts import Condition
from operations import actions
from tests.operations.scripted import Scripted
from tests.operations.worlds import Killed, drive

pytestmark = pytest.mark.django_db


@pytest.fixture
def seen():
    """What the conditions of the second step will find; a test changes it."""
    return {"replica": True, "disk": True}


@pytest.fixture
def it(seen):
    def conditions(ctx):
        if ctx.position == 1:
            return []
        return [
            Condition("The replica is in step.", seen["replica"], "12 s behind"),
            Condition("The disk has room.", seen["disk"]),
        ]

    return Scripted(lambda ctx: {}, steps=2, conditions=conditions)


def test_what_still_holds_lets_it_run(run, it):
    assert (drive(run(it)).state, it.happened) == ("done", [1, 2])


def test_nothing_is_touched_and_it_says_which_and_what_was_seen(run, it, seen):
    seen["replica"] = False
    operation = drive(run(it))
    assert operation.state == "undone"
    sentence = "What held when this was planned no longer does: The replica is in step. (12 s behind)"
    assert operation.failure == f"Step 2, Act 2: {sentence}"
    assert it.happened == [1, -1], "the step was neither done nor taken back"
    stale = operation.steps.get(position=2)
    assert (stale.acted, stale.attempts, stale.error) == (False, 1, sentence)


def test_every_condition_that_fails_is_named(run, it, seen):
    seen.update(replica=False, disk=False)
    told = drive(run(it)).failure
    assert told.endswith("no longer does: The replica is in step. (12 s behind) The disk has room.")


def test_where_a_person_decides_they_are_asked_again_with_the_step(run, it, seen, owner):
    seen["disk"] = False
    operation = drive(run(it, on_failure="halt"))
    assert (operation.state, it.happened) == ("halted", [1])
    operation = drive(actions.proceed(operation, by=owner))
    assert (operation.state, it.happened) == ("halted", [1])
    seen["disk"] = True
    assert (drive(actions.proceed(operation, by=owner)).state, it.happened) == ("done", [1, 2])


def test_what_is_so_already_asks_for_nothing(run, seen):
    seen["disk"] = False
    asked = []
    it = Scripted(lambda ctx: {}, done=lambda ctx: True, conditions=lambda ctx: asked.append(1) or [])
    assert (drive(run(it)).state, asked) == ("done", [])


def test_an_act_whose_worker_died_halfway_is_taken_back_when_it_spoilt_its_own_condition(run):
    """The first try may have done anything, so a condition that fails on the second does not mean: untouched."""
    half = []

    def do(ctx):
        half.append(ctx.attempt)
        raise Killed

    it = Scripted(do, conditions=lambda ctx: [Condition("It is whole.", not half)])
    operation = drive(run(it))
    assert (operation.state, half, it.happened) == ("undone", [1], [-1])
