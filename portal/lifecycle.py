"""Lifecycles declared once.

From one table of states and transitions come: model choices and a CHECK, the
guarded move, permissions, API routes, badges, buttons, timeline wording, a
Mermaid diagram and the generated test matrix.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Protocol

from django.db import models

from portal.errors import Denied, IllegalTransition, StepUpRequired


class Tone(StrEnum):
    """How a state looks. One tone, one colour, everywhere."""

    NEUTRAL = "neutral"
    INFO = "info"
    GOOD = "good"
    WARN = "warn"
    BAD = "bad"
    MUTED = "muted"


@dataclass(frozen=True)
class State:
    """One state: stored value, label, tone, what it means in one sentence."""

    value: str
    label: str
    tone: Tone
    meaning: str
    terminal: bool = False


@dataclass(frozen=True)
class Transition:
    """One move. ``sources`` is empty for the move that creates the row.

    ``fields`` are the inputs it asks a person for; ``second_person`` and ``step_up`` say what
    else it needs; ``internal`` moves belong to the system and have no button and no route.
    """

    name: str
    sources: tuple[str, ...]
    target: str
    permission: str
    label: str
    past: str
    fields: tuple[str, ...] = ()
    second_person: bool = False
    step_up: bool = False
    internal: bool = False
    tone: Tone = Tone.NEUTRAL


@dataclass(frozen=True)
class Availability:
    """A button: the transition, and why it cannot be used now (empty when it can)."""

    transition: Transition
    reason: str = ""

    @property
    def enabled(self) -> bool:
        return not self.reason


class Actor(Protocol):
    """Whoever acts: an account, or the system itself (``portal.events.SYSTEM``)."""

    @property
    def pk(self) -> Any: ...

    def has_perm(self, perm: str, obj: Any = None) -> bool: ...


registry: dict[str, Lifecycle] = {}


@dataclass
class Lifecycle:
    """States and transitions of one noun, e.g. ``incidents.incident``. Creating one registers it."""

    name: str
    states: tuple[State, ...]
    transitions: tuple[Transition, ...]
    beside: tuple[Transition, ...] = ()  # verbs of the noun that leave its state alone; timelines take their words here
    _by_value: dict[str, State] = field(init=False, repr=False)
    _by_name: dict[str, Transition] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        self._by_value = {state.value: state for state in self.states}
        self._by_name = {transition.name: transition for transition in self.transitions}
        known = set(self._by_value)
        for transition in self.transitions:
            unknown = {*transition.sources, transition.target} - known
            if unknown:
                raise ValueError(f"{self.name}.{transition.name} names unknown states {sorted(unknown)}")
        registry[self.name] = self

    def __getitem__(self, name: str) -> Transition:
        return self._by_name[name]

    def __iter__(self) -> Iterator[Transition]:
        return iter(self.transitions)

    def state(self, value: str) -> State:
        return self._by_value[value]

    @property
    def choices(self) -> list[tuple[str, str]]:
        return [(state.value, state.label) for state in self.states]

    @property
    def initial(self) -> str:
        return next(transition.target for transition in self.transitions if not transition.sources)

    @property
    def terminal(self) -> tuple[str, ...]:
        return tuple(state.value for state in self.states if state.terminal)

    @property
    def open(self) -> tuple[str, ...]:
        return tuple(state.value for state in self.states if not state.terminal)

    def field(self) -> models.CharField[str, str]:
        """The ``state`` column of the noun."""
        return models.CharField(max_length=32, choices=self.choices, default=self.initial, db_index=True)

    def check(self) -> models.CheckConstraint:
        """A CHECK that no other value is ever stored, whoever writes."""
        return models.CheckConstraint(
            condition=models.Q(state__in=list(self._by_value)), name=self.name.replace(".", "_") + "_state"
        )

    def possible(self, state: str) -> list[Transition]:
        """Moves a person can make from ``state``."""
        return [move for move in self.transitions if state in move.sources and not move.internal]

    def available(self, obj: Any, actor: Actor, *, all_moves: bool = False) -> list[Availability]:
        """Buttons of ``obj`` for ``actor``: each move possible now, with the reason where it is refused.

        A model may add reasons of its own through ``reason_against(transition, actor) -> str``.
        With ``all_moves`` the moves of other states are listed too, as refused.
        """
        moves = [m for m in self.transitions if m.sources and not m.internal] if all_moves else self.possible(obj.state)
        return [Availability(move, self._reason(obj, move, actor)) for move in moves]

    def _reason(self, obj: Any, move: Transition, actor: Actor) -> str:
        if obj.state not in move.sources:
            return f"Not possible while {self.state(obj.state).label.lower()}."
        if not actor.has_perm(move.permission, obj):
            return f"Needs the right “{move.permission}” here."
        against = getattr(obj, "reason_against", None)
        return against(move, actor) if against else ""

    def mermaid(self) -> str:
        """The machine as a Mermaid state diagram."""
        lines = ["stateDiagram-v2"]
        lines += [f"    {state.value} : {state.label}" for state in self.states]
        for move in self.transitions:
            for source in move.sources or ("[*]",):
                lines.append(f"    {source} --> {move.target} : {move.name}")
        lines += [f"    {state.value} --> [*]" for state in self.states if state.terminal]
        return "\n".join(lines)


def authorize(by: Actor, permission: str, obj: Any = None) -> None:
    """Refuse with ``Denied`` unless ``by`` holds ``permission`` on ``obj``'s scope."""
    if not by.has_perm(permission, obj):
        raise Denied(f"You do not hold the right “{permission}” here.")


def move(obj: Any, name: str, *, by: Actor, **values: Any) -> Any:
    """Authorize, then change the state by compare-and-set, with ``values`` in the same statement.

    The row is written only if it still is in one of the transition's source states *and*
    nobody else has moved it since ``obj`` was read (``row_version``). ``obj`` is updated in place.
    Raises ``Denied``, ``StepUpRequired`` or ``IllegalTransition``; then nothing was written.
    """
    from portal import events

    lifecycle: Lifecycle = obj.lifecycle
    transition = lifecycle[name]
    authorize(by, transition.permission, obj)
    if transition.step_up and not events.stepped_up():
        raise StepUpRequired("This needs a second factor shown within the last five minutes.")
    rows = type(obj)._base_manager.filter(pk=obj.pk, state__in=transition.sources, row_version=obj.row_version)
    written = rows.update(state=transition.target, row_version=models.F("row_version") + 1, **values)
    if not written:
        _refuse(obj, lifecycle, transition)
    obj.state = transition.target
    obj.row_version += 1
    for key, value in values.items():
        setattr(obj, key, value)
    return obj


def move_many(objs: Sequence[Any], name: str, *, by: Actor, **values: Any) -> None:
    """``move`` many of one noun alike, each by compare-and-set: a statement for each version among them, or none moves.

    Must be called in a transaction. For moves of the portal itself: a step-up is not asked for.
    """
    versions: dict[int, list[Any]] = {}
    for obj in objs:
        transition = obj.lifecycle[name]
        authorize(by, transition.permission, obj)
        versions.setdefault(obj.row_version, []).append(obj)
    for version, same in versions.items():
        rows = type(same[0])._base_manager.filter(
            pk__in=[obj.pk for obj in same], state__in=transition.sources, row_version=version
        )
        if rows.update(state=transition.target, row_version=version + 1, **values) != len(same):
            raise IllegalTransition("Somebody changed one of them a moment ago. Look again, then decide.")
        for obj in same:
            obj.state, obj.row_version = transition.target, version + 1
            for key, value in values.items():
                setattr(obj, key, value)


def _refuse(obj: Any, lifecycle: Lifecycle, transition: Transition) -> None:
    current = type(obj)._base_manager.filter(pk=obj.pk).values_list("state", flat=True).first()
    if current is None:
        raise IllegalTransition("It no longer exists.")
    if current in transition.sources:
        raise IllegalTransition("Somebody changed it a moment ago. Look again, then decide.")
    raise IllegalTransition(f"“{transition.label}” is not possible while {lifecycle.state(current).label.lower()}.")


def expect_version(obj: Any, version: int | None) -> None:
    """Refuse when the caller looked at an older version than ``obj`` is now (``None``: the caller does not care)."""
    if version is not None and version != obj.row_version:
        raise IllegalTransition("It was changed since you looked. Load it again, then decide.")


class Stateful(models.Model):
    """Base of every noun with a lifecycle: ``state`` and the version that guards it.

    The concrete model sets ``lifecycle``, ``state = lifecycle.field()`` and adds ``lifecycle.check()``.
    """

    lifecycle: Lifecycle
    row_version = models.PositiveIntegerField(default=1, editable=False)

    class Meta:
        abstract = True

    @property
    def state_info(self) -> State:
        return self.lifecycle.state(self.state)  # type: ignore[attr-defined]


def permissions() -> Iterable[str]:
    """Every permission that any declared transition asks for."""
    return sorted({move.permission for lifecycle in registry.values() for move in lifecycle})
