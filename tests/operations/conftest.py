"""Operations in any state, reached by the real verbs and the real engine."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from operations import actions, engine
from operations.models import Operation
from operations.plan import registry
from portal import events
from tests import world
from tests.operations.counting import KIND, Counting
from tests.operations.scripted import Scripted
from tests.operations.worlds import drive

At = Callable[..., Operation]


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> Counting:
    """The counting plan, registered for this test."""
    it = Counting()
    monkeypatch.setitem(registry, (KIND, 1), it)
    return it


@pytest.fixture
def at(counting: Counting, tmp_path: Path) -> At:
    """``at("stuck")``: an operation on production × api in that state; ``by`` asks, ``how`` goes to the request."""
    numbers = itertools.count(1)

    def reach(state: str, by: Any = events.SYSTEM, **how: Any) -> Operation:
        name = f"thing-{next(numbers)}"
        (tmp_path / name).mkdir()
        fails = state in ("undoing", "undone", "stuck", "halted")
        if state == "halted":
            how["on_failure"] = "halt"
        params = {"folder": str(tmp_path / name), "fails": fails, "sticks": state == "stuck"} | how.pop("params", {})
        how.setdefault("draft", state == "planned")
        how.setdefault("approvals", 1 if state == "awaiting_approval" else 0)
        subject = how.pop("subject", None) or world.component(f"production/us-central/{name}", service="api")
        operation = actions.request(KIND, subject, by=by, params=params, **how)
        if state == "cancelled":
            return actions.cancel(operation, by=events.SYSTEM)
        if state == "paused":
            assert engine.advance(operation.pk) is True
            operation.refresh_from_db()
            return actions.pause(operation, by=events.SYSTEM)
        if state in ("done", "undone", "stuck", "halted"):
            return drive(operation)
        while operation.state != state:
            assert engine.advance(operation.pk) is True
            operation.refresh_from_db()
        return operation

    return reach


@pytest.fixture
def owner(db: None) -> Any:
    return world.account("owner", "operations_owner", ("production", "*"))


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Operation]:
    """``run(plan)``: the operation, asked for by the system on one component; ``how`` goes to the request."""

    def ask(it: Scripted, **how: Any) -> Operation:
        monkeypatch.setitem(registry, (it.kind, 1), it)
        return actions.request(it.kind, world.component(), **{"by": events.SYSTEM} | how)

    return ask
