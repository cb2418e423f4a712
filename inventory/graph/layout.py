"""Where things stand in a picture: columns from left to right, bands from top to bottom. Pure arithmetic, in pixels.

The same input gives the same picture. Within a column things are put near what they are linked to (the barycenter rule
of Sugiyama's layered drawing), so that few lines cross.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field

WIDTH, HEIGHT = 160, 34
GAP, ROW = 44, 44
MARGIN, HEAD = 16, 34
SWEEPS = 3
MOST = 150
"""Things beyond which a picture tells nothing; they are grouped, or opened step by step."""


@dataclass(frozen=True)
class Spot:
    """Something to be placed. ``column`` from the left, ``band`` from the top; ``order`` where nothing else decides."""

    key: Hashable
    column: int
    band: int = 0
    order: tuple[int, str] = (0, "")


@dataclass(frozen=True)
class Box:
    """Where it stands: the upper left corner."""

    x: int
    y: int
    column: int

    @property
    def middle(self) -> int:
        return self.y + HEIGHT // 2


@dataclass
class Layout:
    width: int
    height: int
    boxes: dict[Hashable, Box]
    columns: list[tuple[int, int]] = field(default_factory=list)
    """(column, x)"""
    bands: list[tuple[int, int, int]] = field(default_factory=list)
    """(band, y, height)"""


def place(spots: Iterable[Spot], links: Iterable[tuple[Hashable, Hashable]]) -> Layout:
    """Place everything; columns that nothing stands in are left out."""
    cells: dict[int, dict[int, list[Spot]]] = defaultdict(lambda: defaultdict(list))
    for spot in spots:
        cells[spot.band][spot.column].append(spot)
    used = sorted({column for band in cells.values() for column in band})
    xs = {column: 2 * MARGIN + at * (WIDTH + GAP) for at, column in enumerate(used)}
    near: dict[Hashable, list[Hashable]] = defaultdict(list)
    for source, target in links:
        near[source].append(target)
        near[target].append(source)
    boxes: dict[Hashable, Box] = {}
    bands, y = [], HEAD
    for band in sorted(cells):
        columns = _ordered(cells[band], near)
        for column, found in columns.items():
            for row, spot in enumerate(found):
                boxes[spot.key] = Box(xs[column], y + HEAD + row * ROW, column)
        height = HEAD + max(map(len, columns.values())) * ROW
        bands.append((band, y, height))
        y += height + MARGIN
    width = max(xs.values(), default=0) + WIDTH + 4 * MARGIN
    return Layout(width, y, boxes, list(xs.items()), bands)


def _ordered(
    columns: Mapping[int, Sequence[Spot]], near: Mapping[Hashable, Sequence[Hashable]]
) -> dict[int, list[Spot]]:
    """The things of one band by column, each beside what it is linked to."""
    placed = {column: sorted(found, key=lambda spot: spot.order) for column, found in sorted(columns.items())}
    for sweep in range(SWEEPS):
        row = {spot.key: at / len(found) for found in placed.values() for at, spot in enumerate(found)}
        for column in sorted(placed, reverse=bool(sweep % 2)):
            found = placed[column]
            middles = {spot.key: _middle(spot.key, near, row) for spot in found}
            found.sort(key=lambda spot: (middles[spot.key], spot.order))
            row |= {spot.key: at / len(found) for at, spot in enumerate(found)}
    return placed


def _middle(key: Hashable, near: Mapping[Hashable, Sequence[Hashable]], row: Mapping[Hashable, float]) -> float:
    rows = [row[other] for other in near.get(key, ()) if other in row]
    return round(sum(rows) / len(rows), 6) if rows else row[key]


def path(source: Box, target: Box) -> str:
    """An SVG path from the right side of one to the left side of the other, or around the right side."""
    start, y, end, to = source.x + WIDTH, source.middle, target.x, target.middle
    if source.x < target.x:
        bend = (end - start) // 2
        return f"M{start} {y}C{start + bend} {y} {end - bend} {to} {end} {to}"
    out = max(start, end + WIDTH) + 2 * MARGIN
    return f"M{start} {y}C{out} {y} {out} {to} {end + WIDTH} {to}"
