"""The audit trail over REST: what one's scopes reach and what one did, and nothing else."""

from __future__ import annotations

import pytest
from django.db import DataError, transaction

from incidents import actions
from portal.models import Event
from tests import world

pytestmark = pytest.mark.django_db
URL = "/api/v1/events/"


@pytest.fixture
def happened():
    """An incident in production and one in staging, each opened by who works there."""
    people = {where: world.account(where, "on_call", (where, "*")) for where in ("production", "staging")}
    for where, person in people.items():
        component = world.component(f"{where}/us-central/api")
        actions.open(component.environment, by=person, title=f"Slow in {where}", component=component)
    return people


def verbs(answer):
    return [(row["verb"], row["actor_label"]) for row in answer.json()["results"]]


def test_an_auditor_of_an_environment_reads_what_happened_there(happened, as_account):
    answer = as_account(world.account("auditor", "auditor", ("production", "*"))).get(URL, {"stream": "incidents"})
    assert set(verbs(answer)) == {("incidents.open", "Production")}


def test_whoever_acted_reads_that_much(happened, as_account):
    assert set(verbs(as_account(happened["staging"]).get(URL))) == {("incidents.open", "Staging")}


def test_a_stranger_reads_nothing_and_finds_nothing(happened, as_account):
    client = as_account(world.account("stranger", "viewer"))
    assert client.get(URL).json()["results"] == []
    event = Event.objects.filter(stream="incidents").first()
    assert client.get(f"{URL}{event.pk}/").status_code == 404


def test_events_are_narrowed_and_show_their_place_in_the_chain(happened, as_account):
    client = as_account(world.account("auditor", "auditor"))
    event = Event.objects.filter(verb="incidents.open").order_by("seq").last()
    found = client.get(URL, {"verb": "incidents.open", "subject_id": event.subject_id}).json()["results"]
    assert [(row["seq"], row["hash"], row["previous_hash"]) for row in found] == [
        (event.seq, event.hash, event.previous_hash)
    ]
    assert client.get(f"{URL}{event.pk}/").json()["after"] == event.after
    assert client.get(URL, {"since": "soon"}).status_code == 400


def test_an_instant_that_no_clock_shows_is_refused_on_screen_and_over_rest(happened, as_account, client, monkeypatch):
    """PostgreSQL knows time zones up to 16 hours away."""
    account = world.account("auditor", "auditor")
    with transaction.atomic():
        answer = as_account(account).get(URL, {"since": "0059-08-21T13:26:36+22:19"})
        transaction.set_rollback(True)
    assert (answer.status_code, answer.json()["detail"]) == (422, "A value lies outside of what can be kept.")
    client.force_login(account)
    monkeypatch.setattr("portal.views.visible_events", _too_far)
    assert client.get("/events/").status_code == 422


def _too_far(_actor):
    raise DataError("time zone displacement out of range")


def test_nothing_is_written_here(happened, as_account):
    client = as_account(world.account("auditor", "auditor"))
    event = Event.objects.first()
    answers = [client.post(URL, {}), client.patch(f"{URL}{event.pk}/", {}), client.delete(f"{URL}{event.pk}/")]
    assert [answer.status_code for answer in answers] == [405, 405, 405]
