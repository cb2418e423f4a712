"""What fails with something, or could have broken it, told to somebody: ranked, counted, with a reason for each.

Only what its reader may see is named; the rest is a number.
"""

from __future__ import annotations

import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from inventory.graph import loading
from inventory.graph.causes import causes
from inventory.graph.compressed import HARD, SOFT, Graph
from inventory.graph.held import held, hold
from inventory.graph.loading import Direction
from inventory.graph.spread import DEGRADED, DOWN, Outcome, fail
from inventory.models import Component, ComponentQuerySet
from inventory.models.base import held as rights

WORDS = {DEGRADED: "degraded", DOWN: "down"}
UNSEEN = "something you may not see"


@dataclass(frozen=True)
class Reason:
    """``before``, a component (``None``: one that may not be seen, or none at all), ``after``."""

    before: str
    component: Component | None = None
    after: str = ""
    names: bool = True

    def __str__(self) -> str:
        name = str(self.component or UNSEEN) if self.names else ""
        return " ".join(part for part in (self.before, name) if part) + self.after


@dataclass(frozen=True)
class Suspicion:
    """Why something may be the cause: the lower the ``rank``, the earlier it is listed."""

    rank: int
    note: str
    at: datetime | None = None


@dataclass(frozen=True)
class Row:
    """One component of the answer; ``dependents`` need it directly, ``suspicion`` says why it may be the cause."""

    component: Component
    state: str
    distance: int
    dependents: int
    reason: Reason
    suspicion: Suspicion | None = None


@dataclass
class Impact:
    """The answer. ``ranked`` are the places that may be seen, those that fail by themselves left out."""

    graph: Graph
    direction: Direction
    state: Mapping[int, int]
    distance: Mapping[int, int]
    ranked: list[int]
    failed: list[int]
    hidden: int
    counts: dict[str, int]
    seen: Callable[[int], bool] = field(repr=False)
    outcome: Outcome | None = None
    suspects: Mapping[uuid.UUID, Suspicion] = field(default_factory=dict)

    @cached_property
    def states(self) -> dict[str, int]:
        """How many of the ranked would be down, and how many degraded."""
        found = Counter(self.state[place] for place in self.ranked)
        return {"down": found[DOWN], "degraded": found[DEGRADED]}

    def only(self, state: str) -> list[int]:
        """The ranked places in one state ("down"), or all of them."""
        return [place for place in self.ranked if not state or WORDS[self.state[place]] == state]

    @property
    def failing(self) -> list[int]:
        """The places that fail by themselves and may be seen, what most depend on first."""
        return sorted(filter(self.seen, self.failed), key=lambda place: -self.graph.needed_by.count(place))

    def rows(self, places: Sequence[int], *beside: str) -> list[Row]:
        """What is told about these places, in one query, and with what is to be read ``beside`` each component."""
        reasons = {place: self._reason(place) for place in places}
        wanted = {*places, *(target for _, target, _ in reasons.values() if target is not None and self.seen(target))}
        found = Component.objects.select_related("environment", "service", "data_center", *beside).in_bulk(
            [self.graph.id_of(place) for place in wanted]
        )
        return [self._row(place, reasons[place], found) for place in places if self.graph.id_of(place) in found]

    def _row(self, place: int, why: tuple[str, int | None, str], found: Mapping[Any, Component]) -> Row:
        before, target, after = why
        component = found.get(self.graph.id_of(target)) if target is not None and self.seen(target) else None
        return Row(
            found[self.graph.id_of(place)],
            WORDS[self.state.get(place, DOWN)],
            self.distance.get(place, 0),
            self.graph.needed_by.count(place),
            Reason(before, component, after, names=target is not None),
            self.suspects.get(self.graph.id_of(place)),
        )

    def _reason(self, place: int) -> tuple[str, int | None, str]:
        """Words, the place they speak of, and more words."""
        if self.outcome is None:
            makes = "takes it down" if self.state.get(place) == DOWN else "degrades it"
            return f"{makes} by failing alone", None, ""
        return min(self._explanations(place, self.outcome), default=(0, 0, ("fails by itself", None, "")))[2]

    def _explanations(self, place: int, outcome: Outcome) -> Iterable[tuple[int, int, tuple[str, int | None, str]]]:
        """Everything that alone explains the state: hard dependencies first, what failed first first."""
        mine, graph = self.state[place], self.graph
        for target, how in graph.needs.of(place):
            its = outcome.of(target)
            since = outcome.round.get(target, 0)
            if how == HARD and its == mine:
                yield 0, since, ("needs", target, f", which is {WORDS[its]}")
            elif how == SOFT and its == DOWN and mine == DEGRADED:
                yield 2, since, ("uses", target, ", which is down")
            elif how >= 0 and its == DOWN:
                left, needed = graph.members[how] - outcome.lost[how], graph.needed[how]
                if (left < needed) == (mine == DOWN):
                    of = f"{left} of {graph.members[how]} left"
                    yield 1, since, (f"{of}, {needed} needed:" if left < needed else f"{of}:", target, " is down")


def what_fails(reader: Any, components: Sequence[uuid.UUID]) -> Impact:
    """What breaks when these components fail, all at once."""
    graph = _graph(components, "down")
    outcome = fail(graph, graph.places(components))
    service, tiers = graph.labels["service"], graph.tiers
    dependents, state, turn = graph.needed_by.count, outcome.state, outcome.round

    def rank(place: int) -> tuple[int, ...]:
        return -state[place], tiers[service[place]], turn[place], -dependents(place), place

    failed = set(outcome.failed)
    found = _told(reader, graph, (place for place in state if place not in failed), rank)
    counts = _counts(graph, [*found[0], *filter(found[2], outcome.failed)])
    return Impact(graph, "down", state, turn, found[0], outcome.failed, found[1], counts, found[2], outcome)


def what_could_have(
    reader: Any,
    component: uuid.UUID,
    suspect: Callable[[Sequence[uuid.UUID]], Mapping[uuid.UUID, Suspicion]] | None = None,
) -> Impact:
    """What could have broken this component by failing alone.

    ``suspect`` says which of those that may be seen (nearest first, at most ``loading.MOST``) are under suspicion;
    they come first, and each group by distance.
    """
    graph = _graph([component], "up")
    goal = graph.places([component])
    state, hops = causes(graph, goal[0]) if goal else ({}, {})

    def near(place: int) -> tuple[int, ...]:
        return hops[place], -state[place], graph.tier(place), place

    ranked, hidden, seen = _told(reader, graph, state, near)
    suspects = suspect([graph.id_of(place) for place in ranked[: loading.MOST]]) if suspect else {}
    last = max((one.rank for one in suspects.values()), default=0) + 1
    ranks = {place: one.rank for key, one in suspects.items() if (place := graph.place(key)) is not None}
    ranked.sort(key=lambda place: ranks.get(place, last))  # a stable sort: the nearest stay first
    return Impact(graph, "up", state, hops, ranked, goal, hidden, _counts(graph, ranked), seen, None, suspects)


def _graph(components: Sequence[uuid.UUID], direction: Direction) -> Graph:
    """What this process holds; else the part around them; else, when that is too much, all of it, held from now on."""
    return held() or loading.around(components, direction) or hold()


def _told(
    reader: Any, graph: Graph, places: Iterable[int], rank: Callable[[int], tuple[int, ...]]
) -> tuple[list[int], int, Callable[[int], bool]]:
    """Those that the reader may see, in order; how many they may not; and the question itself."""
    scopes, seen_scopes = graph.labels["scope"], _seen(reader, graph)
    everything = list(places)
    ranked = [place for place in everything if scopes[place] in seen_scopes]
    return sorted(ranked, key=rank), len(everything) - len(ranked), lambda place: scopes[place] in seen_scopes


def _seen(reader: Any, graph: Graph) -> set[int]:
    """The numbers of the scopes on which the reader may see the inventory."""
    named = graph.named["scope"]
    if reader.pk is None:
        return set(range(len(named))) if getattr(reader, "is_authenticated", False) else set()
    ids = set(rights(reader, ComponentQuerySet.view_action).values_list("scope_id", flat=True))
    return {number for number, scope in enumerate(named) if scope in ids}


def _counts(graph: Graph, places: Sequence[int]) -> dict[str, int]:
    """How many services, data centers and environments the places belong to."""
    found = {}
    for name, kind in (("services", "service"), ("data_centers", "data_center"), ("environments", "environment")):
        numbers = graph.labels[kind]
        found[name] = len({numbers[place] for place in places} - {-1})
    return found
