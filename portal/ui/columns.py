"""The columns of a list: what each shows of a row, how, and where it leads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

from portal.lifecycle import Tone


@dataclass(frozen=True)
class Label:
    """A word with a tone, for badges of what has no lifecycle. Sorts by its word."""

    label: str
    tone: Tone = Tone.NEUTRAL

    def __lt__(self, other: Label) -> bool:
        return self.label < other.label


@dataclass(frozen=True)
class Column:
    """``name``: path of the attribute ("component.slug"). ``sort``: another field to sort by, or ``False``.

    ``link``: to the row's own page, or a function of the row. ``value``: a function of the row instead of the path.
    ``template``: a cell of its own (given ``row``, ``value``), or a function of the row that makes its HTML. ``minor``
    columns are left out at phone width, ``extra`` ones until somebody chooses them (``?columns=``).
    """

    name: str
    label: str
    kind: Literal["text", "instant", "badge", "number", "code"] = "text"
    link: bool | Callable[[Any], str] = False
    sort: bool | str = True
    value: Callable[[Any], Any] | None = None
    template: str | Callable[[Any], str] = ""
    minor: bool = False
    extra: bool = False

    @property
    def sort_field(self) -> str:
        if isinstance(self.sort, str):
            return self.sort
        return self.name.replace(".", "__") if self.sort and not self.value else ""

    def of(self, row: Any) -> Any:
        """What this column shows of ``row``: a state's badge facts, a choice's label, or the plain value."""
        if self.value:
            return self.value(row)
        *path, last = self.name.replace("__", ".").split(".")
        for step in path:
            row = _get(row, step)
        if self.kind == "badge" and hasattr(row, f"{last}_info"):
            return getattr(row, f"{last}_info")
        found = _get(row, f"get_{last}_display") or _get(row, last)
        return found() if callable(found) else found

    @property
    def classes(self) -> str:
        """Only what a style sheet asks for: a list repeats it in every row."""
        kind = f"cell-{self.kind}" if self.kind in ("number", "instant", "badge") else ""
        return f"{kind} minor".strip() if self.minor else kind

    def href(self, row: Any) -> str:
        if not self.link:
            return ""
        return self.link(row) if callable(self.link) else row.get_absolute_url()


def _get(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)
