"""A file read once from its first byte to its last: its rows kept on disk, what is wrong with it noted."""

from __future__ import annotations

import pickle
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

from inventory.importing.columns import Columns
from inventory.importing.faults import Faults
from inventory.importing.formats import FORMATS, not_text
from inventory.importing.rows import Row
from inventory.writing import batch, places
from inventory.writing.rules import UNIQUE

MOST_BYTES = 64 * 2**20
MOST_ROWS = 200_000
PART = 2000
"""Rows that are looked at together: a few statements for each part, and the memory of one."""
Tell = Callable[[int], None]


@dataclass
class Reading:
    """``rows`` are given part by part, as often as they are asked for. ``own``: new keys that other rows point at."""

    columns: Columns
    faults: Faults
    total: int = 0
    own: set[str] = field(default_factory=set)
    _kept: Any = field(default_factory=tempfile.TemporaryFile)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None):  # type: ignore[no-untyped-def]
        self._kept.close()

    def parts(self) -> Iterator[list[Row]]:
        """The rows in the order of the file, ``PART`` at a time."""
        self._kept.seek(0)
        while self._kept.peek(1):
            yield [Row(*each) for each in pickle.load(self._kept)]  # noqa: S301 (written here, opened by nobody else)

    def keep(self, part: list[Row]) -> None:
        """Put rows aside."""
        pickle.dump([tuple(row) for row in part], self._kept, pickle.HIGHEST_PROTOCOL)
        self.total += len(part)


def read(data: bytes, form: str, noun: str, tell: Tell | None = None) -> Reading:
    """Read a file of ``noun``. ``tell`` hears how many rows were read so far."""
    reading = Reading(Columns(noun), Faults())
    not_text(data, reading.faults)
    if reading.faults:
        return reading
    part: list[Row] = []
    once = _Once(reading)
    for row in FORMATS[form](data, reading.columns, reading.faults):
        if reading.total + len(part) == MOST_ROWS:
            reading.faults.add(row.line, "", f"A file may hold at most {MOST_ROWS:,} rows. Split it.")
            break
        once.look(row)
        part.append(row)
        if len(part) == PART:
            reading.keep(part)
            part = []
            if tell:
                tell(reading.total)
    reading.keep(part)
    if not reading.total and not reading.faults:
        reading.faults.add(0, "", "There is no row in this file.")
    reading.own = once.own
    return reading


class _Once:
    """Looks for keys, and other values that must be there once, that are in the file twice."""

    def __init__(self, reading: Reading) -> None:
        self.faults, self.known = reading.faults, reading.columns.declaration
        names = [name for name in UNIQUE if name in self.known.fields]
        self.seen: dict[str, dict[Any, int]] = {name: {} for name in ("key", *names)}
        model = self.known.model
        self.inward = [name for name, reference in self.known.references.items() if reference.model is model]
        self.wanted: set[Any] = set()

    @property
    def own(self) -> set[str]:
        """Keys of rows of this file that rows of this file point at."""
        return {slug for (slug,) in self.seen["key"] if slug in self.wanted} if self.inward else set()

    def look(self, row: Row) -> None:
        """Note a row. Of one that stands somewhere the key is completed first."""
        if self.known.placed:
            self._place(row.given)
        key = tuple(row.given.get(name) for name in self.known.key)
        if all(type(part) is str and part for part in key):
            self._once("key", key, row.line, self.known.key[0], self.known.label_of(row.given))
        for name in self.seen.keys() & UNIQUE:
            if type(value := row.given.get(name)) is str and value:
                self._once(name, value, row.line, name, value)
        self.wanted.update(value for name in self.inward if type(value := row.given.get(name)) is str)

    def _place(self, given: dict[str, Any]) -> None:
        """A slug says where something stands, so that empty cells beside it say nothing."""
        if isinstance(slug := given.get("slug"), str) and slug.count("/") == 2:
            for name in ("environment", "data_center", "name"):
                if given.get(name) in (None, ""):
                    given.pop(name, None)
        places.complete(batch.Row(0, given))

    def _once(self, what: str, value: Any, line: int, column: str, said: str) -> None:
        first = self.seen[what].setdefault(value, line)
        if first != line:
            self.faults.add(line, column, f"“{said[:200]}” is in this file twice; first in line {first}.")
