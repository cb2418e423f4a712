"""What fails with what, and what could have broken it: the same as the rules followed one by one, on any graph."""

from unittest.mock import patch

from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.graph.causes import causes
from inventory.graph.spread import DEGRADED, DOWN, fail
from tests.inventory.graph.oracle import compressed, failing, graphs

MANY = settings(max_examples=150, deadline=None)


@given(graphs(), st.data())
@MANY
def test_failures_spread_as_the_rules_say(drawn, data):
    size, needs = drawn
    failed = data.draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=3))
    outcome = fail(compressed(size, needs), failed)
    state, since = failing(size, needs, failed)
    assert [outcome.of(place) for place in range(size)] == state
    assert outcome.round == {place: since[place] for place in range(size) if state[place]}


@given(graphs(), st.data())
@MANY
def test_causes_are_all_whose_failure_alone_does_it(drawn, data):
    size, needs = drawn
    goal = data.draw(st.integers(0, size - 1))
    alone = {place: failing(size, needs, {place})[0][goal] for place in range(size) if place != goal}
    with patch("inventory.graph.causes.BLOCK", data.draw(st.sampled_from([1, 2, 4096]))):
        found, _ = causes(compressed(size, needs), goal)
    assert found == {place: makes for place, makes in alone.items() if makes}


def test_distance_counts_dependencies():
    graph = compressed(4, [(0, 1, "hard", 1), (1, 2, "hard", 1), (0, 3, "soft", 1), (2, 3, "hard", 1)])
    assert causes(graph, 0) == ({1: DOWN, 2: DOWN, 3: DOWN}, {1: 1, 2: 2, 3: 1})
    outcome = fail(graph, [3])
    assert outcome.round == {3: 0, 2: 1, 1: 2, 0: 3}  # degraded in round 1, down in round 3


def test_two_of_three_spare_one():
    needs = [(0, target, "store", 2) for target in (1, 2, 3)]
    assert fail(compressed(4, needs), [1]).of(0) == DEGRADED
    assert fail(compressed(4, needs), [1, 2]).of(0) == DOWN


def test_what_two_members_share_takes_the_group_down():
    needs = [(0, 1, "store", 1), (0, 2, "store", 1), (1, 3, "hard", 1), (2, 3, "hard", 1)]
    assert causes(compressed(4, needs), 0)[0] == {1: DEGRADED, 2: DEGRADED, 3: DOWN}


def test_a_circle_does_not_bring_itself_down():
    needs = [(0, 1, "hard", 1), (1, 0, "hard", 1), (1, 2, "soft", 1)]
    outcome = fail(compressed(3, needs), [2])
    assert [outcome.of(place) for place in (0, 1)] == [DEGRADED, DEGRADED]
