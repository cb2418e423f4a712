"""The page behind a page's link."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.conf import settings
from django.core import signing
from django.test import Client
from django.urls import reverse

from incidents import links
from incidents.models import Escalation, Incident, Notification
from portal import clock
from portal.models import Event

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(paged) -> Notification:
    return Notification.objects.select_related("person", "incident").get()


@pytest.fixture
def url(page) -> str:
    address = links.address(page)
    assert address.startswith(settings.PUBLIC_URL)
    return address.removeprefix(settings.PUBLIC_URL)


def wrong(page: Notification) -> str:
    return f"{(int(page.code) + 1) % 100:02d}"


def test_looking_changes_nothing_however_often(page, url, client):
    for method in ("get", "head", "get"):
        assert getattr(client, method)(url).status_code == 200
    for method in ("put", "delete", "patch"):
        assert getattr(client, method)(url).status_code in (403, 405)
    assert Escalation.objects.get().state == "running"
    assert Incident.objects.get().acknowledged_at is None


def test_it_is_small_and_needs_neither_script_nor_sign_in(page, url, client):
    answer = client.get(url)
    text = answer.content.decode()
    assert len(answer.content) <= 30_000
    assert "The API is down" in text
    form = text.split('<form method="post"')[1].split("</form>")[0]
    assert page.code not in re.sub(r'value="\w{64}"', "", form)  # the token against forgery may hold any two digits
    assert 'name="code"' in text
    assert answer["Cache-Control"] == "no-store"


def test_the_code_says_i_have_it(estate, page, url, client):
    answer = client.post(url, {"code": page.code, "act": "acknowledge"})
    assert answer.status_code == 200
    assert "First has it" in answer.content.decode()
    incident = Incident.objects.get()
    assert incident.acknowledged_by == estate.first.person
    assert Escalation.objects.get().state == "acked"
    event = Event.objects.get(verb="incidents.acknowledge")
    assert (event.person_id, event.actor) == (estate.first.person_id, estate.first)
    assert client.post(url, {"code": page.code, "act": "acknowledge"}).status_code == 200
    assert Event.objects.filter(verb="incidents.acknowledge").count() == 1


def test_it_works_for_somebody_whose_account_may_not(estate, page, url, client):
    estate.first.is_active = False
    estate.first.save()
    assert client.post(url, {"code": page.code, "act": "acknowledge"}).status_code == 200
    assert Event.objects.get(verb="incidents.acknowledge").actor is None


def test_the_next_person_can_be_called(estate, page, url, client):
    assert client.post(url, {"code": page.code, "act": "escalate"}).status_code == 200
    people = list(Notification.objects.order_by("created_at").values_list("person__name", flat=True))
    assert people == ["First", "Second"]


@pytest.mark.parametrize(
    "data", [{}, {"code": "1"}, {"code": "abc"}, {"code": "11", "act": "resolve"}, {"act": "acknowledge"}]
)
def test_a_form_that_a_scanner_sends_does_nothing(page, url, client, data):
    assert client.post(url, data).status_code == 422
    assert Incident.objects.get().acknowledged_at is None


def test_five_wrong_codes_close_the_way(page, url, client):
    for _ in range(5):
        answer = client.post(url, {"code": wrong(page), "act": "acknowledge"})
        assert "This is not the code" in answer.content.decode()
    answer = client.post(url, {"code": page.code, "act": "acknowledge"})
    assert (answer.status_code, "Too many wrong codes" in answer.content.decode()) == (422, True)
    assert Incident.objects.get().acknowledged_at is None


def test_it_ends_after_a_day(page, url, client, monkeypatch):
    day = links.LASTS.total_seconds()
    real = signing.time.time
    monkeypatch.setattr(signing.time, "time", lambda: real() + day + 1)
    answer = client.get(url)
    assert (answer.status_code, "This link has ended" in answer.content.decode()) == (404, True)


@pytest.mark.parametrize("change", [lambda t: t[:-1], lambda t: "x" + t, lambda t: "nonsense", lambda t: t + "A"])
def test_a_forged_link_is_none(page, client, change):
    token = links.address(page).rstrip("/").rsplit("/", 1)[1]
    assert client.get(reverse("page-answer", args=[change(token)])).status_code == 404


def test_a_link_to_something_else_is_none(page, client):
    for value in ("not a uuid", 5, "0" * 32):
        token = signing.dumps(value, salt=links.SALT)
        assert client.get(reverse("page-answer", args=[token])).status_code == 404


def test_what_is_over_cannot_be_acknowledged(estate, page, url, client):
    from incidents import actions

    incident = Incident.objects.get()
    actions.cancel(incident, by=estate.second, reason="A test alert")
    answer = client.post(url, {"code": page.code, "act": "acknowledge"})
    assert answer.status_code == 422
    assert "This is not possible while cancelled." in answer.content.decode()


def test_the_link_gives_nothing_but_answering_this_one(estate, page):
    by = links.Paged(page.person, page.incident)
    assert by.has_perm("incidents.acknowledge", page.incident) is True
    assert by.has_perm("incidents.resolve", page.incident) is False
    assert by.has_perm("incidents.acknowledge", Incident(pk=None)) is False
    assert (str(by), by.is_authenticated) == ("First", True)


def test_a_form_from_another_site_is_refused(page, url):
    client = Client(enforce_csrf_checks=True)
    answer = client.post(url, {"code": page.code, "act": "acknowledge"}, headers={"Sec-Fetch-Site": "cross-site"})
    assert answer.status_code == 403
    assert client.post(url, {"code": page.code, "act": "acknowledge"}).status_code == 403
    assert Incident.objects.get().acknowledged_at is None


def test_an_old_page_still_says_what_is_wrong(page, url, client):
    with clock.travel(timedelta(hours=3)):
        assert "The API is down" in client.get(url).content.decode()
