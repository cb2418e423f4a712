"""The past of each thing: who changed what and why, in words; what is gone; and bringing back what was."""

from __future__ import annotations

import pytest
from django.db import transaction
from django.urls import reverse

from inventory.actions.estate import change, create, write_many
from inventory.actions.history import revert
from inventory.history import entries, history, removed
from inventory.models import Component, Dependency, Endpoint, Revision
from portal.errors import Conflict, Denied, Invalid
from portal.models import Event
from tests import world
from tests.inventory.screens import browser, queries

pytestmark = pytest.mark.django_db
APART = pytest.mark.django_db(transaction=True)
"""Events belong to rows by transaction, so these need one for each verb."""


@pytest.fixture
def owner():
    with transaction.atomic():
        return world.account("owner", "operations_owner")


@pytest.fixture
def cache(owner):
    with transaction.atomic():
        world.component("production/us-central/api", service="api")
    values = {"slug": "production/us-central/cache", "name": "cache", "kind": "cache", "service": "api"}
    return create("component", values | {"attributes": {"max_memory_mb": 64}}, by=owner, reason="Sessions.")


def told(found) -> list[list[tuple]]:
    return [[(change.label, change.before, change.after) for change in entry.changes] for entry in found.entries]


@APART
def test_each_change_says_what_was_and_what_became(owner, cache):
    change(cache, by=owner, version="7.2", reason="Upgrade.")
    change(cache, by=owner, version="8.0", attributes={"max_memory_mb": 128, "persistent": True})
    found = history("component", cache.pk, owner)
    assert told(found)[:2] == [
        [("Keeps data on disk", None, "yes"), ("Memory limit in MB", 64, 128), ("Version", "7.2", "8.0")],
        [("Version", None, "7.2")],
    ]
    assert ("Environment", None, "production") in told(found)[2]
    assert ("Memory limit in MB", None, 64) in told(found)[2]
    assert [entry.who for entry in found.entries] == ["by Owner"] * 3
    assert [entry.event.reason for entry in found.entries] == ["", "Upgrade.", "Sessions."]


@APART
def test_what_was_written_past_the_portal_says_so(owner, cache):
    Component.objects.filter(pk=cache.pk).update(version="9")
    newest, first = history("component", cache.pk, owner).entries
    assert (newest.event, newest.who) == (None, "outside the portal")
    assert first.who == "by Owner"
    page = browser(owner).get(reverse("component-history", args=[cache.slug])).content.decode()
    assert "No event tells of it" in page
    assert "Sessions." in page


def test_pages_of_a_history_say_the_same_as_the_whole(owner, cache, monkeypatch):
    for number in range(5):
        change(cache, by=owner, version=str(number), description="odd" if number % 2 else "even")
    whole = told(history("component", cache.pk, owner))
    monkeypatch.setattr(entries, "PAGE_SIZE", 2)
    pages, below = [], None
    while True:
        page = history("component", cache.pk, owner, below=below)
        pages += told(page)
        below = page.older
        if below is None:
            break
    assert pages == whole
    assert len(whole) == 6


@pytest.mark.parametrize("count", [1, 3])
def test_a_history_costs_the_same_however_long_it_is(owner, cache, count, django_assert_num_queries):
    for number in range(count):
        change(cache, by=owner, version=str(number))
    with django_assert_num_queries(8):  # revisions, row, events, the place, two for each of two nouns that are named
        history("component", cache.pk, owner)


def test_names_of_what_the_reader_may_not_see_are_not_told(owner, cache):
    world.component("production/us-central/billing", service="billing")
    change(cache, by=owner, service="billing")
    change(cache, by=owner, service="api")
    reader = world.account("reader", "viewer", ("production", "api"))
    texts = str(told(history("component", cache.pk, reader)))
    assert "billing" not in texts
    assert "something that you may not see" in texts


def test_the_page_of_a_history(owner, cache):
    change(cache, by=owner, version="8.0", reason="Because.")
    count, answer = queries(browser(owner), reverse("component-history", args=[cache.slug]))
    page = answer.content.decode()
    assert count <= 20
    assert "<ins>8.0</ins>" in page
    assert "Revert" in page
    assert browser(world.account("stranger", "viewer", ("staging", "x"))).get(
        reverse("component-history", args=[cache.slug])
    ).status_code == 404  # fmt: skip


def test_a_revert_restores_only_what_the_change_touched(owner, cache):
    change(cache, by=owner, version="7.2", description="one")
    change(cache, by=owner, version="8.0")
    change(cache, by=owner, description="two")
    middle = Revision.objects.filter(object_id=cache.pk, before__version="7.2").get()
    back = revert(middle, by=owner, reason="8.0 leaks.")
    assert (back.version, back.description) == ("7.2", "two")
    assert Event.objects.order_by("seq").last().reason.endswith("8.0 leaks.")


def test_a_revert_leads_back_to_the_row_that_was_named(owner, cache):
    world.component("production/us-east/api", service="api")
    change(cache, by=owner, data_center="us-east")
    moved = Revision.objects.filter(object_id=cache.pk).order_by("-id").first()
    assert revert(moved, by=owner).data_center.slug == "us-central"


def test_a_removal_can_be_reverted_with_what_went_with_it(owner, cache):
    api = Component.objects.get(slug="production/us-central/api")
    write_many("dependency", [{"source": cache.slug, "target": api.slug}], by=owner)
    write_many("endpoint", [{"component": cache.slug, "name": "main", "port": 6379}], by=owner)
    write_many("component", [{"id": cache.pk}], by=owner, mode="remove")
    assert (Dependency.objects.count(), Endpoint.objects.count()) == (0, 0)
    last = removed(owner).get(noun="component")
    back = revert(last, by=owner)
    assert (back.slug, back.attributes) == (cache.slug, {"max_memory_mb": 64})
    assert list(back.endpoints.values_list("port", flat=True)) == [6379]
    assert list(Dependency.objects.values_list("source__slug", "target__slug")) == [(cache.slug, api.slug)]
    with pytest.raises(Conflict):
        revert(last, by=owner)


def test_the_beginning_cannot_be_reverted_and_a_viewer_reverts_nothing(owner, cache):
    first = Revision.objects.get(object_id=cache.pk)
    with pytest.raises(Invalid):
        revert(first, by=owner)
    change(cache, by=owner, version="8")
    last = Revision.objects.filter(object_id=cache.pk).order_by("-id").first()
    with pytest.raises(Denied):
        revert(last, by=world.account("reader", "viewer"))


def test_what_was_removed_is_listed_for_who_would_see_it(owner, cache):
    world.component("staging/us-central/web", service="web")
    for slug in ("staging/us-central/web", cache.slug):
        Component.objects.get(slug=slug).delete()
    reader = browser(world.account("reader", "viewer", ("production", "api")))
    page = reader.get("/removed/").content.decode().replace("<wbr>", "")
    assert cache.slug in page
    assert "staging" not in page
    assert reader.get(f"/removed/component/{cache.pk}/").status_code == 200
    hidden = Revision.objects.get(act="d", before__slug="staging/us-central/web").object_id
    assert reader.get(f"/removed/component/{hidden}/").status_code == 404
    assert reader.get(f"/removed/server/{cache.pk}/").status_code == 404
    assert queries(reader, "/removed/")[0] <= 10


def test_each_noun_that_is_gone_is_found_by_who_holds_the_right_where_it_was(owner, cache):
    api = Component.objects.get(slug="production/us-central/api")
    link = world.dependency(cache, api)
    endpoint = api.endpoints.create(name="main", port=80)
    zone = create("network-zone", {"slug": "production/us-central/inner", "name": "Inner"}, by=owner)
    service = world.service("web")
    world.scope("production", "web")
    for gone in (link, endpoint, zone, service):
        gone.delete()
    mine = world.account("reader", "viewer", ("production", "*"))
    assert sorted(removed(mine).values_list("noun", flat=True)) == ["dependency", "endpoint", "network-zone", "service"]
    other = world.account("other", "viewer", ("staging", "*"))
    world.scope("staging", "api")
    assert list(removed(other)) == []


def test_the_screen_of_a_revert(owner, cache):
    change(cache, by=owner, version="8.0")
    last = Revision.objects.filter(object_id=cache.pk).order_by("-id").first()
    url = reverse("revision-revert", args=["component", cache.pk, last.pk])
    client = browser(owner)
    assert "get the values they had before" in client.get(url).content.decode()
    assert client.post(url, {"reason": "No."})["Location"] == cache.get_absolute_url()
    cache.refresh_from_db()
    assert cache.version == ""
    Component.objects.filter(pk=cache.pk).delete()
    gone = Revision.objects.get(object_id=cache.pk, act="d")
    url = reverse("revision-revert", args=["component", cache.pk, gone.pk])
    assert client.post(url, {"reason": ""})["Location"] == cache.get_absolute_url()
    assert Component.objects.filter(slug=cache.slug).exists()
