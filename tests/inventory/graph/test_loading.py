"""The graph as it is read: whole, in part, and after changes, always the same as what stands in the tables."""

import uuid

import pytest
from django.db import connection
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from inventory.graph import held, loading
from inventory.graph.compressed import Graph
from inventory.graph.spread import fail
from inventory.models import Component, Dependency, Service
from tests import world
from tests.inventory.graph.oracle import failing, graphs

FEW = settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
pytestmark = pytest.mark.django_db


@pytest.fixture
def parts():
    return [world.component(f"production/us-central/part-{number}", service="api") for number in range(7)]


@pytest.fixture
def holding():
    """What a test leaves in the process is given up."""
    yield
    held.forget()


def link(parts, needs):
    kinds = {"hard", "soft"}
    Dependency.objects.bulk_create(
        Dependency(
            source=parts[source],
            target=parts[target],
            **({"kind": how} if how in kinds else {"kind": "redundant", "group": how, "needed": needed}),
        )
        for source, target, how, needed in needs
    )


def states(graph: Graph, parts, failed):
    outcome = fail(graph, graph.places([parts[place].pk for place in failed]))
    return {graph.id_of(place): state for place, state in outcome.state.items()}


def expected(parts, needs, failed):
    found = failing(len(parts), needs, failed)[0]
    return {part.pk: state for part, state in zip(parts, found, strict=True) if state}


@given(graphs(most=7), st.data())
@FEW
def test_what_is_read_fails_as_the_rules_say(parts, drawn, data):
    size, needs = drawn
    Dependency.objects.all().delete()
    link(parts, needs)
    failed = data.draw(st.sets(st.integers(0, size - 1), min_size=1, max_size=2))
    wanted = expected(parts, needs, failed)
    assert states(loading.whole(), parts, failed) == wanted
    part = loading.around([parts[place].pk for place in failed], "down")
    assert states(part, parts, failed) == wanted


def read_beside() -> Graph:
    """The whole graph, with all that this transaction does as news: to itself its earlier writes are no news at all."""
    graph = loading.whole()
    with connection.cursor() as cursor:
        own = cursor.execute("SELECT pg_current_xact_id()::text").fetchone()[0]
    graph.snapshot = f"{own}:{own}:"
    return graph


@given(graphs(most=7), graphs(most=7), st.integers(0, 6))
@FEW
def test_changes_are_laid_on_top(parts, before, after, failed):
    Dependency.objects.all().delete()
    link(parts, before[1])
    read = read_beside()
    link_again(parts, after[1])
    fresh = held._current(read)
    assert fresh is not read or before == after
    assert states(fresh, parts, {failed}) == expected(parts, after[1], {failed})
    assert states(read, parts, {failed}) == expected(parts, before[1], {failed})


def link_again(parts, needs):
    """Keep what is in both, so that changes of a row are told as such."""
    wanted = {(parts[source].pk, parts[target].pk): (how, needed) for source, target, how, needed in needs}
    for row in Dependency.objects.all():
        how, needed = wanted.pop((row.source_id, row.target_id), ("", 0))
        if not how:
            row.delete()
            continue
        row.kind = how if how in ("hard", "soft") else "redundant"
        row.group, row.needed = ("", None) if row.kind == how else (how, needed)
        row.save()
    by_key = {part.pk: place for place, part in enumerate(parts)}
    link(parts, [(by_key[source], by_key[target], *how) for (source, target), how in wanted.items()])


def test_components_come_and_go(parts):
    link(parts, [(0, 1, "hard", 1), (1, 2, "hard", 1)])
    read = read_beside()
    added = world.component("staging/us-east/new", service="other")
    world.dependency(added, parts[0], "soft")
    removed = parts[1].pk
    parts[1].delete()
    fresh = held._current(read)
    place = fresh.place(added.pk)
    assert (fresh.place(removed), fresh.id_of(place)) == (None, added.pk)
    assert [fresh.label(kind, place) for kind in ("scope", "environment", "service", "data_center")] == [
        added.scope_id, added.environment_id, added.service_id, added.data_center_id,
    ]  # fmt: skip
    assert (fresh.tier(place), fresh.gone) == (1, {read.place(removed)})
    assert states(fresh, [*parts[:1], added], {0}) == {parts[0].pk: 2, added.pk: 1}
    assert states(fresh, parts, {2}) == {parts[2].pk: 2}
    assert read.place(added.pk) is None


def test_a_component_that_moves_takes_its_labels_along(parts):
    read = read_beside()
    Component.objects.filter(pk=parts[0].pk).update(data_center=None, version="2")
    fresh = held._current(read)
    assert fresh.label("data_center", fresh.place(parts[0].pk)) is None
    assert read.label("data_center", read.place(parts[0].pk)) == parts[0].data_center_id


def test_a_new_tier_is_read(parts):
    read = read_beside()
    Service.objects.filter(slug="api").update(tier=3)
    assert held._current(read).tier(read.place(parts[0].pk)) == 3


def test_many_changes_read_it_anew(parts, monkeypatch):
    read = read_beside()
    link(parts, [(0, 1, "hard", 1), (1, 2, "hard", 1)])
    monkeypatch.setattr(held, "PATCHED", 1)
    fresh = held._current(read)
    assert (fresh.needs.replaced, list(fresh.needs.of(fresh.place(parts[0].pk)))) == ({}, [(1, -1)])


def test_a_group_keeps_its_size_in_a_part(parts):
    link(parts, [(0, target, "store", 2) for target in (1, 2, 3)])
    part = loading.around([parts[1].pk], "down")
    assert (part.size, list(part.members), list(part.needed)) == (2, [3], [2])


def test_a_part_that_is_too_large_is_not_read(parts, monkeypatch, django_assert_num_queries):
    link(parts, [(place + 1, place, "hard", 1) for place in range(6)])
    monkeypatch.setattr(loading, "MOST", 3)
    with django_assert_num_queries(1):
        assert loading.around([parts[0].pk], "down") is None
    with django_assert_num_queries(0):
        assert loading.around([part.pk for part in parts], "down") is None
    with django_assert_num_queries(2):
        assert loading.around([parts[2].pk], "up").size == 3


def test_nothing_at_all_is_a_graph(django_assert_num_queries):
    with django_assert_num_queries(1):
        graph = loading.whole()
    assert (graph.size, graph.place(uuid.uuid4()), graph.weight > 0) == (0, None, True)


def test_what_may_be_undone_is_not_held(parts, holding):
    assert held.hold().size == 7  # this transaction has written
    assert held.held() is None


@pytest.mark.django_db(transaction=True)
def test_a_process_holds_one_and_follows(holding, django_assert_num_queries):
    first, second = world.component(), world.component("production/us-central/play")
    assert held.held() is None
    graph = held.hold()
    Component.objects.update(version="2")
    Service.objects.update(description="better")
    with django_assert_num_queries(1):
        assert held.held() is graph
    world.dependency(first, second)
    assert states(held.held(), [first, second], {1}) == {first.pk: 2, second.pk: 2}
    assert connection.in_atomic_block is False
