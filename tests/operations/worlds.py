"""Simulated worlds in which every registered plan is proved, and ways to make it fail at any point.

An app that registers plans brings ``tests/<app>/worlds.py`` with ``WORLDS: dict[str, type[World]]`` by plan kind.
"""

from __future__ import annotations

import copy
import dataclasses
import functools
import importlib
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import timedelta
from typing import Any

from django.conf import settings

from operations import actions, engine, plan
from operations.models import Operation
from operations.plan import Act, Plan, StepContext
from portal import clock, events

Hook = Callable[[str, str, StepContext], None]
ENOUGH = 400


class World:
    """One simulated piece of infrastructure with a plan wired to it. A new instance is a new world."""

    params: dict[str, Any] = {}

    def plan(self) -> Plan:
        """The plan, with its drivers replaced by this world's."""
        raise NotImplementedError

    def subject(self) -> Any:
        """The row the plan works on."""
        raise NotImplementedError

    def picture(self) -> Any:
        """All that the plan may touch, comparable. Repeating an act must leave it the same."""
        raise NotImplementedError

    def clean(self, before: Any) -> bool:
        """Whether the world is as good as before, after unwinding."""
        return bool(self.picture() == before)

    def reached(self, before: Any) -> bool:
        """Whether the plan's purpose is fulfilled, after success."""
        raise NotImplementedError


@functools.cache
def worlds() -> dict[str, type[World]]:
    """Every app's worlds by plan kind."""
    found: dict[str, type[World]] = {}
    for app in settings.INSTALLED_APPS:
        if (
            "." not in app
            and importlib.util.find_spec(f"tests.{app}")
            and importlib.util.find_spec(f"tests.{app}.worlds")
        ):
            found |= getattr(importlib.import_module(f"tests.{app}.worlds"), "WORLDS", {})
    return found


class Killed(BaseException):
    """The worker dies here: nothing after it runs, nothing is recorded."""


def hooked(original: Plan, hook: Hook, *, twice: bool = False) -> Plan:
    """A copy of the plan that tells ``hook`` (moment, verb, context) around every do and undo; does each ``twice``."""

    def wrap(verb: str, call: Callable[[StepContext], dict[str, Any]]) -> Callable[[StepContext], dict[str, Any]]:
        def wrapped(ctx: StepContext) -> dict[str, Any]:
            hook("before", verb, ctx)
            output = call(ctx)
            if twice:
                hook("between", verb, ctx)
                output = call(ctx)
            hook("after", verb, ctx)
            return output

        return wrapped

    def act(one: Act) -> Act:
        undo = wrap("undo", one.undo) if one.undo else None
        return dataclasses.replace(one, do=wrap("do", one.do), undo=undo, undo_title=one.taking_back)

    made = copy.copy(original)
    made.acts = tuple(act(one) for one in original.acts)
    return made


@contextmanager
def registered(it: Plan) -> Iterator[Plan]:
    """The plan stands in the registry, in place of what was there, during the block."""
    key = (it.kind, it.version)
    before = plan.registry.get(key)
    plan.registry[key] = it
    try:
        yield it
    finally:
        del plan.registry[key]
        if before is not None:
            plan.registry[key] = before


def ask(world: World, **how: Any) -> Operation:
    """The plan of the world is requested by the portal itself."""
    it = world.plan()
    return actions.request(it.kind, world.subject(), by=events.SYSTEM, params=world.params, **how)


def drive(operation: Operation) -> Operation:
    """Be the worker until the operation needs nobody any more. Waits and leases of the dead pass in no time."""
    with ExitStack() as time:
        for _ in range(ENOUGH):
            operation.refresh_from_db()
            if operation.state not in ("queued", "running", "undoing"):
                return operation
            for instant in (operation.not_before, operation.lease_until):
                if instant and instant > clock.now():
                    time.enter_context(clock.travel(instant - clock.now() + timedelta(milliseconds=1)))
            try:
                engine.advance(operation.pk)
            except Killed:
                continue
    raise AssertionError(f"{operation} never ended; it is {operation.state}")
