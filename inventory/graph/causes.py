"""From what is not well to what could have done it alone.

``D(x)``, all that takes x down by failing alone, is x itself, D of each hard target, D of each target of a group that
needs all of its targets, and what is in D of more targets of a group than it can spare. All that at least degrades x is
D of everything x reaches over hard dependencies, and of the soft and redundant targets of these. Without spare targets
both are plain walks. With them, sets of candidates are carried along as bits of integers, all at once.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from heapq import heappop, heappush

from inventory.graph.compressed import HARD, SOFT, Graph
from inventory.graph.spread import DEGRADED, DOWN

BLOCK = 4096
"""Candidates looked at together; the integers then have half a kilobyte."""


def causes(graph: Graph, goal: int) -> tuple[dict[int, int], dict[int, int]]:
    """What each single failure makes of ``goal`` (itself left out), and how many dependencies lie between."""
    hops = _hops(graph, goal)
    passing = _closure(graph, [goal], lambda how: how == HARD)
    roots = passing | {target for place in passing for target, how in graph.needs.of(place) if how != HARD}
    tight = _tight(graph)
    fatal, partly = _closure(graph, [goal], tight), _closure(graph, roots, tight)
    found = dict.fromkeys(partly, DEGRADED) | dict.fromkeys(fatal, DOWN)
    cone = _closure(graph, roots, lambda how: how != SOFT)
    for place, makes in _together(graph, goal, roots, cone, fatal, hops).items():
        found[place] = max(makes, found.get(place, makes))
    found.pop(goal, None)
    return found, {place: hops[place] for place in found}


def _hops(graph: Graph, goal: int) -> dict[int, int]:
    hops, line = {goal: 0}, [goal]
    for place in line:
        for target, _ in graph.needs.of(place):
            if target not in hops:
                hops[target] = hops[place] + 1
                line.append(target)
    return hops


def _tight(graph: Graph):
    """Whether an entry hands a failure on by itself."""
    needed, members = graph.needed, graph.members
    return lambda how: how == HARD or (how >= 0 and needed[how] == members[how])


def _closure(graph: Graph, places: Iterable[int], follows) -> set[int]:
    reached = set(places)
    line = list(reached)
    for place in line:
        for target, how in graph.needs.of(place):
            if target not in reached and follows(how):
                reached.add(target)
                line.append(target)
    return reached


def _together(
    graph: Graph, goal: int, roots: set[int], cone: set[int], fatal: set[int], hops: dict[int, int]
) -> dict[int, int]:
    """What single failures do by way of groups that can spare some of their targets."""
    wanted = sorted(_candidates(graph, cone) - fatal)
    found: dict[int, int] = {}
    for first in range(0, len(wanted), BLOCK):
        block = wanted[first : first + BLOCK]
        masks = _masks(graph, cone, block, hops)
        down, some = masks.get(goal, 0), 0
        for root in roots:
            some |= masks.get(root, 0)
        for bit, place in enumerate(block):
            if some >> bit & 1:
                found[place] = DOWN if down >> bit & 1 else DEGRADED
    return found


def _candidates(graph: Graph, cone: set[int]) -> set[int]:
    """Places that two different targets of groups with spare ones need, or more. Others cannot fail two at once."""
    spare = {
        target
        for place in cone
        for target, how in graph.needs.of(place)
        if how >= 0 and graph.needed[how] < graph.members[how]
    }
    seen: dict[int, tuple[int, ...]] = {}
    line = deque((target, target) for target in spare)
    while line:
        place, root = line.popleft()
        known = seen.get(place, ())
        if len(known) == 2 or root in known:
            continue
        seen[place] = (*known, root)
        line.extend((target, root) for target, how in graph.needs.of(place) if how != SOFT)
    return {place for place, roots in seen.items() if len(roots) == 2}


def _masks(graph: Graph, cone: set[int], block: list[int], hops: dict[int, int]) -> dict[int, int]:
    """For each place of the cone, which of ``block`` take it down by failing alone: bit by bit a least fixpoint."""
    masks = {place: 1 << bit for bit, place in enumerate(block)}
    waiting, line = set(block), [(-hops[place], place) for place in block]
    line.sort()  # a sorted list is a heap; what is far from the goal is settled first
    while line:
        place = heappop(line)[1]
        waiting.discard(place)
        for source, how in graph.needed_by.of(place):
            if source not in cone or how == SOFT:
                continue
            before = masks.get(source, 0)
            after = before | (masks[place] if how == HARD else _beyond(graph, source, how, masks))
            if after != before:
                masks[source] = after
                if source not in waiting:
                    waiting.add(source)
                    heappush(line, (-hops[source], source))
    return masks


def _beyond(graph: Graph, source: int, group: int, masks: dict[int, int]) -> int:
    """Bits that stand in more of the group's targets than it can spare."""
    spare = graph.members[group] - graph.needed[group]
    at_least = [0] * (spare + 2)
    for target, how in graph.needs.of(source):
        if how == group and (mask := masks.get(target, 0)):
            for count in range(spare, 0, -1):
                at_least[count + 1] |= at_least[count] & mask
            at_least[1] |= mask
    return at_least[spare + 1]
