"""Which component a sighting is of: by external id, by connection, by natural key, by address; never by name alone."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

PREFIXES = {
    "load_balancer": ("upstream", "upstream"),
    "app": ("process", ""),
    "fpm_pool": ("pool", "pool"),
    "object_store": ("bucket", "bucket"),
    "queue": ("queue", ""),
    "database": ("database", ""),
}
"""Kind → what the key of a thing below its parent begins with, and the attribute that ends it (empty: the name)."""


@dataclass(slots=True)
class Node:
    """A component as far as matching needs it. ``parent`` is the connection of what it is part of."""

    id: Any
    slug: str
    kind: str
    name: str = ""
    connection: str = ""
    external_id: str = ""
    parent: str = ""
    attributes: dict[str, Any] = field(default_factory=dict)

    @property
    def natural(self) -> str:
        """The address of the thing that it is, below the connection of its parent; empty when it has one of its own."""
        if self.connection or not self.parent or self.kind not in PREFIXES:
            return ""
        prefix, attribute = PREFIXES[self.kind]
        own = self.attributes.get(attribute) if attribute else self.name
        return f"{self.parent}#{prefix}/{own or self.name}"


@dataclass(slots=True)
class Point:
    """A sighting as far as matching needs it. ``component`` is what it was matched with before."""

    id: Any
    source: str
    key: str
    kind: str
    external_id: str = ""
    addresses: Sequence[str] = ()
    relations: Sequence[Sequence[str]] = ()
    claims: Sequence[str] = ()
    detail: bool = False
    component: Any = None

    @property
    def address(self) -> str:
        return f"{self.source}#{self.key}" if self.key else self.source


@dataclass
class Matched:
    """``component`` maps a sighting's id to its component's. ``parts`` are sightings that belong to a declared one."""

    component: dict[Any, Any]
    parts: set[Any]
    _addresses: dict[str, set[Any]]
    _places: dict[str, Any]
    _external: dict[str, Any]
    _nodes: dict[Any, Node]

    def end(self, point: Point, to: str) -> Any:
        """The component at the other end of a relation that ``point`` tells of; ``None`` when it is not known."""
        if to.startswith("tcp:"):
            return _nearest(self._addresses.get(to, ()), point.source, self._nodes)
        if to.startswith("id:"):
            return self._external.get(to[3:])
        return self._places.get(point.source if to == "#" else f"{point.source}{to}" if to.startswith("#") else to)


def match(nodes: Sequence[Node], points: Sequence[Point]) -> Matched:
    """Match every sighting. The result does not depend on the order of either list."""
    points = sorted(points, key=lambda point: (point.source, point.key, point.external_id))
    by_id = {node.id: node for node in nodes}
    external = {node.external_id: node.id for node in nodes if node.external_id}
    found = dict(_certain(nodes, points, external))
    for point in points:
        if point.external_id and point.id in found:
            external.setdefault(point.external_id, found[point.id])
    for point in points:
        if point.id not in found and point.external_id in external:
            found[point.id] = external[point.external_id]
    claimed = {claim for point in points if point.id in found for claim in point.claims}
    addresses: dict[str, set[Any]] = defaultdict(set)
    for point in points:
        for address in point.addresses if point.id in found else ():
            addresses[address].add(found[point.id])
    for point in points:
        if point.id not in found and point.address not in claimed:
            alike = {id_ for address in point.addresses for id_ in addresses[address] if by_id[id_].kind == point.kind}
            if (nearest := _nearest(alike, point.source, by_id)) is not None:
                found[point.id] = nearest
    parts = {point.id for point in points if point.address in claimed}
    places = {point.address: found[point.id] for point in points if point.id in found}
    return Matched(found, parts, addresses, places, external, by_id)


def _certain(nodes: Sequence[Node], points: Sequence[Point], external: dict[str, Any]) -> Iterator[tuple[Any, Any]]:
    connected: dict[str, list[Node]] = defaultdict(list)
    for node in sorted(nodes, key=lambda node: node.slug):
        if node.connection:
            connected[node.connection].append(node)
    natural = {node.natural: node.id for node in nodes if node.natural}
    for point in points:
        if point.external_id in external:
            yield point.id, external[point.external_id]
        elif not point.key and (own := connected.get(point.source)):
            # Several components may share a connection; the one of this kind is meant.
            yield point.id, next((node.id for node in own if node.kind == point.kind), own[0].id)
        elif point.address in natural:
            yield point.id, natural[point.address]


def _nearest(ids: Iterable[Any], source: str, nodes: dict[Any, Node]) -> Any:
    """The only one; of several the only one in the same data center, or else in the same environment."""
    found = [nodes[id_] for id_ in ids]
    for depth in (0, 2, 1):
        place = "/".join(source.split("/")[:depth])
        near = [node for node in found if not depth or node.slug.startswith(f"{place}/")]
        if len(near) == 1:
            return near[0].id
    return None
