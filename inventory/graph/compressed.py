"""The graph in arrays of integers: components are numbered places, dependencies stand in rows by source and by target.

Compressed sparse rows (CSR): ``start[place]`` to ``start[place + 1]`` are the entries of a place. 100,000 components
with 300,000 dependencies take about 12 MB. What changed since it was read lies on top in dictionaries.
"""

from __future__ import annotations

import uuid
from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import accumulate

HARD, SOFT = -1, -2
"""How an entry needs its target; zero or more is the number of its redundant group."""
KEY = 16
NOTHING = -1

Link = tuple[int, int]
"""(the other place, how)"""
LABELS = ("scope", "environment", "service", "data_center")


@dataclass
class Rows:
    """Entries by place, and the places whose entries were replaced since."""

    start: array[int]
    other: array[int]
    how: array[int]
    replaced: dict[int, list[Link]] = field(default_factory=dict)

    def of(self, place: int) -> Iterable[Link]:
        """(the other place, how) of each entry."""
        if self.replaced and (found := self.replaced.get(place)) is not None:
            return found
        if place >= len(self.start) - 1:
            return ()
        first, last = self.start[place], self.start[place + 1]
        return zip(self.other[first:last], self.how[first:last], strict=True)

    def count(self, place: int) -> int:
        if self.replaced and (found := self.replaced.get(place)) is not None:
            return len(found)
        return self.start[place + 1] - self.start[place] if place < len(self.start) - 1 else 0


@dataclass
class Graph:
    """Places 0 … ``size`` - 1. ``keys`` are the ids of those read at once, ascending; ``late`` came one by one.

    ``labels`` hold for each place the number of its scope, environment, service and data center (-1: none), ``named``
    which id a number stands for. ``tiers`` are by number of the service. ``needed`` and ``members`` are by group: how
    many must work, and of how many. ``gone`` places were removed and have no entries.
    """

    keys: bytes
    needs: Rows
    needed_by: Rows
    needed: array[int]
    members: array[int]
    labels: dict[str, array[int]]
    named: dict[str, list[uuid.UUID]]
    tiers: array[int]
    snapshot: str = ""
    added: dict[bytes, int] = field(default_factory=dict)
    late: list[bytes] = field(default_factory=list)
    gone: set[int] = field(default_factory=set)

    @property
    def size(self) -> int:
        return len(self.keys) // KEY + len(self.late)

    def place(self, component: uuid.UUID) -> int | None:
        """Where a component is; ``None`` when it is not in this graph."""
        wanted, keys = component.bytes, self.keys
        if (late := self.added.get(wanted)) is not None:
            return None if late in self.gone else late
        count = len(keys) // KEY
        at = bisect_left(range(count), wanted, key=lambda place: keys[place * KEY : place * KEY + KEY])
        if at == count or keys[at * KEY : at * KEY + KEY] != wanted or at in self.gone:
            return None
        return at

    def places(self, components: Iterable[uuid.UUID]) -> list[int]:
        """Where those that are in this graph are."""
        return [at for component in components if (at := self.place(component)) is not None]

    def id_of(self, place: int) -> uuid.UUID:
        first = len(self.keys) // KEY
        if place < first:
            return uuid.UUID(bytes=self.keys[place * KEY : place * KEY + KEY])
        return uuid.UUID(bytes=self.late[place - first])

    def label(self, kind: str, place: int) -> uuid.UUID | None:
        """The id of the place's scope, environment, service or data center."""
        number = self.labels[kind][place]
        return self.named[kind][number] if number >= 0 else None

    def tier(self, place: int) -> int:
        return self.tiers[self.labels["service"][place]]

    @property
    def weight(self) -> int:
        """Bytes that the arrays take."""
        rows = (self.needs, self.needed_by)
        arrays = [self.needed, self.members, self.tiers, *self.labels.values()]
        arrays += [part for each in rows for part in (each.start, each.other, each.how)]
        return len(self.keys) + sum(part.itemsize * len(part) for part in arrays)


def integers(packed: bytes | None) -> array[int]:
    """32-bit integers as PostgreSQL sends them: the greatest byte first."""
    found = array("i", packed or b"")
    found.byteswap()
    return found


def rows(owners: array[int], others: array[int], hows: array[int], size: int) -> Rows:
    """Entries that are in the order of their owners."""
    counts = array("i", bytes(4 * (size + 1)))
    for owner in owners:
        counts[owner + 1] += 1
    return Rows(array("i", accumulate(counts)), others, hows)


def turned(owners: array[int], others: array[int], hows: array[int], size: int) -> Rows:
    """The same entries seen from the other end: a counting sort."""
    counts = array("i", bytes(4 * (size + 1)))
    for other in others:
        counts[other + 1] += 1
    start = array("i", accumulate(counts))
    free, back, how = array("i", start), array("i", bytes(4 * len(others))), array("i", bytes(4 * len(others)))
    for owner, other, kind in zip(owners, others, hows, strict=True):
        at = free[other]
        back[at], how[at] = owner, kind
        free[other] = at + 1
    return Rows(start, back, how)
