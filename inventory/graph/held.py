"""The graph that this process holds, kept up to date by what ``Revision`` says has changed.

Each process holds one, from the first question that needs all of it. What it holds is a snapshot of the database; all
revisions by transactions that this snapshot did not see are news, in whichever order they were committed. Few changes
are laid on top of the arrays; after many it is read again.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import replace
from threading import Lock
from typing import Any

from django.db import connection

from inventory.graph import loading
from inventory.graph.compressed import HARD, LABELS, NOTHING, SOFT, Graph, Link
from inventory.models import Component, Dependency

PATCHED = 5000
"""Changes on top of the arrays after which they are read anew."""
_NEWS = """
    SELECT pg_current_snapshot()::text, array_agg(noun), array_agg(object_id), array_agg(before->>'source_id'),
           array_agg(before->>'target_id')
      FROM (SELECT noun, object_id, before FROM inventory_revision
             WHERE transaction >= pg_snapshot_xmin(%(seen)s::pg_snapshot)::text::bigint
               AND NOT pg_visible_in_snapshot(transaction::text::xid8, %(seen)s::pg_snapshot)
               AND (noun = 'component' AND (act <> 'u' OR before ?| %(labels)s)
                    OR noun = 'dependency' AND (act <> 'u' OR before ?| %(links)s)
                    OR noun = 'service' AND act = 'u' AND before ? 'tier')
             LIMIT %(most)s) news
"""
_TOLD: dict[str, Any] = {
    "labels": [f"{kind}_id" for kind in LABELS],
    "links": ["source_id", "target_id", "kind", "group", "needed"],
    "most": PATCHED + 1,
}
"""What of a change the graph has to know."""
_lock = Lock()
_graph: Graph | None = None


def held() -> Graph | None:
    """The graph of this process as the database is now; ``None`` when it holds none yet."""
    with _lock:
        return _kept(_current(_graph)) if _graph else None


def hold() -> Graph:
    """The same, read now when there is none."""
    with _lock:
        return _kept(_current(_graph) if _graph else loading.whole())


def forget() -> None:
    """Give it up; the next question that needs it reads it again."""
    global _graph
    with _lock:
        _graph = None


def _kept(graph: Graph) -> Graph:
    """Hold it, unless this transaction has written something: what it sees may never come true."""
    global _graph
    if connection.in_atomic_block:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")
            if cursor.fetchone()[0]:
                return graph
    _graph = graph
    return graph


def _current(graph: Graph) -> Graph:
    with connection.cursor() as cursor:
        cursor.execute(_NEWS, {"seen": graph.snapshot, **_TOLD})
        snapshot, nouns, ids, *ends = cursor.fetchone()
    news = list(zip(nouns or (), ids or (), *(each or () for each in ends), strict=True))
    if not news:
        return graph
    if len(news) + len(graph.needs.replaced) > PATCHED or any(noun == "service" for noun, *_ in news):
        return loading.whole()
    return _Patch(graph, snapshot).apply(news)


class _Patch:
    """A copy of the graph with some places read again. Whoever uses the old one meanwhile is not disturbed."""

    def __init__(self, graph: Graph, snapshot: str) -> None:
        self.graph = replace(
            graph,
            snapshot=snapshot,
            needs=replace(graph.needs, replaced=graph.needs.replaced.copy()),
            needed_by=replace(graph.needed_by, replaced=graph.needed_by.replaced.copy()),
            needed=graph.needed[:],
            members=graph.members[:],
            labels={kind: numbers[:] for kind, numbers in graph.labels.items()},
            named={kind: ids.copy() for kind, ids in graph.named.items()},
            tiers=graph.tiers[:],
            added=graph.added.copy(),
            late=graph.late.copy(),
            gone=graph.gone.copy(),
        )

    def apply(self, news: list[tuple[str, uuid.UUID, str | None, str | None]]) -> Graph:
        gone = self._components({component for noun, component, *_ in news if noun == "component"})
        links = {link for noun, link, *_ in news if noun == "dependency"}
        touched = {uuid.UUID(before) for _, _, source, target in news for before in (source, target) if before}
        for ends in Dependency.objects.filter(pk__in=links).values_list("source_id", "target_id"):
            touched.update(ends)
        self._entries(touched)
        for place in gone:
            self._replace(place, [])
        return self.graph

    def _components(self, changed: set[uuid.UUID]) -> list[int]:
        """Their labels; returns the places of those that are no longer there."""
        columns = [f"{kind}_id" for kind in LABELS]
        rows = Component.objects.filter(pk__in=changed).values_list("pk", "service__tier", *columns)
        there = {pk for pk, *_ in rows}
        for pk, tier, *labels in rows:
            self._label(pk, tier, labels)
        gone = self.graph.places(changed - there)
        self.graph.gone.update(gone)
        return gone

    def _label(self, component: uuid.UUID, tier: int, labels: list[Any]) -> None:
        graph = self.graph
        place = graph.place(component)
        if place is None:
            place = graph.size
            graph.added[component.bytes] = place
            graph.late.append(component.bytes)
            for numbers in graph.labels.values():
                numbers.append(NOTHING)
        for kind, label in zip(LABELS, labels, strict=True):
            graph.labels[kind][place] = NOTHING if label is None else self._number(kind, label, tier)

    def _number(self, kind: str, label: uuid.UUID, tier: int) -> int:
        known = self.graph.named[kind]
        if label not in known:
            known.append(label)
            if kind == "service":
                self.graph.tiers.append(tier)
        return known.index(label)

    def _entries(self, touched: Iterable[uuid.UUID]) -> None:
        """Read all entries of the sources that changed, and turn the affected targets' entries accordingly."""
        graph = self.graph
        places = {place: component for component in touched if (place := graph.place(component)) is not None}
        fresh: dict[int, list[Link]] = {place: [] for place in places}
        groups: dict[tuple[int, str], int] = {}
        rows = Dependency.objects.filter(source__in=places.values()).order_by("source", "target")
        for source, target, kind, group, needed in rows.values_list("source", "target", "kind", "group", "needed"):
            place, other = graph.place(source), graph.place(target)
            if place is not None and other is not None:
                how = {"hard": HARD, "soft": SOFT}.get(kind)
                how = self._group(groups, (place, group), needed or 1) if how is None else how
                fresh[place].append((other, how))
        for number in groups.values():
            graph.needed[number] = min(graph.needed[number], graph.members[number])
        for place, entries in fresh.items():
            self._replace(place, entries)

    def _group(self, groups: dict[tuple[int, str], int], key: tuple[int, str], needed: int) -> int:
        graph = self.graph
        if key not in groups:
            groups[key] = len(graph.needed)
            graph.needed.append(0)
            graph.members.append(0)
        number = groups[key]
        graph.needed[number] = max(graph.needed[number], needed)
        graph.members[number] += 1
        return number

    def _replace(self, place: int, entries: list[Link]) -> None:
        graph = self.graph
        for target in {other for other, _ in graph.needs.of(place)} | {other for other, _ in entries}:
            kept = [entry for entry in graph.needed_by.of(target) if entry[0] != place]
            graph.needed_by.replaced[target] = kept + [(place, how) for other, how in entries if other == target]
        graph.needs.replaced[place] = entries
