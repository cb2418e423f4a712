"""The answer as people get it: order, reasons, counts, and nothing of what they may not see."""

import pytest
from django.contrib.auth.models import AnonymousUser

from inventory.graph import loading
from inventory.graph.failing import lost_with
from inventory.graph.impact import Suspicion, what_could_have, what_fails
from inventory.models import Endpoint, NetworkZone, Server
from portal.events import SYSTEM
from tests import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def estate():
    """A web server over two services on two databases of which one is needed; one service is foreign to the viewer."""
    made = {
        "web": world.component("production/us-central/web", "edge", service="platform"),
        "api": world.component("production/us-central/api"),
        "play": world.component("production/us-east/play"),
        "first": world.component("production/us-central/first", "database", service="platform"),
        "second": world.component("production/us-east/second", "database", service="platform"),
        "foreign": world.component("staging/us-central/foreign"),
    }
    world.dependency(made["web"], made["api"], "soft")
    world.dependency(made["play"], made["api"])
    for database in ("first", "second"):
        world.dependency(made["api"], made[database], "redundant", group="store", needed=1)
    world.dependency(made["foreign"], made["api"])
    return made


@pytest.fixture
def viewer():
    return world.account("viewer", "viewer", ("production", "*"))


def told(impact):
    return [(row.component.name, row.state, row.distance, str(row.reason)) for row in impact.rows(impact.ranked)]


def test_the_worst_comes_first_with_its_reason(estate, viewer):
    impact = what_fails(viewer, [estate["api"].pk])
    assert told(impact) == [
        ("play", "down", 1, "needs production/us-central/api, which is down"),
        ("web", "degraded", 1, "uses production/us-central/api, which is down"),
    ]
    assert (impact.hidden, impact.states) == (1, {"down": 1, "degraded": 1})
    assert impact.counts == {"services": 3, "data_centers": 2, "environments": 1}


def test_one_of_two_left_degrades_and_none_takes_down(estate, viewer):
    assert told(what_fails(viewer, [estate["second"].pk])) == [
        ("api", "degraded", 1, "1 of 2 left: production/us-east/second is down"),
        ("play", "degraded", 2, "needs production/us-central/api, which is degraded"),
    ]
    both = what_fails(viewer, [estate["first"].pk, estate["second"].pk])
    assert told(both)[0] == ("api", "down", 1, "0 of 2 left, 1 needed: production/us-central/first is down")
    assert both.only("degraded") == [both.graph.place(estate["web"].pk)]


def test_tier_distance_and_dependents_decide_within_a_state(viewer):
    names = ["root", "minor", "near", "far", "liked", "fan"]
    made = {name: world.component(f"production/us-central/{name}") for name in names}
    made["minor"].service.tier = 3
    made["minor"].service.save()
    for source, target in (("minor", "root"), ("near", "root"), ("liked", "root"), ("far", "near"), ("fan", "liked")):
        world.dependency(made[source], made[target])
    world.dependency(made["far"], made["liked"])
    found = told(what_fails(viewer, [made["root"].pk]))
    assert [name for name, *_ in found] == ["liked", "near", "far", "fan", "minor"]


def test_a_cause_that_may_not_be_seen_has_no_name(estate):
    reader = world.account("play-only", "viewer", ("production", "play"))
    impact = what_fails(reader, [estate["first"].pk, estate["second"].pk])
    assert told(impact) == [("play", "down", 2, "needs something you may not see, which is down")]
    assert (impact.hidden, impact.counts["services"]) == (3, 1)


def test_nobody_is_told_anything_and_the_portal_everything(estate):
    assert told(what_fails(AnonymousUser(), [estate["api"].pk])) == []
    assert len(told(what_fails(SYSTEM, [estate["api"].pk]))) == 3


def test_what_could_have_broken_it(estate, viewer):
    impact = what_could_have(viewer, estate["play"].pk)
    assert told(impact) == [
        ("api", "down", 1, "takes it down by failing alone"),
        ("first", "degraded", 2, "degrades it by failing alone"),
        ("second", "degraded", 2, "degrades it by failing alone"),
    ]
    second = estate["second"].pk
    suspected = what_could_have(viewer, estate["play"].pk, lambda ids: {second: Suspicion(0, "down now")})
    assert [(row.component.name, row.suspicion) for row in suspected.rows(suspected.ranked)] == [
        ("second", Suspicion(0, "down now")), ("api", None), ("first", None),
    ]  # fmt: skip


def test_a_place_fails_with_all_that_stands_in_it(estate):
    central = estate["api"].data_center
    zone = NetworkZone.objects.create(
        slug="production/us-east/inner", name="inner", environment=estate["api"].environment
    )
    server = Server.objects.create(
        slug="production/us-east/host", name="host", zone=zone,
        **{name: getattr(estate["play"], name) for name in ("environment", "service", "data_center", "scope")},
    )  # fmt: skip
    estate["play"].server = server
    estate["play"].save()
    Endpoint.objects.create(component=estate["second"], name="sql", port=3306, zone=zone)
    lost = {name: estate[name].pk for name in estate}
    for things, wanted in (
        ([central], ["web", "api", "first", "foreign"]),
        ([server], ["play"]),
        ([zone], ["play", "second"]),
        ([estate["api"].service, server], ["api", "play"]),
        ([estate["foreign"].environment], ["foreign"]),
        ([estate["api"]], ["api"]),
        ([], []),
    ):
        assert set(lost_with(things)) == {lost[name] for name in wanted}


@pytest.mark.parametrize("count", [1, 3])
def test_statements_do_not_grow(viewer, count, django_assert_num_queries):
    api = world.component()
    for number in range(count):
        world.dependency(world.component(f"production/us-central/part-{number}"), api)
    with django_assert_num_queries(4):  # the part around it in two, the reader's scopes, the rows
        told(what_fails(viewer, [api.pk]))


def test_a_hub_is_answered_from_the_whole_graph(estate, viewer, monkeypatch):
    wanted = told(what_fails(viewer, [estate["first"].pk, estate["second"].pk]))
    monkeypatch.setattr(loading, "MOST", 1)
    assert told(what_fails(viewer, [estate["first"].pk, estate["second"].pk])) == wanted
