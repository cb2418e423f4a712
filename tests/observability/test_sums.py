"""Pages sum components up by what rights hang on: counts, states, the worst by name, nothing of what is not seen."""

from datetime import timedelta

import pytest

from inventory.models import Component, Environment
from observability import summing
from observability.models import STALE_AFTER, ComponentHealth
from portal import clock
from tests import world
from tests.inventory.screens import browser, queries

pytestmark = pytest.mark.django_db


def read(component: Component, state: str, ago: timedelta = timedelta(0), version: str = "") -> None:
    at = clock.now() - ago
    ComponentHealth.objects.create(component=component, state=state, observed_at=at, version=version)


def component(service: str, name: str, center: str = "us-central", kind: str = "app") -> Component:
    return world.component(f"production/{center}/{name}", kind, service=service)


@pytest.fixture
def reader():
    return world.account("reader", "viewer")


def sums(reader, by="service"):
    return summing.sums(reader, by, environment=Environment.objects.get(slug="production"))


def test_a_group_says_how_many_there_are_where_and_how_they_are(reader):
    read(component("api", "one"), "healthy", version="2")
    read(component("api", "two", "us-east"), "down", version="1")
    read(component("api", "old"), "healthy", ago=STALE_AFTER, version="1")
    read(component("api", "cache", kind="cache"), "degraded", version="7.2")
    component("api", "never")
    [(service, whole)], more = sums(reader)
    assert (service.slug, str(service), more) == ("api", str(world.service("api")), 0)
    centers = [world.data_center(slug).name for slug in ("us-central", "us-east")]
    assert (whole.total, whole.where) == (5, f"{centers[0]}: 4, {centers[1]}: 1")
    assert whole.counted == {"healthy": 1, "down": 1, "degraded": 1, "unknown": 2}
    assert (whole.state_info.value, whole.running) == ("down", "1, 2")
    assert whole.oldest == ComponentHealth.objects.get(component__name="old").observed_at
    assert [each.name for each in whole.components] == ["two", "cache", "never", "old", "one"]
    assert [bool(getattr(each, "health", None)) for each in whole.components] == [True, True, False, True, True]


def test_what_is_not_seen_is_not_counted(reader):
    component("api", "one")
    component("billing", "two")
    some = world.account("some", "viewer", ("*", "api"))
    assert [(str(each), whole.total) for each, whole in sums(some)[0]] == [(str(world.service("api")), 1)]
    assert sums(world.account("nobody")) == ([], 0)


def test_of_many_only_those_that_are_ill_are_named_and_their_groups_come_first(reader, monkeypatch):
    monkeypatch.setattr(summing, "_SUMS", summing._SUMS.replace("<= 500", "<= 3").replace("LIMIT 30", "LIMIT 2"))
    for service in ("a", "b", "c", "d"):
        read(component(service, f"{service}-one"), "healthy")
        read(component(service, f"{service}-two"), "down" if service == "d" else "healthy")
    groups, more = sums(reader)
    assert [(each.slug, whole.total) for each, whole in groups] == [("a", 2), ("d", 2)]
    assert [[each.name for each in whole.components] for _, whole in groups] == [[], ["d-two"]]
    assert more == 2


def test_pages_cost_the_same_for_one_and_for_three(reader):
    client = browser(reader)
    paths = ("/environments/production/", "/data-centers/us-central/", "/services/api/")

    def cost():
        return [queries(client, path)[0] for path in paths]

    read(component("api", "one"), "down")
    one = cost()
    for name in ("two", "three"):
        read(component("api", name), "down")
    component("billing", "four", "us-east")
    assert (cost(), max(one) <= 12) == (one, True)
