"""REST: bad input gets a sentence and 4xx, what one may not see is not there."""

from __future__ import annotations

from datetime import timedelta

import pytest
from rest_framework.test import APIClient

from incidents.models import Incident
from portal import clock
from tests import world
from tests.incidents import states

pytestmark = pytest.mark.django_db
LIST = "/api/v1/incidents/"


def rest(account) -> APIClient:
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {world.token(account)}")
    return client


def url(incident: Incident, verb: str = "") -> str:
    return f"{LIST}{incident.reference}/{verb}/" if verb else f"{LIST}{incident.reference}/"


@pytest.fixture
def first(estate) -> APIClient:
    return rest(estate.first)


def test_a_person_opens_one(estate, first):
    facts = {"title": "Slow", "environment": "production", "component": estate.component.slug}
    answer = first.post(LIST, {**facts, "impact": 1, "urgency": 1}, format="json")
    assert answer.status_code == 201
    assert (answer.json()["state"], answer.json()["severity"]) == ("response_active", 1)
    again = first.post(LIST, facts, format="json")
    assert again.status_code == 409
    assert "already open" in again.json()["detail"]


@pytest.mark.parametrize(
    ("facts", "status"),
    [
        ({}, 400),
        ({"title": "x", "environment": "moon"}, 422),
        ({"title": "x", "environment": "production", "component": "production/us-central/none"}, 422),
        ({"title": "x", "environment": "production"}, 422),
        ({"title": "x", "environment": "production", "unknown_reason": "Everything", "impact": "huge"}, 400),
        ({"title": "x", "environment": "production", "surprise": 1}, 400),
        ([], 400),
    ],
)
def test_what_cannot_be_opened_is_said_in_words(estate, first, facts, status):
    answer = first.post(LIST, facts, format="json")
    assert answer.status_code in (400, 422)
    assert answer.json()["detail"]
    assert Incident.objects.count() == 0


def test_list_and_detail_cost_a_fixed_number_of_queries(estate, first, django_assert_num_queries):
    for name in ("api", "play", "cloud"):
        incident = states.post_mortem(estate, component=world.component(f"production/us-central/{name}"))
    first.get(LIST)
    with django_assert_num_queries(2):
        assert len(first.get(LIST).json()["results"]) == 3
    with django_assert_num_queries(7):
        assert first.get(url(incident)).json()["post_mortem"]["summary"] == "Said."


def test_before_there_is_a_post_mortem(estate, first):
    assert first.get(url(states.opened(estate))).json()["post_mortem"] is None


def test_merging_names_the_other_by_its_number(estate, first):
    one = states.opened(estate)
    other = states.opened(estate, component=world.component("production/us-central/play"))
    wrong = first.post(url(one, "merge"), {"into": "INC-999999", "reason": "Same"}, format="json")
    assert (wrong.status_code, "INC-999999" in wrong.json()["detail"]) == (422, True)
    done = first.post(url(one, "merge"), {"into": other.reference.lower(), "reason": "Same"}, format="json")
    assert (done.status_code, done.json()["merged_into"]) == (200, other.reference)


def test_owners_of_the_work_that_follows_must_exist(estate, first):
    due = (clock.now() + timedelta(days=7)).date().isoformat()
    items = [{"title": "Bound it", "owner": name, "due": due} for name in ("second", "nobody")]
    incident = states.resolved(estate)
    answer = first.post(url(incident, "write-post-mortem"), {"summary": "It broke.", "actions": items}, format="json")
    assert (answer.status_code, answer.json()["problems"]) == (422, ["There is nobody called nobody."])
    for bad in ([{"title": "x"}], "x", [1], items * 26):
        answer = first.post(url(incident, "write-post-mortem"), {"summary": "x", "actions": bad}, format="json")
        assert answer.status_code in (400, 422), bad
    incident.refresh_from_db()
    assert incident.state == "resolved"


def test_an_outdated_view_decides_nothing(estate, first):
    incident = states.opened(estate)
    facts = {"impact": 1, "urgency": 1, "expected_version": incident.row_version + 5}
    assert first.post(url(incident, "classify"), facts, format="json").status_code == 409
    assert Incident.objects.get().state == "detected"


def test_a_foreign_incident_is_not_there(estate):
    incident = states.opened(estate)
    stranger = rest(estate.stranger)
    assert stranger.get(url(incident)).status_code == 404
    assert stranger.post(url(incident, "cancel"), {"reason": "x"}, format="json").status_code == 404
    assert stranger.get(LIST).json()["results"] == []


def test_who_may_only_look_is_refused(estate):
    incident = states.opened(estate)
    answer = rest(estate.viewer).post(url(incident, "cancel"), {"reason": "x"}, format="json")
    assert answer.status_code == 403
