"""What is wrong with a file, and where."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple


class Fault(NamedTuple):
    """``line`` is that on which the row begins, counted from 1; 0 for what is true of the file as a whole."""

    line: int
    column: str
    sentence: str


@dataclass
class Faults:
    """All that is wrong, counted; the first ``most`` of them are kept. One place is told once."""

    most: int = 1000
    total: int = 0
    kept: list[Fault] = field(default_factory=list)
    _told: set[tuple[int, str]] = field(default_factory=set)

    def add(self, line: int, column: str, sentence: str) -> None:
        """Note one. A cell that was found unreadable is not also told to be missing."""
        if (line, column) in self._told and column:
            return
        self.total += 1
        if len(self.kept) < self.most:
            self.kept.append(Fault(line, column, sentence))
            self._told.add((line, column))

    def __bool__(self) -> bool:
        return self.total > 0
