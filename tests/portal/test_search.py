"""The page of the search, the palette's part of it, what was opened last, and REST."""

from __future__ import annotations

import functools
from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import AnonymousUser
from django.urls import reverse

from identity import rights
from inventory.models import Component
from portal import clock, search
from portal.events import SYSTEM
from portal.prepared import Reader
from portal.search import kept
from portal.search.sources import Source, registry
from tests import world
from tests.inventory.screens import browser, queries

pytestmark = pytest.mark.django_db
PALETTE = {"HX-Request": "true", "HX-Target": "palette-results"}


@pytest.fixture
def reader() -> Any:
    """Sees the service api in production, and nothing else."""
    return world.account("reader", "on_call", ("production", "api"))


def make(count: int, service: str = "api") -> list[Component]:
    return [world.component(f"production/us-central/web-{number:02}", service=service) for number in range(count)]


def test_the_page_works_without_a_script(reader):
    (component,) = make(1)
    page = browser(reader).get("/search/", {"q": "web"}).content.decode()
    assert f'<a href="{component.get_absolute_url()}" data-hit="component"' in page
    assert 'action="/search/"' in page


def test_one_kind_is_a_list_with_pages(reader):
    make(60)
    client = browser(reader)
    first = client.get("/search/", {"q": "web", "kind": "component"})
    table = first.context["table"]
    assert (len(table.objects), table.total) == (50, 60)
    assert first.content.count(b"data-search") == 1
    second = client.get(table.next)
    assert [row.name for row in second.context["table"].objects] == [f"web-{number}" for number in range(50, 60)]


def test_the_palette_gets_its_part_only_and_each_hit_is_an_option(reader):
    make(8)
    part = browser(reader).get("/search/", {"q": "web-0"}, headers=PALETTE).content.decode()
    assert part.strip().startswith('<div id="palette-results" data-answers="web-0">')
    assert part.count('role="option"') == 7
    assert 'href="/search/?q=web-0&amp;kind=component"' in part


def test_the_cost_does_not_grow_with_what_is_there(reader):
    client = browser(reader)
    make(1)
    one = queries(client, "/search/?q=web", **PALETTE)[0], queries(client, "/search/?q=web&kind=component")[0]
    make(3)
    three = queries(client, "/search/?q=web", **PALETTE)[0], queries(client, "/search/?q=web&kind=component")[0]
    assert (one, three) == ((4, 7), (4, 7))


def test_what_was_opened_last_is_offered_while_it_may_be_seen(reader):
    (component,) = make(1)
    foreign = world.component("production/us-central/web")
    client = browser(reader)
    for key in (foreign.pk, component.pk):
        assert client.post("/search/visited/", {"kind": "component", "key": str(key)}).status_code == 204
    part = client.get("/search/", headers=PALETTE)
    assert [hit.title for hit in part.context["recent"]] == ["web-00"]
    assert [offer.title for offer in part.context["actions"]] == ["Open an incident", "Ask for temporary access"]


@pytest.mark.parametrize(
    ("kind", "key"), [("component", ""), ("nonsense", "x"), ("place", "/"), ("component", "x" * 300)]
)
def test_nonsense_is_not_remembered(reader, kind, key):
    client = browser(reader)
    assert client.post("/search/visited/", {"kind": kind, "key": key}).status_code == 204
    assert client.session.get("visited", []) == []


def test_places_and_plans_are_found_by_who_may_open_them(reader):
    client = browser(reader)
    found = client.get("/search/", {"q": "incid"}).context["found"].groups
    assert [(group.kind, [hit.title for hit in group.hits]) for group in found] == [
        ("action", ["Open an incident"]), ("place", ["Incidents"]),
    ]  # fmt: skip
    assert [group.kind for group in client.get("/search/", {"q": "accounts"}).context["found"].groups] == []
    officer = browser(world.account("officer", "security_officer"))
    assert [group.kind for group in officer.get("/search/", {"q": "accounts"}).context["found"].groups] == ["place"]


def test_people_are_found_only_by_who_may_see_them(reader):
    world.account("grace", of=world.person("Grace Hopper"))
    officer = world.account("officer", "security_officer", ("production", "api"))
    assert search.find(reader, "hopper").groups == []
    (group,) = search.find(officer, "hopper").groups
    assert [(hit.title, hit.url) for hit in group.hits] == [("Grace Hopper", "/accounts/?q=grace")]


def test_an_incident_is_found_by_its_number(reader):
    from incidents import actions as incidents

    opened = [
        incidents.open(component.environment, title=f"Slow answers {letter}", component=component, by=reader)
        for letter, component in zip("ab", make(2), strict=True)
    ]
    (group,) = search.find(reader, opened[0].reference.lower()).groups
    assert [(hit.kind, hit.url) for hit in group.hits] == [("incident", opened[0].get_absolute_url())]
    (group,) = search.find(reader, "slow").groups
    assert [hit.title for hit in group.hits] == [f"{each.reference} {each.title}" for each in reversed(opened)]


def test_what_is_kept_shows_each_reader_their_own(reader):
    """A statement written once shows what the noun itself would, to whoever asks, and nothing once a right ended."""
    world.component()
    owner, nobody = world.account("owner", "operations_owner"), world.account("nobody")
    make(1)
    for source in registry.values():
        if not isinstance(source, Source):
            continue
        for user in (owner, reader, nobody, SYSTEM, AnonymousUser()):
            own = set(source.rows(user).order_by().values_list("pk"))
            assert set(kept.ask([_all_of(source, Reader.like(user))], user, {})) == own, (source.kind, user)
    with clock.travel(timedelta(days=400)):
        rights.bind("viewer", rights.scope_for(), account=nobody, valid_until=clock.now())
    assert [group.kind for group in search.find(nobody, "web").groups] == ["component"]
    with clock.travel(timedelta(days=401)):
        assert search.find(nobody, "web").groups == []


@functools.cache
def _all_of(source: Source, like: Reader) -> kept.Kept:
    return kept.keep([source.rows(like).order_by().values_list("pk")], source.kind)


def test_the_cost_is_bounded_whatever_is_found_and_hidden(reader):
    client = browser(reader)
    make(1)
    world.component("production/us-central/secret", service="web")
    texts = {"web-00": 4, "wbe-00": 5, "zebra": 5, "secret": 5, "INC-7": 5}
    assert {text: queries(client, f"/search/?q={text}", **PALETTE)[0] for text in texts} == texts


def test_every_source_can_be_asked_and_leads_somewhere(reader):
    """The columns, expressions and addresses that apps have named are there."""
    owner = world.account("owner", "operations_owner")
    make(1)
    for kind, source in registry.items():
        if isinstance(source, Source):
            assert search.find(owner, "zebra", kind=kind).groups == []
            assert source.listed or source.page
            assert list(source.rows(owner).order_by(source.order)[:1]) is not None


def test_rest_finds_the_same(api, reader):
    make(3)
    world.component("production/us-central/web-foreign", service="web")
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {world.token(reader)}")
    answer = api.get(reverse("api:search-list"), {"q": "web", "limit": 2})
    assert answer.status_code == 200
    (group,) = answer.data["groups"]
    assert (group["kind"], group["more"], answer.data["guessed"]) == ("component", True, False)
    assert [hit["title"] for hit in group["hits"]] == ["web-00", "web-01"]
    assert api.get(reverse("api:search-list"), {"q": "web", "kind": "service"}).data["groups"] == []


@pytest.mark.parametrize(
    "query", [{"kind": "nonsense"}, {"limit": "0"}, {"limit": "51"}, {"limit": "x"}, {"q": "x" * 201}]
)
def test_rest_refuses_what_makes_no_sense(api, reader, query):
    api.credentials(HTTP_AUTHORIZATION=f"Bearer {world.token(reader)}")
    assert api.get(reverse("api:search-list"), {"q": "web", **query}).status_code == 422
