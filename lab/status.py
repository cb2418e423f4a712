"""The status table as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence

from lab.unit import UP, Row

_HEADS = ("COMPONENT", "DRIVER", "STATE", "ADDRESS", "DETAIL")


def fine(rows: Sequence[Row]) -> bool:
    """Whether everything is up, and there is something."""
    return bool(rows) and all(row.state == UP for row in rows)


def as_json(rows: Sequence[Row]) -> str:
    """`{"ok": bool, "components": [{component, driver, address, state, detail}, …]}`."""
    return json.dumps({"ok": fine(rows), "components": [row.as_dict() for row in rows]}, indent=2)


def table(rows: Sequence[Row]) -> str:
    """Columns for people, with a count at the end."""
    lines = [_HEADS, *((row.component, row.driver, row.state, row.address, row.detail) for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(4)]
    text = [
        "  ".join([*(cell.ljust(width) for cell, width in zip(line, widths, strict=False)), line[4]]) for line in lines
    ]
    up = sum(row.state == UP for row in rows)
    return "\n".join([*text, f"{up} of {len(rows)} up"])
