"""Rows of a CSV file (RFC 4180), as spreadsheets of any country write it."""

from __future__ import annotations

import csv
import io
import re
from collections.abc import Iterator, Sequence
from typing import Any, TextIO

from inventory.importing.columns import PASSED_OVER, Column, Columns
from inventory.importing.faults import Faults
from inventory.importing.rows import Row

DELIMITERS = ",;\t"
SAID = re.compile(r"sep=(.)\r?\n")
"""The line by which a file tells a spreadsheet its delimiter."""
QUOTED = re.compile(r'"[^"]*"')


def rows(data: bytes, columns: Columns, faults: Faults) -> Iterator[Row]:
    """Each row with the line on which it begins. A broken row does not hide what is wrong with the next one."""
    lines = io.TextIOWrapper(io.BytesIO(data), "utf-8-sig", newline="")
    delimiter, skipped = _delimiter(lines)
    found = _records(csv.reader(lines, delimiter=delimiter, strict=True), skipped, faults)
    line, names = next(((line, cells) for line, cells in found if any(cells)), (0, []))
    heads = _heads(line, names, columns, faults)
    for line, cells in found:
        if any(cells):
            yield _row(line, cells, heads, faults)


def _delimiter(lines: TextIO) -> tuple[str, int]:
    """What parts the cells, by the first line, and how many lines come before the header."""
    first = lines.readline()
    if said := SAID.fullmatch(first):
        return said[1], 1
    lines.seek(0)
    bare = QUOTED.sub("", first)
    return max(DELIMITERS, key=bare.count), 0


def _records(reader: Any, skipped: int, faults: Faults) -> Iterator[tuple[int, list[str]]]:
    while True:
        line = reader.line_num + skipped + 1
        try:
            yield line, next(reader)
        except StopIteration:
            return
        except csv.Error as error:
            faults.add(line, "", _said(str(error)))


def _said(error: str) -> str:
    if "unexpected end" in error:
        return "A quote is opened in this row and never closed."
    if "field larger" in error:
        return "A cell is longer than 131,072 characters; perhaps a quote is missing."
    if "expected after" in error:
        return "After a closing quote the cell goes on; a quote inside a cell is written twice."
    return f"This is not CSV: {error}."


def _heads(line: int, names: Sequence[str], columns: Columns, faults: Faults) -> list[tuple[str, Column | None]]:
    heads: list[tuple[str, Column | None]] = []
    for place, text in enumerate(names, 1):
        name = text.strip()
        column = columns.find(name)
        if name and any(name == other for other, _ in heads):
            faults.add(line, name[:80], f"The column “{name[:80]}” is there twice.")
            column = None
        elif column is None and name and name not in PASSED_OVER:
            faults.add(line, name[:80], columns.unknown(name))
        heads.append((name or f"column {place}", column if name else None))
    return heads


def _row(line: int, cells: list[str], heads: list[tuple[str, Column | None]], faults: Faults) -> Row:
    row = Row(line, {}, {})
    if len(cells) != len(heads):
        faults.add(line, "", f"This row has {len(cells)} cells, the header has {len(heads)}.")
    for (name, column), cell in zip(heads, cells, strict=False):
        if column is None:
            if cell and name.startswith("column "):
                faults.add(line, name, "The header has no name for this cell.")
            continue
        try:
            value = column.convert(cell) if cell else column.empty
        except ValueError as error:
            faults.add(line, name, str(error))
            continue
        if column.part:
            row.parts.setdefault(column.field, {})[column.part] = value
        else:
            row.given[name] = value
    return row
