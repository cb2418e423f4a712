"""Three proofs for every registered plan: acts repeat, the plan unwinds from anywhere, and unwinding repeats."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from operations import plan
from operations.models import Operation
from operations.plan import StepContext
from tests.operations.worlds import Killed, World, ask, drive, hooked, registered, worlds

pytestmark = pytest.mark.django_db
KINDS = sorted({kind for kind, _ in plan.registry})


def sampled() -> list[Any]:
    """Every kind; of the plans made from one driver's acts, which share all their code, only the first is short."""
    seen: set[str] = set()
    kinds = []
    for (kind, _), made in sorted(plan.registry.items()):
        family = f"{type(made).__name__} {kind.partition('.')[0]}"
        kinds.append(pytest.param(kind, marks=pytest.mark.long if family in seen else ()))
        seen.add(family)
    return kinds


def deadly() -> list[Any]:
    """Every kind. Death is the engine's to survive, and that acts repeat is proved of each: only one plan is short."""
    return [pytest.param(kind, marks=() if kind == "inventory.reload" else pytest.mark.long) for kind in KINDS]


class Broken(Exception):
    """A failure seeded into an act."""

    permanent = True


def nothing(moment: str, verb: str, ctx: StepContext) -> None:
    """No fault."""


def run(world: World, hook: Any = nothing, *, twice: bool = False) -> Operation:
    with registered(hooked(world.plan(), hook, twice=twice)):
        return drive(ask(world))


def positions(kind: str) -> range:
    """The places of the plan's steps in a fresh world."""
    world = worlds()[kind]()
    return range(1, len(world.plan().draft(world.subject(), world.params)) + 1)


def points(kind: str) -> Iterator[tuple[str, int]]:
    return ((moment, position) for position in positions(kind) for moment in ("before", "after"))


def test_every_plan_has_a_world_to_be_proved_in():
    assert sorted(set(KINDS) - set(worlds())) == []


@pytest.mark.parametrize("kind", sampled())
def test_the_plan_reaches_its_purpose(kind):
    world = worlds()[kind]()
    before = world.picture()
    operation = run(world)
    assert (operation.state, operation.failure) == ("done", "")
    assert world.reached(before) is True
    assert {step.state for step in operation.steps.all()} == {"done"}


@pytest.mark.parametrize("kind", sampled())
def test_every_act_is_repeatable(kind):
    world = worlds()[kind]()
    before, once = world.picture(), {}

    def compare(moment: str, verb: str, ctx: StepContext) -> None:
        if moment == "between":
            once[ctx.position] = world.picture()
        if moment == "after":
            assert world.picture() == once[ctx.position], f"step {ctx.position} did something the second time"

    operation = run(world, compare, twice=True)
    assert operation.state == "done", operation.failure
    assert world.reached(before) is True


# What a step did before it failed has to be taken back; that one which did nothing is left alone is easier.
@pytest.mark.parametrize("moment", ["after", pytest.param("before", marks=pytest.mark.long)])
@pytest.mark.parametrize("kind", sampled())
def test_the_plan_unwinds_from_every_point_of_failure(kind, moment):
    unwound = []
    for position in positions(kind):
        world = worlds()[kind]()
        before = world.picture()

        def fail(now: str, verb: str, ctx: StepContext, at: Any = (moment, position)) -> None:
            if (now, verb, ctx.position) == (at[0], "do", at[1]):
                raise Broken("seeded")

        operation = run(world, fail)
        # An act that only looks finds all well and never gets to do anything, so it cannot be broken there.
        if operation.state == "undone":
            kept = moment == "after" and not _changes(kind, position)  # it says why it cannot be taken back
            assert kept or world.clean(before) is True, (moment, position)
            unwound.append(position)
        else:
            ended = operation.state, world.reached(before)
            assert ended == ("done", True), (moment, position, operation.stuck_reason)
    assert set(unwound) >= {step for step in positions(kind) if worlds()[kind]().plan().acts and _changes(kind, step)}


def _changes(kind: str, position: int) -> bool:
    world = worlds()[kind]()
    it = world.plan()
    return it.act(it.draft(world.subject(), world.params)[position - 1].act).undo is not None


def _last(kind: str) -> int:
    """The last step that can be taken back; what has none has no unwinding to prove."""
    found = [position for position in positions(kind) if _changes(kind, position)]
    return max(found) if found else pytest.skip("nothing of it can be taken back, and it says why")


@pytest.mark.parametrize("kind", sampled())
def test_the_unwinding_is_repeatable(kind):
    last = _last(kind)
    world = worlds()[kind]()
    before, once = world.picture(), {}

    def fail_late(moment: str, verb: str, ctx: StepContext) -> None:
        if (moment, verb, ctx.position) == ("after", "do", last):
            raise Broken("seeded")
        if verb == "undo" and moment == "between":
            once[ctx.position] = world.picture()
        if verb == "undo" and moment == "after":
            assert world.picture() == once[ctx.position], f"undoing step {ctx.position} twice is not undoing it once"

    operation = run(world, fail_late, twice=True)
    assert operation.state == "undone", operation.stuck_reason
    assert world.clean(before) is True
    assert once != {}


@pytest.mark.parametrize("verb", ["do", "undo"])
@pytest.mark.parametrize("kind", deadly())
def test_a_worker_that_dies_anywhere_leaves_nothing_half_done(kind, verb):
    last = _last(kind) if verb == "undo" else 0
    for moment, position in points(kind):
        world = worlds()[kind]()
        before, deaths = world.picture(), []

        def die_once(now: str, what: str, ctx: StepContext, at: Any = (moment, position), deaths: Any = deaths) -> None:
            if (now, what, ctx.position) == (at[0], verb, at[1]) and not deaths:
                deaths.append(at)
                raise Killed
            if verb == "undo" and (now, what, ctx.position) == ("after", "do", last):
                raise Broken("seeded")

        operation = run(world, die_once)
        expected = "done" if verb == "do" else "undone"
        assert operation.state == expected, (moment, position, operation.stuck_reason)
        assert (world.reached(before) if verb == "do" else world.clean(before)) is True, (moment, position)
