"""Rows on their way into the database, and everything that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, Literal, NamedTuple
from uuid import UUID

from inventory.writing.declarations import Declaration
from portal.errors import Conflict, Denied, Invalid, Refused

Mode = Literal["create", "update", "upsert", "replace", "remove"]
"""``create``: none may be there. ``update``: all must be. ``upsert``: by key, what is absent stays as it is.
``replace``: all must be there, and what is absent gets its default. ``remove``: all must be there."""
SHOWN = 100
"""How many problems a refusal spells out as sentences; its ``errors`` are always complete."""


class NotThere(Invalid):
    """None of the rows that were named is there, as far as the actor may see."""


class Stale(Conflict):
    """It was changed since it was read (RFC 9110, 15.5.13)."""

    status = 412
    title = "Changed meanwhile"


REFUSALS: dict[str, tuple[type[Refused], str]] = {
    "invalid": (Invalid, "Nothing was changed."),
    "missing": (NotThere, "Nothing was changed."),
    "conflict": (Conflict, "Nothing was changed, because something is in the way."),
    "stale": (Stale, "Nothing was changed, because it is no longer what you read. Read it again, then decide."),
}


@dataclass(frozen=True)
class Change:
    """One row: ``create``, ``change`` or ``remove``; ``fields`` are names with the values before and after."""

    act: str
    noun: str
    key: str
    fields: tuple[tuple[str, Any, Any], ...] = ()


@dataclass(frozen=True, order=True)
class Mistake:
    """What is wrong with one row.

    ``kind``: invalid, missing (no such row), conflict (something is in the way), stale (see ``Stale``).
    """

    index: int
    field: str
    sentence: str
    kind: str = "invalid"

    def as_dict(self) -> dict[str, Any]:
        """As the API tells it."""
        return {"index": self.index, "field": self.field, "detail": self.sentence}


class Target(NamedTuple):
    """What a reference leads to."""

    pk: UUID
    slug: str
    environment_id: UUID | None = None
    scope_id: UUID | None = None


Beside = dict[str, dict[str, Target]]
"""Noun → slug → what will be there."""


def denial(denied: Iterable[tuple[str, str]]) -> Denied:
    """The refusal of (action, where) that somebody lacks."""
    problems = [f"“{action}” is needed on {where}." for action, where in sorted(denied)]
    return Denied("You do not hold the right that this needs.", problems[:SHOWN])


@dataclass(slots=True)
class Row:
    """One row. ``current`` is what is stored; ``values`` what shall be, with names and, as ``<name>_id``, keys."""

    index: int
    given: dict[str, Any]
    id: UUID | None = None
    revision: int | None = None
    current: dict[str, Any] | None = None
    values: dict[str, Any] = field(default_factory=dict)
    act: str = ""
    changed: tuple[str, ...] = ()


@dataclass
class Batch:
    """Rows of one noun, checked together. ``targets``: noun → slug → what references lead to. See ``check``.

    ``scopes``: environment and service → key of their scope, as far as it is known.
    """

    declaration: Declaration
    mode: Mode
    by: Any
    catalog: str = ""
    rows: list[Row] = field(default_factory=list)
    mistakes: list[Mistake] = field(default_factory=list)
    denied: set[tuple[str, str]] = field(default_factory=set)
    targets: dict[str, dict[str, Target]] = field(default_factory=dict)
    scopes: dict[tuple[str, str], Any] = field(default_factory=dict)
    beside: Beside = field(default_factory=dict)
    settled: Iterable[UUID] = ()
    _wrong: set[int] = field(default_factory=set)

    def wrong(self, row: Row, name: str, sentence: str, kind: str = "invalid") -> None:
        """Note a mistake; the row takes no further part."""
        self.mistakes.append(Mistake(row.index, name, sentence, kind))
        self._wrong.add(row.index)

    def hide(self, row: Row, name: str, sentence: str, kind: str) -> None:
        """The actor may not see what is there: whatever else was noted about it is not told."""
        self.mistakes = [mistake for mistake in self.mistakes if mistake.index != row.index]
        self.wrong(row, name, sentence, kind)

    def sound(self) -> Iterable[Row]:
        """Rows without a mistake so far."""
        return [row for row in self.rows if row.index not in self._wrong] if self._wrong else self.rows

    def acting(self, *acts: str) -> list[Row]:
        """Rows that are created, changed or removed."""
        return [row for row in self.sound() if row.act in acts]

    def target(self, row: Row, name: str) -> Target | None:
        """What the reference ``name`` of ``row`` leads to."""
        slug = row.values.get(name) or row.given.get(name)
        return self.targets.get(self.declaration.references[name].noun, {}).get(slug) if slug else None

    def label(self, row: Row) -> str:
        """The row's key as people read it."""
        return self.declaration.label_of({**(row.current or {}), **row.given, **row.values})

    def refuse_mistakes(self) -> None:
        """Raise ``Denied``, ``Conflict`` or ``Invalid`` with everything that is wrong; or return."""
        if self.denied:
            raise denial(self.denied)
        if not self.mistakes:
            return
        self.mistakes.sort()
        kinds = {mistake.kind for mistake in self.mistakes}
        kind, detail = REFUSALS[kinds.pop()] if len(kinds) == 1 else REFUSALS["invalid"]
        raise kind(
            detail,
            [self._said(mistake) for mistake in self.mistakes[:SHOWN]],
            errors=[mistake.as_dict() for mistake in self.mistakes],
        )

    def _said(self, mistake: Mistake) -> str:
        where = [f"row {mistake.index}"] if len(self.rows) > 1 else []
        where += [mistake.field] if mistake.field else []
        return f"{', '.join(where)}: {mistake.sentence}" if where else mistake.sentence

    @property
    def changes(self) -> list[Change]:
        """What writing does, row by row, with names as they were and as they will be."""
        return [self._change(row) for row in self.acting("create", "change", "remove")]

    def _change(self, row: Row) -> Change:
        before: dict[str, Any] = row.current or {}
        names = self.declaration.names
        if row.act == "change":
            fields = tuple((name, _told(before[name]), _told(row.values[name])) for name in row.changed)
            if self.catalog not in ("", before["declared_by"]):
                fields += (("declared_by", before["declared_by"], self.catalog),)
        elif row.act == "create":
            shown = [(name, _told(row.values[name])) for name in names if name not in self.declaration.key]
            fields = tuple((name, None, value) for name, value in shown if value not in ("", None, {}, []))
        else:
            fields = ()
        return Change(row.act, self.declaration.label, self.label(row), fields)


def _told(value: Any) -> Any:
    """A value as JSON has it."""
    return format(value.normalize(), "f") if isinstance(value, Decimal) else value
