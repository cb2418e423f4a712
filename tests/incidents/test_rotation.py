"""Who is on call: properties that must hold in every zone, above all where clocks change."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from incidents.rotation import Replacement, Rotation, Shift, resolve, shifts

EXAMPLES = 400 if os.environ.get("CI") == "true" else 100
ZONES = [
    "Pacific/Apia", "Australia/Lord_Howe", "Africa/Casablanca", "Antarctica/Troll", "America/St_Johns",
    "America/Sao_Paulo", "America/New_York", "America/Chicago", "Europe/Dublin", "Asia/Kathmandu", "UTC",
]  # fmt: skip
PINNED = {
    "Pacific/Apia": [datetime(2011, 12, 30, 10, tzinfo=UTC)],
    "America/Sao_Paulo": [datetime(2018, 11, 4, 3, tzinfo=UTC)],
}


@cache
def transitions(zone: str, first: int = 2010, last: int = 2027) -> list[datetime]:
    """The instants near which the zone changes its offset, to the hour."""
    place, found = ZoneInfo(zone), list(PINNED.get(zone, []))
    at, end = datetime(first, 1, 1, tzinfo=UTC), datetime(last, 1, 1, tzinfo=UTC)
    before = at.astimezone(place).utcoffset()
    while at < end:
        at += timedelta(hours=6)
        after = at.astimezone(place).utcoffset()
        if after != before:
            found.append(at)
        before = after
    return found or [datetime(2024, 2, 29, tzinfo=UTC)]


@st.composite
def cases(draw) -> tuple[Rotation, datetime]:
    """A rotation, and an instant within hours of a change of its clocks."""
    zone = draw(st.sampled_from(ZONES))
    near = draw(st.sampled_from(transitions(zone)))
    instant = near + timedelta(seconds=draw(st.integers(-10 * 3600, 10 * 3600)))
    anchor = (near - timedelta(days=draw(st.integers(2, 400)))).date()
    handoff = time(draw(st.integers(0, 23)), draw(st.sampled_from([0, 15, 30, 45])))
    people = tuple(range(draw(st.integers(1, 5))))
    return Rotation(zone, anchor, handoff, draw(st.sampled_from([1, 2, 7, 14])), people), instant


@st.composite
def stand_ins(draw) -> tuple[Rotation, datetime, list[Replacement]]:
    rotation, instant = draw(cases())
    starts = instant + timedelta(minutes=draw(st.integers(-3000, 3000)))
    ends = starts + timedelta(minutes=draw(st.integers(1, 5000)))
    return rotation, instant, [Replacement("stand-in", starts, ends)]


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases())
def test_shifts_tile_any_window_without_gap_or_overlap(case):
    rotation, instant = case
    window = (instant - timedelta(days=3), instant + timedelta(days=40))
    found = list(shifts(rotation, [], *window))
    assert found[0].starts <= window[0] < found[0].ends
    assert found[-1].starts < window[1] <= found[-1].ends
    assert all(one.ends == other.starts for one, other in pairwise(found))
    assert all(one.starts < one.ends for one in found)


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases())
def test_resolve_agrees_at_just_before_and_just_after_each_boundary(case):
    rotation, instant = case
    here = resolve(rotation, [], instant)
    tick = timedelta(microseconds=1)
    assert here.starts <= instant < here.ends
    assert resolve(rotation, [], here.starts) == here
    assert resolve(rotation, [], here.ends - tick) == here
    assert resolve(rotation, [], here.ends).starts == here.ends
    assert resolve(rotation, [], here.starts - tick).ends == here.starts


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases())
def test_a_handoff_is_at_its_local_time_except_inside_a_gap(case):
    rotation, instant = case
    turn = rotation.turn_at(instant)
    for number in range(turn - 2, turn + 3):
        wall = datetime.combine(rotation.anchor + timedelta(days=number * rotation.days), rotation.handoff)
        local = rotation.boundary(number).astimezone(ZoneInfo(rotation.zone)).replace(tzinfo=None)
        gap = wall.replace(tzinfo=ZoneInfo(rotation.zone)).astimezone(UTC)
        exists = gap.astimezone(ZoneInfo(rotation.zone)).replace(tzinfo=None) == wall
        assert (local == wall) is exists
        assert local >= wall


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases())
def test_turns_are_shared_evenly_and_in_order(case):
    rotation, instant = case
    turn = max(rotation.turn_at(instant), 0)
    taken = [rotation.member(number) for number in range(turn, turn + 3 * len(rotation.members))]
    assert {taken.count(member) for member in rotation.members} == {3}


@settings(max_examples=EXAMPLES, deadline=None)
@given(cases(), st.sampled_from(ZONES))
def test_the_answer_does_not_depend_on_the_zone_one_asks_in(case, zone):
    rotation, instant = case
    assert resolve(rotation, [], instant.astimezone(ZoneInfo(zone))) == resolve(rotation, [], instant)


@settings(max_examples=EXAMPLES, deadline=None)
@given(stand_ins())
def test_a_stand_in_changes_nothing_outside_the_range(case):
    rotation, instant, replacements = case
    (one,) = replacements
    tick = timedelta(microseconds=1)
    for at in (instant, one.starts, one.ends - tick, one.starts - tick, one.ends):
        with_it, without = resolve(rotation, replacements, at), resolve(rotation, [], at)
        inside = one.starts <= at < one.ends
        assert with_it.member == ("stand-in" if inside else without.member)
        assert with_it.replaced is inside
        assert with_it.starts <= at < with_it.ends


@settings(max_examples=EXAMPLES, deadline=None)
@given(stand_ins())
def test_shifts_with_stand_ins_tile_too_and_keep_the_time(case):
    rotation, instant, replacements = case
    window = (instant - timedelta(days=5), instant + timedelta(days=5))
    found = list(shifts(rotation, replacements, *window))
    assert all(one.ends == other.starts for one, other in pairwise(found))
    assert all(one.starts < one.ends for one in found)


def test_a_day_that_never_was_is_a_turn_of_no_length():
    rotation = Rotation("Pacific/Apia", date(2011, 12, 28), time(9), 1, ("a", "b", "c", "d"))
    assert rotation.boundary(2) == rotation.boundary(3)
    members = [shift.member for shift in shifts(rotation, [], rotation.boundary(0), rotation.boundary(5))]
    assert members == ["a", "b", "d", "a"]


@pytest.mark.parametrize(("day", "hours"), [(date(2026, 3, 7), 23), (date(2026, 10, 31), 25), (date(2026, 6, 1), 24)])
def test_a_daily_turn_lasts_as_long_as_the_local_day(day, hours):
    rotation = Rotation("America/New_York", day, time(9), 1, ("a", "b"))
    assert rotation.boundary(1) - rotation.boundary(0) == timedelta(hours=hours)


def test_an_ambiguous_handoff_is_the_first_and_one_in_a_gap_moves_forward():
    autumn = Rotation("America/New_York", date(2026, 11, 1), time(1, 30), 1, ("a",))
    assert autumn.boundary(0) == datetime(2026, 11, 1, 5, 30, tzinfo=UTC)
    spring = Rotation("America/New_York", date(2026, 3, 8), time(2, 30), 1, ("a",))
    assert spring.boundary(0) == datetime(2026, 3, 8, 7, 30, tzinfo=UTC)


def test_before_the_anchor_and_without_members_it_is_nobody():
    early = Rotation("UTC", date(2026, 1, 5), time(9), 7, ("a",))
    assert resolve(early, [], datetime(2026, 1, 5, 8, 59, tzinfo=UTC)).member is None
    assert (
        resolve(Rotation("UTC", date(2026, 1, 5), time(9), 7, ()), [], datetime(2026, 2, 1, tzinfo=UTC)).member is None
    )


def test_two_stand_ins_in_one_turn():
    rotation = Rotation("UTC", date(2026, 1, 5), time(0), 7, ("a", "b"))
    one = Replacement("x", datetime(2026, 1, 6, tzinfo=UTC), datetime(2026, 1, 7, tzinfo=UTC))
    two = Replacement("y", datetime(2026, 1, 8, tzinfo=UTC), datetime(2026, 1, 9, tzinfo=UTC))
    between = resolve(rotation, [two, one], datetime(2026, 1, 7, 12, tzinfo=UTC))
    assert between == Shift("a", one.ends, two.starts)
