"""The rules of failing, followed as they are written, and graphs to follow them on."""

from __future__ import annotations

import uuid
from array import array

from hypothesis import strategies as st

from inventory.graph.compressed import HARD, LABELS, SOFT, Graph, rows, turned
from inventory.graph.spread import DEGRADED, DOWN, UP

Need = tuple[int, int, str, int]
"""source, target, "hard", "soft" or the name of a group, and how many of the group are needed"""


def failing(size: int, needs: list[Need], failed: set[int]) -> tuple[list[int], list[int]]:
    """State of each place, and the round in which it got it: all rules at once, until nothing changes."""
    state = [DOWN if place in failed else UP for place in range(size)]
    since = [0] * size
    for turn in range(1, 3 * size + 2):
        after = [max(state[place], _made(place, needs, state)) for place in range(size)]
        since = [turn if after[place] != state[place] else since[place] for place in range(size)]
        if after == state:
            return state, since
        state = after
    raise AssertionError("it never ends")


def _made(place: int, needs: list[Need], state: list[int]) -> int:
    own = [need for need in needs if need[0] == place]
    found = [state[target] for _, target, how, _ in own if how == "hard"]
    found += [DEGRADED for _, target, how, _ in own if how == "soft" and state[target] == DOWN]
    for group in {how for _, _, how, _ in own} - {"hard", "soft"}:
        members = [need for need in own if need[2] == group]
        working = sum(state[target] != DOWN for _, target, _, _ in members)
        needed = min(max(need[3] for need in members), len(members))
        found.append(DOWN if working < needed else DEGRADED if working < len(members) else UP)
    return max(found, default=UP)


@st.composite
def graphs(draw: st.DrawFn, most: int = 9) -> tuple[int, list[Need]]:
    """A few places that need each other in any way, circles included."""
    size = draw(st.integers(1, most))
    pairs = [(source, target) for source in range(size) for target in range(size) if source != target]
    least = min(len(pairs), size)  # fewer would hardly ever make a group of several
    chosen = draw(st.lists(st.sampled_from(pairs), unique=True, min_size=least, max_size=3 * size)) if pairs else []
    kinds = st.sampled_from(["hard", "soft", "a", "a", "b"])
    return size, [(source, target, draw(kinds), draw(st.integers(1, 3))) for source, target in chosen]


def compressed(size: int, needs: list[Need]) -> Graph:
    """The same as arrays."""
    groups: dict[tuple[int, str], list[int]] = {}
    for source, _, how, needed in needs:
        if how not in ("hard", "soft"):
            groups.setdefault((source, how), []).append(needed)
    numbers = {key: number for number, key in enumerate(groups)}
    entries = sorted(
        (source, target, {"hard": HARD, "soft": SOFT}.get(how, numbers.get((source, how), 0)))
        for source, target, how, _ in needs
    )
    columns = [array("i", column) for column in zip(*entries, strict=True)] or [array("i")] * 3
    return Graph(
        b"".join(uuid.UUID(int=place + 1).bytes for place in range(size)),
        rows(*columns, size),
        turned(*columns, size),
        array("i", [min(max(found), len(found)) for found in groups.values()]),
        array("i", [len(found) for found in groups.values()]),
        {label: array("i", [0] * size) for label in LABELS},
        {label: [uuid.UUID(int=0)] for label in LABELS},
        array("i", [1]),
    )
