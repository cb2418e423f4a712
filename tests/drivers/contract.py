"""What holds for every declared act of every driver, on the real thing and on the simulated one.

A technology's test file has a class derived from `Contract` with its worlds, real and simulated. A simulated world is
the real driver over a transport that exists only in memory, so that the plan proofs of `tests/operations` run the
driver's own code; it stands in `tests/drivers/simulated/<technology>.py`, named in `SIMULATED` there.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, ClassVar

import pytest

from drivers.acts import Act, Call
from drivers.base import Driver, Observation, PermanentError, TransientError
from tests.drivers import simulated

ROOT = Path(__file__).resolve().parents[2]
HOSTILE = (
    *("'", '"', "`", ";", "--", "$(id)", "a; drop table x", "x\x00y", "x\ny", "x\r\nSET y", "*", "../../etc/passwd"),
    *("-rf", "{{7*7}}", "%00", "é", "\u202e", "a" * 1000, ""),
)


class World(ABC):
    """One place where a driver acts. `examples` are parameters of each act, the way the API gets them."""

    driver_class: ClassVar[type[Driver]]
    examples: ClassVar[dict[str, dict[str, Any]]] = {}
    free_text: ClassVar[frozenset[str]] = frozenset()
    """Parameters (`act.name`) in which any text is right, such as a comment."""
    patience_seconds: ClassVar[float] = 0
    """How long an effect may need to be seen after `do` has returned."""

    @abstractmethod
    def driver(self) -> Driver:
        """A fresh driver, as a plan would get it."""

    @abstractmethod
    def picture(self) -> Any:
        """All that the acts may touch, comparable; read past the driver where that is possible."""

    @abstractmethod
    def prepare(self, act: Act[Any, Any]) -> None:
        """Bring about a state in which the act has something to do (a key to flush, a query to kill)."""

    @abstractmethod
    def unreachable(self) -> Driver:
        """A driver whose target does not answer."""

    def clean(self, before: Any, act: Act[Any, Any]) -> bool:
        """Whether the world is as good as before, after undoing."""
        return bool(self.picture() == before)


def worlds() -> dict[str, type[World]]:
    """The simulated world of every driver that declares acts, by driver kind."""
    found: dict[str, type[World]] = {}
    for module in pkgutil.iter_modules(simulated.__path__):
        found |= importlib.import_module(f"{simulated.__name__}.{module.name}").SIMULATED
    return found


def call(number: int = 1) -> Call:
    return Call(token=f"00000000-0000-0000-0000-000000000001:{number}", fence=None)


def acts(world: type[World]) -> dict[str, Act[Any, Any]]:
    return {act.name: act for act in world.driver_class.acts}


class Contract:
    """Derive from this; set `worlds` to functions that open a world for the time of the test class."""

    worlds: ClassVar[dict[str, Callable[[pytest.FixtureRequest], AbstractContextManager[World]]]]
    declared: ClassVar[type[Driver]]

    @pytest.fixture(scope="class")
    @classmethod
    def world(cls, request: pytest.FixtureRequest) -> Iterator[World]:
        with cls.worlds[request.param](request) as opened:
            yield opened

    @pytest.fixture
    def act(self, request: pytest.FixtureRequest) -> Act[Any, Any]:
        return request.param

    def test_it_is_observed(self, world: World):
        seen = world.driver().observe()
        assert isinstance(seen, Observation)
        assert (seen.kind, seen.healthy) == (self.declared.kind, True), seen
        assert json.loads(json.dumps(seen.facts)) == seen.facts
        assert all(isinstance(value, float | int) for value in seen.readings.values())

    def test_what_does_not_answer_is_down_and_not_an_exception(self, world: World):
        seen = world.unreachable().observe()
        assert (seen.healthy, bool(seen.facts["error"])) == (False, True)

    def test_an_act_is_done_once_and_taken_back(self, world: World, act: Act[Any, Any]):
        """The whole of one act: look, refuse nothing, do, see it, do again, undo, undo again."""
        world.prepare(act)
        driver, original = world.driver(), world.picture()
        params = act.parse(world.examples[act.name])
        assert [each for each in act.conditions(driver, params) if not each.holds] == []
        before = json.loads(json.dumps(act.before(driver, params)))
        assert act.done(driver, params, before) is False
        sent = act.sends(driver, params, before)
        assert sent, "an approver must be able to read what will be sent"
        assert all(isinstance(line, str) and line for line in sent)
        assert world.picture() == original, "looking changed something"
        if act.reversible():
            act.undo(world.driver(), params, before, call())
            assert world.clean(original, act), "undoing what never happened did something"
        json.dumps(act.do(world.driver(), params, before, call()))
        assert act.done(world.driver(), params, before) is True
        once = world.picture()
        act.do(world.driver(), params, before, call())
        assert world.picture() == once, "the second time did something"
        assert act.done(world.driver(), params, before) is True
        if act.reversible():
            act.undo(world.driver(), params, before, call())
            assert world.clean(original, act)
            restored = world.picture()
            act.undo(world.driver(), params, before, call())
            assert world.picture() == restored

    def test_hostile_parameters_are_refused_without_effect(self, world: World, act: Act[Any, Any]):
        example = world.examples[act.name]
        texts = [name for name, shape in act.schema()["properties"].items() if "string" in str(shape.get("type"))]
        tried = [name for name in texts if f"{act.name}.{name}" not in world.free_text]
        if not tried:
            pytest.skip("takes no text")
        world.prepare(act)
        original = world.picture()
        for name in tried:
            for value in HOSTILE:
                with pytest.raises(PermanentError):
                    self._all_of(act, world, {**example, name: value})
        assert world.picture() == original

    @staticmethod
    def _all_of(act: Act[Any, Any], world: World, given: dict[str, Any]) -> None:
        params = act.parse(given)
        driver = world.driver()
        if failing := [each.text for each in act.conditions(driver, params) if not each.holds]:
            raise PermanentError("; ".join(failing))
        act.do(driver, params, act.before(driver, params), call())

    def test_a_target_that_does_not_answer_is_asked_again(self, world: World, act: Act[Any, Any]):
        world.prepare(act)
        before = act.before(world.driver(), act.parse(world.examples[act.name]))
        with pytest.raises(TransientError):
            act.do(world.unreachable(), act.parse(world.examples[act.name]), before, call())

    def test_the_documented_connection_is_what_the_driver_takes(self, world: World):
        """`docs/drivers/<kind>.md` shows one connection as JSON; every fact in it is one that the driver reads."""
        text = (ROOT / "docs/drivers" / f"{self.declared.kind}.md").read_text()
        ((_, shown),) = json.loads(text.partition("```json\n")[2].partition("\n```")[0]).items()
        actual = world.driver()
        assert shown["driver"] == self.declared.kind
        # a reference to another connection or a place on a host is this world's own
        type(actual)({**shown, **actual.facts}, actual.secrets, actual.related).observe()

    def test_an_act_says_what_an_approver_must_know(self, act: Act[Any, Any]):
        assert act.title
        assert act.summary.endswith(".")
        assert bool(act.why_no_undo) != bool(act.undo_title)
        for name, shape in act.schema()["properties"].items():
            assert shape.get("title"), f"{act.name}.{name} has no title for the form"
