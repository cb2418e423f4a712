"""The map of data centers: a box each with what stands there, and arrows for what is copied from one to another."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from inventory.models import Component, DataCenter
from observability.health import BADNESS, STATES
from observability.pictures.figure import COLUMNS, layer_of, shortened
from observability.pictures.replication import Replication
from observability.queries import state_of
from portal.lifecycle import State

WIDTH, ROW, HEAD, GAP, MARGIN, BELOW = 240, 40, 62, 190, 20, 8
NARROW = 32
"""The gap after what stands in no data center: nothing is copied from there."""
MOST_ARROWS = 40
"""Arrows beyond which nobody can follow them; the table has them all."""
Counted = Mapping[tuple[Any, str], tuple[int, str]]
"""(data center or ``None``, kind) → how many, and the worst state"""


@dataclass(frozen=True)
class Row:
    """A line of a box: one store, or all of a layer. In pixels from the upper left."""

    name: str
    note: str
    state: State
    href: str
    x: int
    y: int

    @property
    def label(self) -> str:
        return f"{self.name}: {self.note}"


@dataclass(frozen=True)
class Place:
    center: DataCenter | None
    x: int
    height: int
    rows: list[Row]

    @property
    def note(self) -> str:
        if self.center is None:
            return ""
        return shortened(" · ".join(filter(None, (self.center.get_role_display(), self.center.region))), 36)


@dataclass(frozen=True)
class Arrow:
    replication: Replication
    path: str
    x: int
    y: int
    told: bool
    """Whether there is room for words beside it."""


@dataclass(frozen=True)
class Map:
    width: int
    height: int
    places: list[Place]
    arrows: list[Arrow]


def draw(counted: Counted, replications: Sequence[Replication]) -> Map:
    """Lay out every data center in which something stands; primary first, what stands nowhere at the left."""
    drawn = replications[:MOST_ARROWS]
    stores: dict[Any, dict[Any, Component]] = defaultdict(dict)
    for each in drawn:
        for component in (each.primary, each.replica):
            stores[component.data_center][component.pk] = component
    centers = {center for center, _ in counted} | set(stores)
    places, x = [], MARGIN
    spots: dict[Any, tuple[int, int]] = {}
    for center in sorted(centers, key=lambda center: (center is not None, center and (center.role, center.slug))):
        rows = _stores(stores[center].values(), x, spots)
        rows += _layers(counted, center, x, HEAD + MARGIN + len(rows) * ROW)
        places.append(Place(center, x, HEAD + len(rows) * ROW + MARGIN // 2, rows))
        x += WIDTH + (GAP if center else NARROW)
    height = max((place.height for place in places), default=0) + 2 * MARGIN + BELOW
    return Map(max(x - GAP, 0) + MARGIN, height, places, [_arrow(each, spots) for each in drawn])


def _stores(components: Iterable[Component], x: int, spots: dict[Any, tuple[int, int]]) -> list[Row]:
    """What is copied, one by one; remembers where each stands."""
    rows = []
    for at, component in enumerate(sorted(components, key=lambda component: (component.kind, component.name))):
        y = MARGIN + HEAD + at * ROW
        state = STATES[state_of(component)]
        rows.append(Row(shortened(component.name, 25), state.label, state, component.get_absolute_url(), x + 10, y))
        spots[component.pk] = (x, y + ROW // 2 - 3)
    return rows


def _layers(counted: Counted, center: DataCenter | None, x: int, y: int) -> list[Row]:
    found: dict[int, list[tuple[int, str]]] = defaultdict(list)
    for (where, kind), (many, worst) in counted.items():
        if where == center:
            found[layer_of(kind)].append((many, worst))
    rows = []
    for at, (layer, parts) in enumerate(sorted(found.items())):
        many, state = sum(count for count, _ in parts), max((worst for _, worst in parts), key=BADNESS.__getitem__)
        note = f"{many:,} component{'' if many == 1 else 's'}, worst: {STATES[state].label.lower()}"
        href = center.get_absolute_url() if center else ""
        rows.append(Row(COLUMNS[layer], shortened(note, 33), STATES[state], href, x + 10, y + at * ROW))
    return rows


def _arrow(each: Replication, spots: Mapping[Any, tuple[int, int]]) -> Arrow:
    """From the primary to the replica. Inside one box it goes round the right side."""
    (x, y), (to, low) = spots[each.primary.pk], spots[each.replica.pk]
    if x == to:
        out = x + WIDTH + 40
        curve = f"M{x + WIDTH} {y}C{out} {y} {out} {low} {x + WIDTH + 2} {low}"
        return Arrow(each, curve, x + WIDTH + 20, (y + low) // 2, told=False)
    start, end = (x + WIDTH, to - 2) if x < to else (x, to + WIDTH + 2)
    bend = (end - start) // 2
    near = start + (GAP // 2 if x < to else -GAP // 2)
    curve = f"M{start} {y}C{start + bend} {y} {end - bend} {low} {end} {low}"
    return Arrow(each, curve, near, (y + low) // 2, told=True)
