"""The columns that a file of a noun may have, and what the text of a cell stands for.

A column is named like its field; ``attributes.<name>`` and ``custom.<name>`` are parts of a field and leave its other
parts as they are. An empty cell gives the field what a new row has without it, which is nothing for most.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from inventory import kinds
from inventory.writing import declaration
from inventory.writing.declarations import KEPT, Declaration
from portal.ui.export import rearmed

WHOLE = re.compile(r"[+-]?\d{1,40}")
FLAGS = {"true": True, "yes": True, "1": True, "false": False, "no": False, "0": False}
TAG_ENDS = re.compile(r"[\s|]+")
JSON_TYPES = {"string": "text", "integer": "integer", "boolean": "boolean", "array": "list"}
PASSED_OVER = frozenset(KEPT)
"""Columns that nobody writes by hand, but that files may have: they are not looked at."""


@dataclass(frozen=True)
class Column:
    """``part``: the attribute or custom field, if it is not the whole field. ``type``: as of ``writing.Field``, or
    reference. ``empty``: what an empty cell, or null, stands for; of a part, ``None`` takes it away.
    """

    name: str
    field: str
    part: str
    type: str
    empty: Any = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    longest: int | None = None
    bounds: tuple[int, int] | None = None
    noun: str = ""
    help: str = ""

    @property
    def convert(self) -> Callable[[str], Any]:
        """From the text of a cell that is not empty. Raises ``ValueError`` with a sentence."""
        return CONVERT[self.type]


class Columns:
    """The columns of one noun by name."""

    def __init__(self, noun: str) -> None:
        self.declaration = declaration(noun)
        self.known: dict[str, Column] = {column.name: column for column in _declared(self.declaration)}
        if noun == "component":
            self.known |= {column.name: column for column in _attributes()}

    def find(self, name: str) -> Column | None:
        """The column of that name; every custom field has one."""
        if name not in self.known and name.startswith("custom.") and "custom" in self.known and len(name) > 7:
            self.known[name] = Column(name, "custom", name.removeprefix("custom."), "text", None)
        return self.known.get(name)

    def unknown(self, name: str) -> str:
        """What to say about a name that no column has."""
        near = difflib.get_close_matches(name, self.known, 1, 0.6)
        meant = f" Did you mean “{near[0]}”?" if near else ""
        return f"There is no column “{name[:80]}” of a {self.declaration.label}.{meant}"


def _declared(known: Declaration) -> Iterator[Column]:
    for name in known.names:
        if reference := known.references.get(name):
            # An empty key is told by whoever looks for the row.
            yield Column(name, name, "", "reference", None, reference.required, noun=reference.noun)
            continue
        field = known.fields[name]
        # A choice's default is a member of its enumeration, which is not quite text.
        empty = str(field.default) if isinstance(field.default, str) else field.default
        yield Column(
            name, name, "", field.type, empty, field.required, field.choices, field.longest, field.bounds,
            help=field.help,
        )  # fmt: skip


def _attributes() -> Iterator[Column]:
    """An attribute means the same in each kind that has it, so its type does not depend on the row's kind."""
    shapes = {name: shape for spec in kinds.KINDS.values() for name, shape in spec.attributes.items()}
    for name, shape in sorted(shapes.items()):
        holders = [spec.kind.label for spec in kinds.KINDS.values() if name in spec.attributes]
        said = f"{shape['title']} ({', '.join(holders)}). {shape.get('description', '')}".strip()
        yield Column(f"attributes.{name}", "attributes", name, JSON_TYPES[shape["type"]], None, help=said)


def _text(cell: str) -> str:
    return rearmed(cell) if cell[0] == "'" else cell


def _integer(cell: str) -> Any:
    if not WHOLE.fullmatch(bare := cell.strip()):
        raise ValueError("This must be a whole number.")
    return int(bare)


def _boolean(cell: str) -> bool:
    try:
        return FLAGS[cell.strip().lower()]
    except KeyError:
        raise ValueError("This must be true or false.") from None


def _list(cell: str) -> Any:
    bare = _text(cell).strip()
    return _json(bare) if bare.startswith("[") else [word for word in TAG_ENDS.split(bare) if word]


def _json(cell: str) -> Any:
    try:
        return _DECODER.decode(cell)
    except (ValueError, RecursionError):
        raise ValueError("This is not JSON.") from None


def _no_number(word: str) -> Any:
    raise ValueError(word)


_DECODER = json.JSONDecoder(parse_constant=_no_number)


def _object(cell: str) -> Any:
    return _json(_text(cell))


CONVERT: dict[str, Callable[[str], Any]] = {
    "text": _text,
    "reference": _text,
    "integer": _integer,
    "decimal": str.strip,
    "boolean": _boolean,
    "list": _list,
    "object": _object,
}
