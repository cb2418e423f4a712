"""Rows of a JSON file: a list of objects, or objects one after the other (one a line)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from inventory.importing.columns import Columns
from inventory.importing.faults import Faults
from inventory.importing.rows import Row, Structured

BETWEEN = re.compile(r"[\s,]*")
SPACE = re.compile(r"\s*")


class _Twice(ValueError):
    pass


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        names = [name for name, _ in pairs]
        raise _Twice(f"“{next(name for name in names if names.count(name) > 1)[:80]}” is in one object twice.")
    return found


def _no_number(word: str) -> Any:
    raise _Twice(f"{word} is no number that JSON has.")


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_constant=_no_number)


def rows(data: bytes, columns: Columns, faults: Faults) -> Iterator[Row]:
    """Each row with the line on which it begins. In a list what cannot be read ends the reading; otherwise its line."""
    text = data.decode("utf-8-sig")
    made = Structured(columns, faults)
    place = _after(SPACE, text, 0)
    listed = text[place : place + 1] == "["
    for line, found in _values(text, place + listed, listed, faults):
        if row := made.row(line, found):
            yield row


def _after(pattern: re.Pattern[str], text: str, place: int) -> int:
    found = pattern.match(text, place)
    return found.end() if found else place


def _values(text: str, place: int, listed: bool, faults: Faults) -> Iterator[tuple[int, Any]]:
    line, counted = 1, 0
    while True:
        place = _after(BETWEEN if listed else SPACE, text, place)
        line, counted = line + text.count("\n", counted, place), place
        if place >= len(text):
            if listed:
                faults.add(line, "", "The list is not closed.")
            return
        if listed and text[place] == "]":
            if _after(SPACE, text, place + 1) < len(text):
                faults.add(line, "", "After the end of the list something follows.")
            return
        try:
            found, place = _DECODER.raw_decode(text, place)
        except (ValueError, RecursionError) as error:
            faults.add(line, "", _said(error) + (" What follows was not read." if listed else ""))
            place = -1 if listed else text.find("\n", place)
            if place < 0:
                return
            continue
        yield line, found


def _said(error: Exception) -> str:
    if isinstance(error, _Twice):
        return str(error)
    if isinstance(error, json.JSONDecodeError):
        return f"This is not JSON: {error.msg} (line {error.lineno}, character {error.colno})."
    return "This is nested too deeply." if isinstance(error, RecursionError) else "A number has too many digits."
