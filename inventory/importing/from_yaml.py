"""Rows of a YAML file: a list of mappings, read event by event, so that a long file is never a tree in memory."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import yaml

from inventory.catalog.source import Refusal, broken, guarded, plain
from inventory.importing.columns import Columns
from inventory.importing.faults import Faults
from inventory.importing.rows import Row, Structured


def rows(data: bytes, columns: Columns, faults: Faults) -> Iterator[Row]:
    """Each row with the line on which it begins. What is no YAML ends the reading; a value that cannot be does not."""
    made = Structured(columns, faults)
    try:
        for line, found in _items(data.decode("utf-8-sig"), faults):
            if row := made.row(line, found):
                yield row
    except yaml.YAMLError as error:
        refusal = broken(error)
        faults.add(refusal.line, "", f"{refusal.sentence} What follows was not read.")
    except Refusal as refusal:
        faults.add(refusal.line, "", f"{refusal.sentence} What follows was not read.")


def _items(text: str, faults: Faults) -> Iterator[tuple[int, Any]]:
    events = guarded(text)
    root = next((each for each in events if isinstance(each, yaml.NodeEvent)), None)
    if root is None:
        return
    if not isinstance(root, yaml.SequenceStartEvent):
        raise Refusal(_line(root), "The file must be a list of rows.")
    for event in events:
        if isinstance(event, yaml.SequenceEndEvent):
            break
        yield _line(event), _value(event, events, faults)
    for _ in events:  # a second document is refused
        pass


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


def _value(event: Any, events: Iterator[Any], faults: Faults) -> Any:
    if isinstance(event, yaml.MappingStartEvent):
        return _mapping(events, faults)
    if isinstance(event, yaml.SequenceStartEvent):
        found = []
        while not isinstance(inner := next(events), yaml.SequenceEndEvent):
            found.append(_value(inner, events, faults))
        return found
    try:
        return plain(event)
    except Refusal as refusal:
        faults.add(refusal.line, "", refusal.sentence)
        return None


def _mapping(events: Iterator[Any], faults: Faults) -> dict[str, Any]:
    found: dict[str, Any] = {}
    while not isinstance(key := next(events), yaml.MappingEndEvent):
        line = _line(key)
        if not isinstance(key, yaml.ScalarEvent):
            faults.add(line, "", "A key must be plain text.")
            _value(key, events, faults)
        elif key.value in found:
            faults.add(line, key.value[:80], f"“{key.value[:80]}” is in one row twice.")
        value = _value(next(events), events, faults)
        if isinstance(key, yaml.ScalarEvent):
            found.setdefault(key.value, value)
    return found
