"""The plans made of drivers' acts, carried out by the real engine on the real nginx, PM2, MariaDB and Valkey.

`tests/operations/test_proofs.py` proves every plan in simulated worlds from every point of failure. Here the worlds are
real, and the points are those that matter most: nothing goes wrong, the worker dies right after its effect, and the
plan fails right after its effect.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from drivers.acts import Act
from operations.plan import StepContext
from tests.drivers import test_app, test_mariadb, test_nginx, test_pm2, test_redis
from tests.drivers.contract import Contract, World
from tests.inventory.worlds import DriverActWorld
from tests.operations.worlds import Hook, Killed, ask, drive, hooked, registered

pytestmark = [pytest.mark.django_db, pytest.mark.long]
CONTRACTS: tuple[type[Contract], ...] = (
    test_nginx.TestContract,
    test_pm2.TestContract,
    test_app.TestContract,
    test_mariadb.TestContract,
    test_redis.TestRedisContract,
    test_redis.TestSentinelContract,
)
CASES = [(contract, act) for contract in CONTRACTS for act in contract.declared.acts]


class Broken(Exception):
    """A failure seeded into an act."""

    permanent = True


@pytest.fixture(scope="module")
def place(request: pytest.FixtureRequest) -> Iterator[World]:
    """The real world of a contract, opened once for all acts of its driver."""
    with request.param.worlds["real"](request) as opened:
        yield opened


class InPlace(DriverActWorld):
    """One act in a world that is open already."""

    def __init__(self, place: World, act: Act[Any, Any]) -> None:
        self.simulated = type(place)
        self.place, self.act, self.seen = place, act, {}
        place.prepare(act)
        self.params = place.examples[act.name]


def nothing(moment: str, verb: str, ctx: StepContext) -> None:
    """No fault."""


def run(world: InPlace, hook: Hook) -> Any:
    with registered(hooked(world.plan(), hook)):
        return drive(ask(world))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    names = [f"{contract.declared.kind}.{act.name}" for contract, act in CASES]
    if "place" in metafunc.fixturenames:
        metafunc.parametrize(("place", "act"), CASES, indirect=["place"], ids=names, scope="module")


def test_it_reaches_its_purpose(place: World, act: Act[Any, Any]):
    world = InPlace(place, act)
    operation = run(world, nothing)
    assert (operation.state, operation.failure, operation.stuck_reason) == ("done", "", "")
    assert world.reached(None) is True


def test_a_worker_that_dies_after_the_effect_leaves_it_done_once(place: World, act: Act[Any, Any]):
    world, deaths = InPlace(place, act), []

    def die_once(moment: str, verb: str, ctx: StepContext) -> None:
        if (moment, verb) == ("after", "do") and not deaths:
            deaths.append(world.picture())
            raise Killed

    operation = run(world, die_once)
    assert (operation.state, operation.failure) == ("done", "")
    assert world.reached(None) is True
    if deaths:
        assert world.picture() == deaths[0]
    else:  # it had to be asked again and found its effect there, so there was no moment to die in
        assert operation.steps.get().attempts > 1


def test_what_fails_after_its_effect_is_taken_back(place: World, act: Act[Any, Any]):
    if not act.reversible():
        pytest.skip("it cannot be taken back, and says why")
    world = InPlace(place, act)
    before = world.picture()

    def fail(moment: str, verb: str, ctx: StepContext) -> None:
        if (moment, verb) == ("after", "do"):
            raise Broken("seeded")

    operation = run(world, fail)
    assert (operation.state, operation.stuck_reason) == ("undone", "")
    assert world.clean(before) is True
