"""From what fails to what fails with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from inventory.graph.compressed import HARD, SOFT, Graph

UP, DEGRADED, DOWN = 0, 1, 2


@dataclass
class Outcome:
    """``state`` of every place that is not up, and the round in which it got it. ``failed`` have round 0."""

    failed: list[int]
    state: dict[int, int] = field(default_factory=dict)
    round: dict[int, int] = field(default_factory=dict)
    lost: dict[int, int] = field(default_factory=dict)
    """How many of a redundant group's targets are down, by group."""

    def of(self, place: int) -> int:
        return self.state.get(place, UP)


def fail(graph: Graph, places: Iterable[int]) -> Outcome:
    """The least fixpoint of the rules (see the package) when ``places`` are down. Linear in the entries it meets."""
    failed = list(dict.fromkeys(places))
    outcome = Outcome(failed, dict.fromkeys(failed, DOWN), dict.fromkeys(failed, 0))
    worse, turn = outcome.state.copy(), 0
    while worse:
        turn += 1
        worse = _next(graph, outcome, worse)
        outcome.state.update(worse)
        outcome.round.update(dict.fromkeys(worse, turn))
    return outcome


def _next(graph: Graph, outcome: Outcome, worse: dict[int, int]) -> dict[int, int]:
    """What becomes worse because of what became worse in the last round."""
    state, lost, of = outcome.state, outcome.lost, graph.needed_by.of
    needed, members = graph.needed, graph.members
    found: dict[int, int] = {}
    for place, now in worse.items():
        for source, how in of(place):
            if how == HARD:
                makes = now
            elif now != DOWN:
                continue
            elif how == SOFT:
                makes = DEGRADED
            else:
                lost[how] = count = lost.get(how, 0) + 1
                makes = DOWN if members[how] - count < needed[how] else DEGRADED
            if makes > state.get(source, UP) and makes > found.get(source, UP):
                found[source] = makes
    return found
