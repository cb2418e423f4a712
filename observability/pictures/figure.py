"""The layered picture: from delivery on the left to stores on the right, one band per data center.

It takes things, single components or bundles of them, and links between them, and says where each is drawn. Kinds that
``inventory.kinds`` does not know stand at the right end.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Count

from inventory import kinds
from inventory.graph.layout import WIDTH, Box, Layout, Spot, path, place
from inventory.models import Component, DataCenter, Dependency
from observability.health import STATES
from observability.queries import health_of, state_of
from portal.lifecycle import State, Tone

OTHER = "Other"
COLUMNS = (*kinds.LAYERS, OTHER)
_KINDS = list(kinds.KINDS)
TOLD = 60
"""Lines that say on pointing what they are; among more of them nobody points at one. The table has them all."""
_DRAWN_APART = (Dependency.Relation.REPLICATES, Dependency.Relation.OBSERVES)
LONGEST = 19
"""Characters of a name that fit into a box."""


def layer_of(kind: str) -> int:
    """The column of a kind."""
    spec = kinds.KINDS.get(kind)
    return COLUMNS.index(spec.layer) if spec else len(COLUMNS) - 1


def kind_label(kind: str) -> str:
    return str(dict(Component.Kind.choices).get(kind, kind))


def shortened(text: str, longest: int) -> str:
    """What fits into a box."""
    return text if len(text) <= longest else f"{text[: longest - 1].rstrip()}…"


@dataclass(frozen=True)
class Thing:
    """What a box stands for. ``note`` is its second line, ``said`` what a screen reader
    says instead of the state; ``many``: how many components, when it is a bundle."""

    key: Hashable
    name: str
    note: str
    href: str
    state: State
    kind: str
    center: DataCenter | None = None
    full_name: str = ""
    said: str = ""
    many: int = 1
    focus: bool = False

    @property
    def shown_name(self) -> str:
        return shortened(self.name, LONGEST)

    @property
    def shown_note(self) -> str:
        return shortened(self.note, LONGEST + 3)

    @property
    def full_title(self) -> str:
        """Its name among all of a picture: of a bundle also the kind, and where it is."""
        name = f"{self.name}: {self.kind_label.lower()}" if isinstance(self.key, tuple) and self.key[1] else self.name
        return f"{name} ({self.center.slug})" if self.center else name

    @property
    def kind_label(self) -> str:
        return kind_label(self.kind)

    @property
    def label(self) -> str:
        """What a screen reader says."""
        return f"{self.name}, {self.full_name or kind_label(self.kind)}: {self.said or self.state.label}"


@dataclass(frozen=True)
class Link:
    """``source`` needs ``target``. ``group``: words for a redundant group ("1 of 2")."""

    source: Hashable
    target: Hashable
    kind: str
    relation: str = Dependency.Relation.USES
    group: str = ""


@dataclass(frozen=True)
class Node:
    thing: Thing
    box: Box


@dataclass(frozen=True)
class Edge:
    """A link in the picture: an SVG path, its classes (kind, relation, state of what is needed), and words."""

    path: str
    look: str
    title: str
    group: str
    x: int
    y: int


@dataclass
class Picture:
    width: int
    height: int
    columns: list[tuple[str, int]]
    bands: list[tuple[str, int, int]]
    nodes: list[Node] = field(default_factory=list)
    edges: list[Edge] = field(default_factory=list)
    kinds: set[str] = field(default_factory=set)
    """Which kinds of links there are, for the key below the picture."""


def component_thing(component: Component, **facts: Any) -> Thing:
    """A component that was read ``with_health``, as a box that leads to its page."""
    health = health_of(component)
    state = STATES[state_of(component)]
    version = f" · {health.version}" if health and health.version and component.kind == Component.Kind.APP else ""
    shown = {"state": state, "note": f"{state.label}{version}", "href": component.get_absolute_url(), **facts}
    return Thing(
        component.pk,
        component.name,
        kind=component.kind,
        center=component.data_center,
        full_name=str(component),
        **shown,
    )


def links_of(dependencies: Iterable[Dependency]) -> list[Link]:
    """Dependencies as links; one more query says of how many targets a redundant group needs some."""
    rows = list(dependencies)
    grouped = {row.source_id for row in rows if row.group}
    sizes: dict[tuple[Any, str], int] = {}
    if grouped:
        members = Dependency.objects.filter(source__in=grouped).exclude(group="").order_by()
        counted = members.values_list("source", "group").annotate(Count("pk"))
        sizes = {(source, group): many for source, group, many in counted}
    return [
        Link(
            row.source_id,
            row.target_id,
            row.kind,
            row.relation,
            f"{row.needed} of {sizes[row.source_id, row.group]}" if row.group else "",
        )
        for row in rows
    ]


def draw(things: Sequence[Thing], links: Iterable[Link], *, bands: bool = True) -> Picture:
    """Lay everything out. Links to what is not among the things are left out."""
    by_key = {thing.key: thing for thing in things}
    known = [link for link in links if link.source in by_key and link.target in by_key and link.source != link.target]
    centers: list[DataCenter | None] = sorted({thing.center for thing in things}, key=_rank) if bands else [None]
    spots = [_spot(thing, centers if bands else None) for thing in things]
    layout = place(spots, [(link.source, link.target) for link in known])
    picture = Picture(
        layout.width,
        layout.height,
        [(COLUMNS[column], x) for column, x in layout.columns],
        [(str(centers[band] or "In no data center"), y, height) for band, y, height in layout.bands] if bands else [],
    )
    picture.nodes = [Node(thing, layout.boxes[thing.key]) for thing in sorted(things, key=_reading(layout))]
    picture.edges = [_edge(link, by_key, layout, told=len(known) <= TOLD) for link in known]
    picture.kinds = {link.kind for link in known} | {link.relation for link in known}
    return picture


def _rank(center: DataCenter | None) -> tuple[bool, str, str]:
    """What stands nowhere in particular comes first, then primary before secondary."""
    return center is not None, center.role if center else "", center.slug if center else ""


def _spot(thing: Thing, centers: list[DataCenter | None] | None) -> Spot:
    rank = _KINDS.index(thing.kind) if thing.kind in _KINDS else len(_KINDS)
    return Spot(thing.key, layer_of(thing.kind), centers.index(thing.center) if centers else 0, (rank, thing.name))


def _reading(layout: Layout) -> Callable[[Thing], tuple[int, int]]:
    """The order of the Tab key: column by column, from the top."""
    return lambda thing: (layout.boxes[thing.key].x, layout.boxes[thing.key].y)


def _edge(link: Link, by_key: dict[Hashable, Thing], layout: Layout, *, told: bool) -> Edge:
    source, target, state = layout.boxes[link.source], layout.boxes[link.target], by_key[link.target].state
    how = f"{link.group} needed" if link.group else link.kind
    relation = Dependency.Relation(link.relation).label if link.relation in Dependency.Relation.values else "needs"
    title = f"{by_key[link.source].name} {relation} {by_key[link.target].name} ({how})" if told else ""
    look = [link.kind, link.relation if link.relation in _DRAWN_APART else ""]
    look.append(f"tone-{state.tone}" if state.tone in (Tone.BAD, Tone.WARN) else "")
    where = (source.x + WIDTH + 4, source.middle - 4)
    return Edge(path(source, target), " ".join(filter(None, look)), title, link.group, *where)
