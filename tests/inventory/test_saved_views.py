"""Lists as somebody wants to find them again."""

from __future__ import annotations

import pytest
from django.urls import reverse

from inventory import lists
from inventory.lists import saved
from inventory.models import SavedView
from portal.errors import Conflict
from tests import world
from tests.inventory.screens import browser, queries

pytestmark = pytest.mark.django_db


@pytest.fixture
def viewer():
    world.component("production/us-central/api", service="api")
    world.component("production/us-central/cache", kind="cache", service="api")
    return world.account("viewer", "viewer")


def keep(
    client, name: str = "Caches", query: str = "kind=cache&columns=slug&after=x&page=2", place: str = "component-list"
):
    return client.post(reverse("view-save"), {"place": place, "name": name, "query": query})


def test_a_view_keeps_filters_order_and_columns_but_not_the_page(viewer):
    client = browser(viewer)
    answer = keep(client)
    view = SavedView.objects.get()
    assert answer["Location"] == f"/components/?kind=cache&columns=slug&page=2&view={view.pk}"
    page = client.get(answer["Location"]).content.decode()
    assert "us-central/cache" in page
    assert "us-central/api" not in page
    assert 'aria-current="page">Caches' in page


def test_saving_under_the_same_name_replaces_it(viewer):
    client = browser(viewer)
    keep(client)
    keep(client, query="kind=app")
    assert SavedView.objects.values_list("query", flat=True).get() == "kind=app"


@pytest.mark.parametrize(("place", "name"), [("component-detail", "x"), ("nowhere", "x"), ("component-list", "")])
def test_a_view_of_what_is_no_list_is_refused(viewer, place, name):
    assert keep(browser(viewer), name, place=place).status_code == 422


def test_the_first_view_opens_the_list_and_all_of_it_stays_reachable(viewer):
    client = browser(viewer)
    keep(client)
    view = SavedView.objects.get()
    client.post(reverse("view-edit", args=[view.pk]), {"name": "Caches", "first": "on"})
    opened = client.get("/components/")
    assert (opened.status_code, opened["Location"]) == (303, saved.address(view))
    whole = client.get("/components/?view=all").content.decode()
    assert "us-central/api" in whole


def test_only_one_view_opens_a_list(viewer):
    client = browser(viewer)
    for name in ("one", "two"):
        keep(client, name)
        view = SavedView.objects.get(name=name)
        client.post(reverse("view-edit", args=[view.pk]), {"name": name, "first": "on"})
    assert list(SavedView.objects.filter(first=True).values_list("name", flat=True)) == ["two"]


def test_a_shared_view_is_seen_by_others_and_changed_by_its_owner_only(viewer):
    client = browser(viewer)
    keep(client)
    view = SavedView.objects.get()
    other = browser(world.account("other", "viewer"))
    assert "Caches" not in other.get("/components/").content.decode()
    client.post(reverse("view-edit", args=[view.pk]), {"name": "Caches", "shared": "on"})
    assert "Caches" in other.get("/components/").content.decode()
    for name in ("view-edit", "view-remove"):
        assert other.post(reverse(name, args=[view.pk]), {"name": "Mine"}).status_code == 404
    assert client.post(reverse("view-remove", args=[view.pk]))["Location"] == "/components/?view=all"
    assert SavedView.objects.count() == 0


def test_two_views_of_a_list_have_two_names(viewer):
    client = browser(viewer)
    keep(client, "one")
    keep(client, "two")
    with pytest.raises(Conflict):
        saved.store(SavedView(place="component-list", name="one", owner=viewer))
    view = SavedView.objects.get(name="two")
    assert client.post(reverse("view-edit", args=[view.pk]), {"name": "one"}).status_code == 409


@pytest.mark.parametrize("count", [1, 3])
def test_views_of_ones_own_and_of_others_cost_a_list_nothing_more(viewer, count):
    client, other = browser(viewer), world.account("other", "viewer")
    for path, place in (("/incidents/", "incident-list"), ("/servers/", "server-list")):
        before, _ = queries(client, path)
        for number in range(count):
            keep(client, f"kept{number}", place=place)
            SavedView.objects.create(owner=other, place=place, name=f"kept by other {number}", shared=True)
        after, answer = queries(client, path)
        assert (after, after <= 10) == (before, True), place
        assert answer.content.decode().count(">kept") == 2 * count
        assert answer.content.decode().count("Shared by Other") == count


LISTS = sorted((set(lists.PLURALS) - {"component"}) | {"drift", "finding", "discovery"})


def test_every_list_with_filters_keeps_views_at_its_own_address(viewer):
    client = browser(viewer)
    saving = 'name="place" value="{}-list"'
    for noun in LISTS:
        place, path = f"{noun}-list", reverse(f"{noun}-list")
        assert saving.format(noun) in client.get(path).text, noun
        assert keep(client, f"Mine of {noun}", "q=a", place=place).status_code == 303
        view = SavedView.objects.get(place=place)
        assert f'aria-current="page">Mine of {noun}' in client.get(saved.address(view)).text
        client.post(reverse("view-edit", args=[view.pk]), {"name": "First", "first": "on"})
        opened = client.get(path)
        assert (opened.status_code, opened["Location"]) == (303, f"{path}?q=a&view={view.pk}"), noun
        assert client.post(reverse("view-remove", args=[view.pk]))["Location"] == f"{path}?view=all", noun
        assert client.get(path).status_code == 200, noun
