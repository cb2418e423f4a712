"""Plans: what an operation consists of. Each app declares its plans in ``plans.py`` and registers them here."""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.core.serializers.json import DjangoJSONEncoder

from portal import clock

MAX_SECONDS = 600
MAX_LINE = 2000
Report = dict[str, Any]


class Wait(Exception):
    """Raised by an act that has to go on later: the step goes back and is asked again after ``seconds``.

    Nothing blocks a worker meanwhile. ``reason`` is shown to people. A wait is not a failed try.
    """

    def __init__(self, seconds: float, reason: str) -> None:
        super().__init__(reason)
        self.seconds = seconds
        self.reason = reason


def _quiet(*_: Any) -> None:
    """Nobody listens."""


@dataclass(frozen=True)
class StepContext:
    """What an act knows while it runs.

    ``token`` names the step for good ("<operation>:<position>"), ``fence`` grows with every claim of any operation:
    drivers hand both to the host, so that repeated and outdated calls are recognised there. ``facts`` are the outputs
    of earlier steps by position. ``log`` appends a line that people see at once.
    """

    operation_id: UUID
    position: int
    attempt: int
    fence: int
    arguments: Report
    params: Report
    facts: dict[int, Report] = field(default_factory=dict)
    log: Callable[[str], None] = _quiet
    progress: Callable[[int, int], None] = _quiet

    @property
    def token(self) -> str:
        return f"{self.operation_id}:{self.position}"

    def wait_until(self, instant: datetime, reason: str) -> None:
        """Go on when ``instant`` has passed; raises ``Wait`` until then."""
        seconds = (instant - clock.now()).total_seconds()
        if seconds > 0:
            raise Wait(seconds, reason)


@dataclass(frozen=True)
class Act:
    """One kind of step: how it is done, taken back, and seen to be so.

    ``done`` looks at the world and answers whether ``do`` has nothing left to do; the engine asks it before and after
    ``do``. ``undo`` must be repeatable and must do nothing when ``do`` never had an effect; its docstring's first line
    is what an approver reads, unless ``undo_title`` says it. Without ``undo``, ``why_no_undo`` says why none is
    needed. ``read`` gives the output when the effect was found already there. Errors with ``permanent = False`` are
    tried again; every other error unwinds the plan.
    """

    name: str
    title: str
    do: Callable[[StepContext], Report]
    undo: Callable[[StepContext], Report] | None
    done: Callable[[StepContext], bool]
    why_no_undo: str = ""
    timeout_seconds: float = 60
    undo_title: str = ""
    read: Callable[[StepContext], Report] | None = None

    @property
    def taking_back(self) -> str:
        """What undoing does, or why there is nothing to undo, in one sentence."""
        if self.undo is None:
            return self.why_no_undo
        return self.undo_title or (inspect.getdoc(self.undo) or "").partition("\n")[0]


@dataclass(frozen=True)
class StepDraft:
    """A step before it is stored: which act, the sentence people read, and its arguments (JSON, no secrets)."""

    act: str
    title: str
    arguments: Report = field(default_factory=dict)


class Plan:
    """Base of all plans. A subclass sets the class attributes and writes ``draft`` and ``target``.

    ``observes`` says that drafting reads the world, so that it must not happen inside a transaction.
    ``approval_step_up`` asks approvers for a fresh second factor. ``steered`` says that its operations are parts of
    something that people agree to as a whole: the portal alone tells them to run. ``draft_valid`` is how long a
    drafted plan may wait for its confirmation before what it saw counts as outdated.
    """

    kind: str
    version: int = 1
    title: str
    summary: str = ""
    permission: str
    acts: tuple[Act, ...]
    mutating: bool = True
    observes: bool = False
    approval_step_up: bool = False
    steered: bool = False
    draft_valid: timedelta = timedelta(minutes=30)
    params_schema: dict[str, Any] = {"type": "object", "additionalProperties": False}

    def draft(self, subject: Any, params: Report) -> Sequence[StepDraft]:
        """The steps for ``subject``. Raises ``Refused`` when there is nothing sensible to do."""
        raise NotImplementedError

    def target(self, subject: Any) -> str:
        """What two operations may not change at the same time, such as a component's slug."""
        raise NotImplementedError

    def queue(self, subject: Any) -> str:
        """The Celery queue that reaches the subject: a data center's slug, or "default"."""
        return "default"

    def act(self, name: str) -> Act:
        return next(act for act in self.acts if act.name == name)


registry: dict[tuple[str, int], Plan] = {}


class UnknownPlan(LookupError):
    """This process has no such plan; a worker of another release may have it."""


def register(plan: Plan) -> Plan:
    """Make ``plan`` known. Refuses acts that could not be carried out or would not say how they are undone."""
    names = [act.name for act in plan.acts]
    if len(set(names)) != len(names):
        raise ValueError(f"{plan.kind}: two acts have the same name")
    for act in plan.acts:
        if not act.taking_back:
            raise ValueError(f"{plan.kind}.{act.name} has no undo and does not say why, or does not say what undo does")
        if act.timeout_seconds > MAX_SECONDS:
            raise ValueError(f"{plan.kind}.{act.name} may take at most {MAX_SECONDS} seconds; let it wait instead")
    if (plan.kind, plan.version) in registry:
        raise ValueError(f"{plan.kind} version {plan.version} is registered twice")
    registry[plan.kind, plan.version] = plan
    return plan


def get(kind: str, version: int | None = None) -> Plan:
    """The plan of ``kind``, its newest version unless one is named. Raises ``UnknownPlan``."""
    if version is None:
        version = max((known for name, known in registry if name == kind), default=0)
    try:
        return registry[kind, version]
    except KeyError:
        raise UnknownPlan(f"there is no plan {kind} version {version} here") from None


def steered(kind: str, version: int) -> bool:
    """Whether the portal alone tells such an operation to run. Of a plan that is not known here nobody can say less."""
    known = registry.get((kind, version))
    return known is None or known.steered


def digest(facts: Report) -> str:
    """SHA-256 of the canonical JSON of ``facts``: what an approval is bound to."""
    text = json.dumps(facts, sort_keys=True, separators=(",", ":"), cls=DjangoJSONEncoder)
    return hashlib.sha256(text.encode()).hexdigest()
