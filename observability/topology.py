"""A picture of one environment: who needs whom, layer by layer, one band per data center. Pure arithmetic."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from inventory import kinds
from inventory.models import Component, Dependency
from observability.health import STATES
from observability.queries import state_of
from portal.lifecycle import State

_DRAWN = {kinds.STORES: kinds.RUNTIME}
_TITLES = {kinds.RUNTIME: "Runtime and stores"}
LAYERS: tuple[tuple[str, tuple[str, ...]], ...] = tuple(
    (
        _TITLES.get(layer, layer),
        tuple(k for k, spec in kinds.KINDS.items() if _DRAWN.get(spec.layer, spec.layer) == layer),
    )
    for layer in kinds.LAYERS
    if layer not in _DRAWN
)
"""Columns of the picture, and the kinds in each."""
WIDTH, HEIGHT = 168, 34
COLUMN, ROW = 268, 44
MARGIN, HEAD = 16, 34


@dataclass(frozen=True)
class Node:
    """A component in the picture, in pixels from the upper left."""

    component: Component
    state: State
    layer: int
    x: int
    y: int

    @property
    def middle(self) -> int:
        return self.y + HEIGHT // 2

    @property
    def label(self) -> str:
        """What a screen reader says."""
        return f"{self.component.name}, {self.component}: {self.state.label}"


@dataclass(frozen=True)
class Edge:
    """A dependency in the picture: an SVG path from who needs to what is needed."""

    path: str
    kind: str
    state: State
    title: str


@dataclass(frozen=True)
class Lane:
    """The band of one data center, or of what stands in none."""

    title: str
    y: int
    height: int


@dataclass(frozen=True)
class Picture:
    width: int
    height: int
    lanes: list[Lane]
    columns: list[tuple[str, int]]
    nodes: list[Node]
    edges: list[Edge]


def _layer(component: Component) -> int:
    return next(place for place, (_, kinds) in enumerate(LAYERS) if component.kind in kinds)


def _order(component: Component) -> tuple[int, int, str]:
    kinds = LAYERS[_layer(component)][1]
    return _layer(component), kinds.index(component.kind), component.name


def draw(components: Iterable[Component], dependencies: Iterable[Dependency]) -> Picture:
    """Lay out components (read ``with_health``) and the dependencies between them. The same input, the same picture."""
    lanes: list[Lane] = []
    nodes: dict[Any, Node] = {}
    by_place: dict[Any, list[Component]] = {}
    for component in sorted(components, key=_order):
        by_place.setdefault(component.data_center, []).append(component)
    y = HEAD
    for place in sorted(by_place, key=lambda place: (place is not None, place and (place.role, place.slug))):
        tallest = _place(by_place[place], y, nodes)
        height = HEAD + tallest * ROW
        lanes.append(Lane(place.name if place else "In no data center", y, height))
        y += height + MARGIN
    used = [place for place in range(len(LAYERS)) if any(node.layer == place for node in nodes.values())]
    columns = [(LAYERS[place][0], _x(place)) for place in used]
    edges = [
        _edge(nodes[d.source_id], nodes[d.target_id], d)
        for d in dependencies
        if {d.source_id, d.target_id} <= nodes.keys()
    ]
    return Picture(_x(len(LAYERS) - 1) + WIDTH + 4 * MARGIN, y, lanes, columns, list(nodes.values()), edges)


def _x(layer: int) -> int:
    return 2 * MARGIN + layer * COLUMN


def _place(components: list[Component], top: int, nodes: dict[Any, Node]) -> int:
    """Put the components of one lane into their columns; returns how many stand in the fullest."""
    filled: dict[int, int] = {}
    for component in components:
        layer = _layer(component)
        row = filled.get(layer, 0)
        filled[layer] = row + 1
        nodes[component.pk] = Node(component, STATES[state_of(component)], layer, _x(layer), top + HEAD + row * ROW)
    return max(filled.values(), default=0)


def _edge(source: Node, target: Node, dependency: Dependency) -> Edge:
    start, y, end, to = source.x + WIDTH, source.middle, target.x, target.middle
    if source.layer < target.layer:
        bend = (end - start) // 2
        path = f"M{start} {y}C{start + bend} {y} {end - bend} {to} {end} {to}"
    else:  # beside each other, or backward: round the right side
        out = max(start, end + WIDTH) + 2 * MARGIN
        path = f"M{start} {y}C{out} {y} {out} {to} {end + WIDTH} {to}"
    title = f"{source.component.name} needs {target.component.name} ({dependency.get_kind_display().lower()})"
    return Edge(path, dependency.kind, target.state, title)
