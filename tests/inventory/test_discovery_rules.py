"""The rules of discovery, for any order of events: absence, the brake, identity, replay, and which source decides."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from inventory.discovery.comparing import fits
from inventory.discovery.matching import Node, Point, match
from inventory.discovery.merging import Account, merge
from inventory.discovery.rules import GONE, PRESENT, SUSPECT, Brake, Outcome, Seen, take

START = datetime(2026, 1, 1, tzinfo=UTC)
FAST = settings(max_examples=60, deadline=None)
NEVER = Brake(share=1.0, most=10_000)


@dataclass(frozen=True)
class Thing:
    key: str
    external_id: str = ""
    name: str = "same"
    kind: str = "app"
    fields: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Listed:
    things: tuple[Thing, ...]
    complete: bool


def at(number: int) -> datetime:
    return START + timedelta(minutes=number)


def play(listings: list[Listed], brake: Brake = NEVER) -> list[Outcome]:
    """The outcome of each listing, one minute apart, beginning with nothing."""
    outcomes: list[Outcome] = []
    known: tuple[Seen, ...] = ()
    for number, listed in enumerate(listings, 1):
        last = at(number - 1) if number > 1 else None
        outcome = take(known, listed.things, at(number), complete=listed.complete, last=last, brake=brake)
        outcomes.append(outcome)
        known = outcome.after
    return outcomes


def states(outcome: Outcome) -> dict[str, str]:
    return {seen.key: seen.state for seen in outcome.after}


KEYS = st.sampled_from("abcdefgh")
THINGS = st.lists(KEYS, unique=True).map(
    lambda keys: tuple(Thing(key, f"id-{key}" if key in "abcd" else "", fields={"v": key}) for key in keys)
)
LISTINGS = st.lists(st.builds(Listed, THINGS, st.booleans()), min_size=1, max_size=8)


# -- absence


@FAST
@given(LISTINGS)
def test_a_thing_is_gone_exactly_when_two_complete_listings_in_a_row_lacked_it(listings):
    """An oracle that counts by itself; partial listings neither count nor interrupt."""
    misses: dict[str, int] = {}
    for listed, outcome in zip(listings, play(listings), strict=True):
        here = {thing.key for thing in listed.things}
        for key in {*misses, *here}:
            misses[key] = 0 if key in here else min(misses[key] + listed.complete, 2)
        assert states(outcome) == {key: [PRESENT, SUSPECT, GONE][missed] for key, missed in misses.items()}


@FAST
@given(LISTINGS, THINGS)
def test_a_partial_listing_never_takes_anything_away(listings, things):
    before, after = play([*listings, Listed(things, complete=False)])[-2:]
    left = {key for key, state in states(before).items() if state != GONE}
    assert {key for key in left if states(after)[key] == GONE} == set()
    assert after.vanishing == ()
    assert {key: states(after)[key] for key in left - {t.key for t in things}} == {
        key: states(before)[key] for key in left - {t.key for t in things}
    }


@FAST
@given(LISTINGS)
def test_nothing_that_was_ever_seen_is_forgotten(listings):
    """What is gone is kept as a tombstone, with when it was first and last seen."""
    final = play(listings)[-1]
    ever: dict[str, list[int]] = {}
    for number, listed in enumerate(listings, 1):
        for thing in listed.things:
            ever.setdefault(thing.key, []).append(number)
    assert {seen.key: (seen.first_seen, seen.last_seen) for seen in final.after} == {
        key: (at(numbers[0]), at(numbers[-1])) for key, numbers in ever.items()
    }


@FAST
@given(LISTINGS)
def test_a_replay_gives_the_same_state_and_a_repeated_delivery_changes_nothing(listings):
    outcomes = play(listings)
    assert play(listings) == outcomes
    last, number = outcomes[-1], len(listings)
    again = take(last.after, listings[-1].things, at(number), complete=listings[-1].complete, last=at(number))
    assert (again.after, again.new, again.changed, again.gone) == (last.after, (), (), ())


# -- the brake


@FAST
@given(st.integers(1, 120), st.data())
def test_the_brake_holds_exactly_when_it_says_and_then_nothing_vanishes(known, data):
    missing = data.draw(st.integers(0, known))
    things = tuple(Thing(str(number)) for number in range(known))
    _, outcome = play([Listed(things, complete=True), Listed(things[missing:], complete=True)], Brake())
    held = missing > 20 or (missing >= 3 and missing > known * 0.05)
    assert outcome.held is held
    wanted = PRESENT if held else SUSPECT
    assert [seen.state for seen in outcome.after] == [wanted] * missing + [PRESENT] * (known - missing)
    assert len(outcome.vanishing) == missing


def test_a_slow_drain_passes_the_brake_only_as_slowly_as_it_is():
    """Two of a hundred at a time are no mass, but what is already suspect counts with what is newly missing."""
    things = tuple(Thing(str(number)) for number in range(100))
    listings = [Listed(things[2 * step :], complete=True) for step in range(6)]
    assert [outcome.held for outcome in play(listings, Brake())] == [False] * 6
    steep = [Listed(things[4 * step :], complete=True) for step in range(3)]
    assert [outcome.held for outcome in play(steep, Brake())] == [False, False, True]


# -- identity


@FAST
@given(st.permutations("abcd"), st.text("xyz", min_size=1, max_size=3))
def test_another_key_or_name_keeps_the_identity_of_an_external_id(keys, name):
    first = tuple(Thing(key, f"id-{number}") for number, key in enumerate("abcd"))
    second = tuple(Thing(key, f"id-{number}", name) for number, key in enumerate(keys))
    outcome = play([Listed(first, complete=True), Listed(second, complete=True)])[-1]
    assert {seen.external_id: (seen.key, seen.first_seen) for seen in outcome.after} == {
        f"id-{number}": (key, at(1)) for number, key in enumerate(keys)
    }
    assert outcome.new == outcome.gone == outcome.vanishing == ()


def test_what_was_replaced_under_its_key_is_another_thing():
    first, second = Thing("db", "uuid-1"), Thing("db", "uuid-2")
    outcome = play([Listed((first,), complete=True), *[Listed((second,), complete=True)] * 2])[-1]
    assert [(seen.external_id, seen.state) for seen in outcome.after] == [("uuid-1", GONE), ("uuid-2", PRESENT)]


def test_an_external_id_that_is_learnt_later_is_no_new_thing():
    outcome = play([Listed((Thing("db"),), complete=True), Listed((Thing("db", "uuid"),), complete=True)])[-1]
    assert [(seen.key, seen.external_id, seen.first_seen) for seen in outcome.after] == [("db", "uuid", at(1))]


def test_a_name_alone_matches_nothing():
    outcome = play([Listed((Thing("a", name="api"),), True), Listed((Thing("b", name="api"),), True)])[-1]
    assert states(outcome) == {"a": SUSPECT, "b": PRESENT}


# -- fields


@FAST
@given(st.lists(st.dictionaries(st.sampled_from("xyz"), st.sampled_from([1, True, "1", None, [1]])), min_size=1))
def test_each_field_knows_since_when_it_has_its_value(values):
    final = play([Listed((Thing("k", fields=fields),), complete=True) for fields in values])[-1].after[0]
    assert {name: held["value"] for name, held in final.fields.items()} == values[-1]
    for name, value in values[-1].items():
        same = [repr(one.get(name, "-")) == repr(value) for one in reversed(values)]
        run = [*itertools.takewhile(bool, same)]
        assert final.fields[name]["changed_at"] == at(len(values) - len(run) + 1).isoformat()


# -- several sources

ACCOUNTS = st.lists(
    st.builds(
        lambda source, driver, value, stale, own: Account(
            source, driver, {"role": {"value": value, "changed_at": ""}}, START, stale=stale, own=own
        ),
        st.sampled_from("pqrs"),
        st.sampled_from(["redis", "sentinel", "pm2", "unheard"]),
        st.sampled_from(["primary", "replica"]),
        st.booleans(),
        st.booleans(),
    ),
    max_size=5,
    unique_by=lambda account: account.source,
)


@FAST
@given(ACCOUNTS, st.randoms())
def test_the_order_in_which_sources_speak_decides_nothing(accounts, random):
    other = list(accounts)
    random.shuffle(other)
    assert merge("cache", other) == merge("cache", accounts)


@FAST
@given(ACCOUNTS)
def test_priority_decides_among_fresh_sources_and_nobody_is_silenced(accounts):
    merged = merge("cache", accounts)
    if not accounts:
        assert merged == {}
        return
    verdict = merged["role"]
    order = {"own": 0, "redis": 1, "sentinel": 2}

    def rank(account: Account) -> tuple[Any, ...]:
        places = [order[word] for word in (account.driver, "own" if account.own else "") if word in order]
        return account.stale, min(places, default=3), account.source

    best = min(accounts, key=rank)
    assert (verdict.said.source, verdict.said.stale) == (best.source, best.stale)
    assert {other.source for other in verdict.others} == {account.source for account in accounts} - {best.source}
    contrary = {a.source for a in accounts if not a.stale and a.fields["role"]["value"] != verdict.said.value}
    assert {other.source for other in verdict.against} == (set() if best.stale else contrary)


# -- matching

NODES = (
    Node(1, "production/east/cache", "cache", connection="production/east/cache"),
    Node(2, "production/west/cache", "cache", connection="production/west/cache"),
    Node(3, "production/east/db", "database", external_id="mysql:3"),
    Node(4, "production/east/pm2", "process_manager", connection="production/east/pm2"),
    Node(5, "production/east/api", "app", name="api", parent="production/east/pm2"),
    Node(6, "production/east/web", "app", connection="production/east/web"),
)
POINTS = (
    Point(10, "production/east/cache", "", "cache", addresses=("tcp:h:1",)),
    Point(11, "production/west/cache", "", "cache", addresses=("tcp:h:2",), relations=(("replicates", "tcp:h:1"),)),
    Point(12, "production/east/sentinel", "server/h:2", "cache", addresses=("tcp:h:2",)),
    Point(13, "production/east/moved", "", "database", external_id="mysql:3"),
    Point(14, "production/east/pm2", "process/api", "app"),
    Point(15, "production/east/pm2", "process/cache", "app"),
    Point(16, "production/east/web", "", "app", claims=("production/east/pm2#process/web-a",)),
    Point(17, "production/east/pm2", "process/web-a", "app"),
    Point(18, "production/east/sentinel", "server/h:9", "cache", addresses=("tcp:h:9",)),
)


@FAST
@given(st.permutations(NODES), st.permutations(POINTS))
def test_sightings_find_their_component_in_any_order(nodes, points):
    matched = match(nodes, points)
    assert matched.component == {10: 1, 11: 2, 12: 2, 13: 3, 14: 5, 16: 6}
    assert matched.parts == {17}
    assert matched.end(POINTS[1], "tcp:h:1") == 1


def test_an_address_that_several_have_belongs_to_the_one_in_the_same_place():
    shared = [replace(POINTS[0], addresses=("tcp:127.0.0.1:1",)), replace(POINTS[1], addresses=("tcp:127.0.0.1:1",))]
    ends = [match(NODES, shared).end(point, "tcp:127.0.0.1:1") for point in shared]
    assert ends == [1, 2]
    assert match(NODES, shared).end(Point(1, "staging/x/y", "", "edge"), "tcp:127.0.0.1:1") is None


@pytest.mark.parametrize(
    ("name", "declared", "observed", "right"),
    [
        ("version", "11.4", "11.4.7", True),
        ("version", "11.4", "11.40.1", False),
        ("version", "11.4.7", "11.4", False),
        ("software", "valkey", "Valkey", True),
        ("role", "primary", "standalone", True),
        ("role", "primary", "replica", False),
        ("members", ["b", "a"], ["a", "b"], True),
        ("members", ["a"], ["a", "b"], False),
        ("tls", True, 1, False),
        ("workers", 2, 2, True),
    ],
)
def test_what_fits(name, declared, observed, right):
    assert fits(name, declared, observed) is right
