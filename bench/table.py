"""Printing measurements: plain text that can be pasted into a note."""

from __future__ import annotations

from collections.abc import Sequence


def show(title: str, head: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table; numbers stand to the right."""
    cells = [list(head), *([_text(value) for value in row] for row in rows)]
    widths = [max(len(line[place]) for line in cells) for place in range(len(head))]
    left = [all(isinstance(row[place], str) for row in rows) for place in range(len(head))]
    print(f"\n{title}")
    for number, line in enumerate(cells):
        parts = [
            text.ljust(width) if is_left else text.rjust(width)
            for text, width, is_left in zip(line, widths, left, strict=True)
        ]
        print("  " + "  ".join(parts).rstrip())
        if number == 0:
            print("  " + "  ".join("-" * width for width in widths))


def _text(value: object) -> str:
    return f"{value:,.2f}" if isinstance(value, float) else str(value)
