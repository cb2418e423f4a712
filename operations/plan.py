"""Plans: what an operation consists of. Each app declares its plans in ``plans.py`` and registers them here."""

from __future__ import annotations

import hashlib
import inspect
import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Protocol
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
    of earlier steps by position. ``log`` appends a line that people see at once. ``alive`` asks the database whether
    the claim still holds: an act does so immediately before it touches the world.
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
    alive: Callable[[], bool] = lambda: True

    @property
    def token(self) -> str:
        return f"{self.operation_id}:{self.position}"

    def wait_until(self, instant: datetime, reason: str) -> None:
        """Go on when ``instant`` has passed; raises ``Wait`` until then."""
        seconds = (instant - clock.now()).total_seconds()
        if seconds > 0:
            raise Wait(seconds, reason)


class Condition(Protocol):
    """Something that must hold: a sentence, whether it does, and what was seen instead."""

    @property
    def text(self) -> str: ...
    @property
    def holds(self) -> bool: ...
    @property
    def seen(self) -> str: ...


def failing(conditions: Sequence[Condition]) -> list[str]:
    """One sentence for each condition that does not hold."""
    return [each.text + (f" ({each.seen})" if each.seen else "") for each in conditions if not each.holds]


@dataclass(frozen=True)
class Act:
    """One kind of step: how it is done, taken back, and seen to be so.

    ``done`` looks at the world and answers whether ``do`` has nothing left to do; the engine asks it before and after
    ``do``. ``undo`` must be repeatable and must do nothing when ``do`` never had an effect; its docstring's first line
    is what an approver reads, unless ``undo_title`` says it. Without ``undo``, ``why_no_undo`` says why none is
    needed. ``read`` gives the output when the effect was found already there. Errors with ``permanent = False`` are
    tried again; every other error unwinds the plan. ``conditions`` are what must hold for ``do`` to make sense: looked
    at when the plan is made, and again immediately before ``do``.
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
    conditions: Callable[[StepContext], Sequence[Condition]] | None = None

    @property
    def reversible(self) -> bool:
        """Whether it can be taken back (templates would call ``undo`` itself)."""
        return self.undo is not None

    @property
    def taking_back(self) -> str:
        """What undoing does, or why there is nothing to undo, in one sentence."""
        if self.undo is None:
            return self.why_no_undo
        return self.undo_title or (inspect.getdoc(self.undo) or "").partition("\n")[0]


@dataclass(frozen=True)
class StepDraft:
    """A step before it is stored: which act, the sentence people read, and its arguments (JSON, no secrets).

    ``sends``: the lines that will go to the target. ``conditions``: what was seen to hold, a sentence each.
    """

    act: str
    title: str
    arguments: Report = field(default_factory=dict)
    sends: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Approvers:
    """So many persons who hold this role on the subject's scope."""

    role: str
    count: int = 1


class Plan:
    """Base of all plans. A subclass sets the class attributes and writes ``draft`` and ``target``.

    ``observes`` says that drafting reads the world, so that it must not happen inside a transaction.
    ``approval_step_up`` asks approvers for a fresh second factor. ``steered`` says that its operations are parts of
    something that people agree to as a whole: the portal alone tells them to run. ``draft_valid`` is how long a
    drafted plan may wait for its confirmation before what it saw counts as outdated, ``approval_valid`` how long an
    agreement counts. ``risk`` is what may go wrong
    when all goes as planned: "low" (nobody notices), "medium" (slower, fewer), "high" (users notice, or something is
    lost). ``applies_to`` says in a few words on what it can run, ``needs`` what must be there for it, ``family`` under
    which heading lists show it (the kind's first part when it does not say).
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
    approval_valid: timedelta = timedelta(hours=24)
    risk: str = "low"
    applies_to: str = ""
    needs: str = ""
    family: str = ""
    simulated: str = ""  # what of it could only be tried against a simulation
    params_schema: dict[str, Any] = {"type": "object", "additionalProperties": False}

    @property
    def heading_in_lists(self) -> str:
        """The heading it stands under in lists of plans."""
        return self.family or self.kind.partition(".")[0].capitalize()

    @property
    def short(self) -> str:
        """The title without its subject, for lists of plans."""
        return re.sub(r"( (in|of|on|to))?:? *\{subject\}", "", self.title).strip(": ")

    def fits(self, subject: Any) -> bool:
        """Whether it can be asked for on ``subject`` at all; looks at no world."""
        return False

    def approvals(self, subject: Any) -> list[Approvers]:
        """Who has to agree before it runs on ``subject``, beyond what a caller asks for."""
        return []

    def heading(self, subject: Any, params: Report) -> str:
        """What the operation is called."""
        return self.title.format(subject=subject)

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


def newest() -> list[Plan]:
    """The newest version of every plan, by kind."""
    return [get(kind) for kind in sorted({kind for kind, _ in registry})]


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
