"""A row of a file before it is compared with the estate."""

from __future__ import annotations

from typing import Any, NamedTuple

from inventory.importing.columns import PASSED_OVER, Columns
from inventory.importing.faults import Faults


class Row(NamedTuple):
    """``given``: fields by name. ``parts``: field → name of a part → its value, or ``None`` to take it away."""

    line: int
    given: dict[str, Any]
    parts: dict[str, dict[str, Any]]


class Structured:
    """Makes rows of mappings that know their types, as JSON and YAML have them. An unknown name is told once."""

    def __init__(self, columns: Columns, faults: Faults) -> None:
        self.columns, self.faults = columns, faults
        self._unknown: set[str] = set()

    def row(self, line: int, found: Any) -> Row | None:
        """The row, or ``None`` when it is none, which is told."""
        if not isinstance(found, dict):
            self.faults.add(line, "", "A row must be a mapping of names to values.")
            return None
        row = Row(line, {}, {})
        for name, value in found.items():
            column = self.columns.find(name)
            if column is None:
                if name not in PASSED_OVER and name not in self._unknown:
                    self._unknown.add(name)
                    self.faults.add(line, name[:80], self.columns.unknown(name))
            elif column.part:
                row.parts.setdefault(column.field, {})[column.part] = value
            else:
                row.given[name] = column.empty if value is None else value
        return row
