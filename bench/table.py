"""Printing measurements: plain text that can be pasted into a note, and Markdown that can be kept."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import psutil

RESULTS = Path(__file__).parent / "results"
_shown: list[tuple[str, list[list[str]], list[bool]]] = []


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers stand to the right."""
    cells = [list(head), *([_text(value) for value in row] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(head))]
    left = [all(isinstance(row[place], str) for row in rows) for place in range(len(head))]
    _shown.append((title, cells, left))
    print(f"\n{title}")
    for number, line in enumerate(cells):
        parts = [
            text.ljust(width) if is_left else text.rjust(width)
            for text, width, is_left in zip(line, widths, left, strict=True)
        ]
        print("  " + "  ".join(parts).rstrip(), flush=True)
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))


def save(name: str, note: str = "") -> Path:
    """Write every table shown so far to ``results/<name>.md``, with the machine and the day."""
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    memory = psutil.virtual_memory().total / 2**30
    parts = [
        f"# {name}",
        f'`make bench ARGS="{name} --save"` on {datetime.now(UTC):%Y-%m-%d %H:%M} UTC: {platform.machine()}, '
        f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.release()}, "
        f"Python {platform.python_version()}. Load average at the end (1, 5, 15 minutes): {load}.",
        *([note] if note else []),
        *(_markdown(*each) for each in _shown),
    ]
    RESULTS.mkdir(exist_ok=True)
    path = RESULTS / f"{name}.md"
    path.write_text("\n\n".join(parts) + "\n")
    return path


def _markdown(title: str, cells: list[list[str]], left: list[bool]) -> str:
    lines = ["| " + " | ".join(line) + " |" for line in cells]
    lines.insert(1, "|" + "|".join("---" if is_left else "---:" for is_left in left) + "|")
    return "\n".join([f"## {title}", "", *lines])


def _text(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
