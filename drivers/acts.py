"""Acts: what a driver can do to its component, each declared once, as a class.

The declaration is all there is: plans, forms, the API's schema, the catalogue page and the documentation are made from
it, and the contract suite (`tests/drivers/contract.py`) runs every declared act on the real thing and on a simulated
one. An act holds no state; what it has to remember between looking and doing is what `before` returned, which is kept
in a row and shown to people, so it must be plain JSON data without secrets.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, cast

import msgspec

from drivers.base import Driver
from drivers.errors import InvalidInput, PermanentError, StaleFence

Facts = Mapping[str, Any]
Report = dict[str, Any]


class Risk(enum.StrEnum):
    """What may go wrong when all goes as declared.

    LOW: nobody notices. MEDIUM: slower or fewer instances for a while. HIGH: users may notice, or something is lost.
    """

    LOW = "low"
    MEDIUM = "medium"
    HIGH = "high"


class Parameters(msgspec.Struct, kw_only=True, forbid_unknown_fields=True):
    """What an act is given. Fields carry `msgspec.Meta(title=…, description=…, pattern=…, ge=…, le=…)`.

    The JSON Schema made of it drives form, API and documentation. What a schema cannot say is refused by the act with
    `InvalidInput` before anything is touched.
    """


class Nothing(Parameters):
    """An act that needs nothing to be said."""


@dataclass(frozen=True, slots=True)
class Condition:
    """Something that must hold for the act to make sense: a sentence, whether it holds, and what was seen instead."""

    text: str
    holds: bool
    seen: str = ""


def _quiet(*_: Any) -> None:
    """Nobody listens."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of an act.

    `token` names the step for good and `fence` grows with every claim of any operation: where the target can keep
    them, outdated callers are recognised there (`drivers.locks`). `alive` answers whether the caller's claim still
    holds; drivers ask through `check` immediately before each effect. `log` takes one line for people, `progress` how
    much of how much is done.
    """

    token: str
    fence: int | None = None
    log: Callable[[str], None] = _quiet
    progress: Callable[[int, int], None] = _quiet
    alive: Callable[[], bool] | None = None

    def check(self) -> None:
        """Raise `StaleFence` when the caller has lost its claim: it must not touch the world any more."""
        if self.alive is not None and not self.alive():
            raise StaleFence("the claim on this step is over: another worker may be at it")


class Act[D: Driver, P: Parameters]:
    """Base of all acts. A subclass sets the class attributes and overrides the methods that it needs.

    `title` may name parameters (`"Set {name} to {value}"`). `undo_title` says what undoing does; an act that cannot be
    taken back says `why_no_undo` instead. `done` compares the world with what `before` saw; the engine asks it before
    and after `do`, so `do` is only called while something is left to do, and must stand being called again.

    All methods may raise `TransientError` (asking again can help), `PermanentError` and `InvalidInput`.
    """

    name: ClassVar[str]
    title: ClassVar[str]
    summary: ClassVar[str]
    risk: ClassVar[Risk]
    Parameters: ClassVar[type[Parameters]] = Nothing
    undo_title: ClassVar[str] = ""
    why_no_undo: ClassVar[str] = ""
    timeout_seconds: ClassVar[float] = 60

    def check(self, params: P) -> None:
        """Refuse what the schema lets through, with `InvalidInput`; touches nothing."""

    def conditions(self, driver: D, params: P) -> list[Condition]:
        """What must hold now. Asked when the plan is made, and again immediately before the act."""
        return []

    def before(self, driver: D, params: P) -> Report:
        """What is there now, as far as `done` and `undo` need it, or people want to read it."""
        return {}

    def sends(self, driver: D, params: P, before: Facts) -> list[str]:
        """The commands, statements or requests that `do` would send, as an operator would type them; no secrets."""
        raise NotImplementedError

    def done(self, driver: D, params: P, before: Facts) -> bool:
        """Whether the world shows the effect already; only looks."""
        raise NotImplementedError

    def do(self, driver: D, params: P, before: Facts, call: Call) -> Report:
        """Make it so, and return facts for people."""
        raise NotImplementedError

    def undo(self, driver: D, params: P, before: Facts, call: Call) -> Report:
        """Bring back what `before` saw. Does nothing when `do` had no effect, and stands being called again."""
        raise PermanentError(self.why_no_undo)

    @classmethod
    def reversible(cls) -> bool:
        """Whether the act can be taken back."""
        return not cls.why_no_undo

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """The JSON Schema (2020-12) of the parameters, as one object without references."""
        (shape,), components = msgspec.json.schema_components([cls.Parameters])
        if "$ref" in shape:
            shape = components[shape["$ref"].rpartition("/")[2]]
        return {name: value for name, value in shape.items() if name not in ("title", "description")}

    def parse(self, given: Facts) -> P:
        """The parameters as a typed, checked value; `InvalidInput` with what is wrong.

        No text may hold a control character (a pattern's `$` would let a newline through), except in a field whose
        schema has the format `text`: that one may have several lines.
        """
        for name, value in given.items():
            lines = self.schema()["properties"].get(name, {}).get("format") == "text"
            _printable(name, value, (set("\n\t") if lines else set()))
        try:
            params = msgspec.convert(dict(given), self.Parameters)
        except (msgspec.ValidationError, UnicodeError) as error:
            raise InvalidInput(str(error)[:500]) from None
        self.check(cast(P, params))
        return cast(P, params)


def _printable(name: str, value: object, also: set[str]) -> None:
    if isinstance(value, str) and not all(sign.isprintable() or sign in also for sign in value):
        raise InvalidInput(f"{name} holds a control character")
    if isinstance(value, list):
        for item in value:
            _printable(name, item, also)
