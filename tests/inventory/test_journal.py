"""Notes on what there is, and watching it."""

from __future__ import annotations

import pytest
from django.urls import reverse

from inventory.actions.estate import change
from inventory.actions.journal import note, retract_note
from inventory.actions.watching import unwatch, watch
from inventory.history import news, watched
from inventory.models import Note, Watch
from portal.errors import Conflict, Denied, Invalid
from portal.models import Event
from tests import world
from tests.inventory.screens import browser, queries

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner():
    return world.account("owner", "operations_owner")


@pytest.fixture
def api():
    return world.component("production/us-central/api", service="api")


def test_a_note_is_kept_and_told(owner, api):
    note(api, by=owner, text=" Do not restart before noon. ", kind="warning")
    kept = Note.objects.get()
    assert (kept.text, kept.kind, kept.scope_id) == ("Do not restart before noon.", "warning", api.scope_id)
    assert Event.objects.values_list("verb", "subject_id").get() == ("inventory.note", str(api.pk))


@pytest.mark.parametrize(("text", "kind"), [("", "info"), ("a\x00", "info"), ("x" * 10_001, "info"), ("a", "shout")])
def test_a_note_that_cannot_be_is_refused(owner, api, text, kind):
    with pytest.raises(Invalid):
        note(api, by=owner, text=text, kind=kind)


def test_who_may_not_write_notes_writes_none(api):
    with pytest.raises(Denied):
        note(api, by=world.account("reader", "viewer"), text="Hello.")


def test_a_note_is_taken_back_once_and_by_its_author_only(owner, api):
    note(api, by=owner, text="Wrong.")
    kept = Note.objects.get()
    with pytest.raises(Denied):
        retract_note(kept, by=world.account("second", "operations_owner"), subject=api)
    retract_note(kept, by=owner, subject=api)
    with pytest.raises(Conflict):
        retract_note(kept, by=owner, subject=api)
    page = browser(owner).get(api.get_absolute_url()).content.decode()
    assert "<del>Wrong.</del>" in page


@pytest.mark.parametrize("count", [1, 3])
def test_the_journal_costs_the_same_for_one_and_three_notes(owner, api, count):
    for number in range(count):
        note(api, by=owner, text=f"Note {number}.")
    found, answer = queries(browser(owner), api.get_absolute_url())
    assert answer.content.decode().count("journal-text") == count
    assert found == 11


def test_a_note_is_written_and_taken_back_on_screen(owner, api):
    client = browser(owner)
    url = reverse("component-note", args=[api.slug])
    assert client.post(url, {"text": "<b>bold</b>", "kind": "info"}).status_code == 303
    assert "&lt;b&gt;bold" in client.get(api.get_absolute_url()).content.decode()
    taken = reverse("note-retract", args=[Note.objects.get().pk])
    foreign = browser(world.account("other", "operations_owner", ("staging", "x")))
    assert foreign.post(taken).status_code == 404
    assert foreign.post(url, {"text": "x", "kind": "info"}).status_code == 404
    assert client.post(taken).status_code == 303


def test_what_changed_since_somebody_looked(owner, api):
    other = world.component("production/us-central/other", service="api")
    for thing in (api, other):
        watch(thing, owner)
    assert news(owner) == 0
    change(api, by=owner, version="2")
    change(api, by=owner, version="3")
    assert [(one.title, one.unseen) for one in watched(owner)] == [("api", 2), ("other", 0)]
    assert news(owner) == 1
    browser(owner).get(reverse("component-history", args=[api.slug]))
    assert news(owner) == 0
    unwatch(other, owner)
    assert [one.title for one in watched(owner)] == ["api"]


def test_watching_twice_is_watching_once_and_tells_of_nothing_old(owner, api):
    change(api, by=owner, version="2")
    watch(api, owner)
    watch(api, owner)
    assert Watch.objects.count() == 1
    assert news(owner) == 0


def test_what_may_no_longer_be_seen_has_no_name_in_the_list(api):
    reader = world.account("reader", "viewer", ("staging", "*"))
    watch(api, reader)
    assert [one.title for one in watched(reader)] == ["a component that is gone"]


@pytest.mark.parametrize("count", [1, 3])
def test_the_page_of_watched_things_costs_the_same(owner, count):
    for number in range(count):
        watch(world.component(f"production/us-central/c{number}", service="api"), owner)
    found, answer = queries(browser(owner), reverse("watched-list"))
    assert answer.content.decode().count("row-list-item") == count
    assert found == 5


def test_watching_and_having_seen_on_screen(owner, api):
    client = browser(owner)
    url = reverse("component-watch", args=[api.slug])
    assert client.post(url)["Location"] == api.get_absolute_url()
    assert "Stop watching" in client.get(api.get_absolute_url()).content.decode()
    change(api, by=owner, version="2")
    assert "1 of the things you watch" in client.get("/").content.decode()
    client.post(reverse("watched-see"))
    assert news(owner) == 0
    client.post(url, {"stop": "yes"})
    assert Watch.objects.count() == 0
    assert browser(world.account("other", "viewer", ("staging", "x"))).post(url).status_code == 404
