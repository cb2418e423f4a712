"""Every screen: what it shows, what it costs, and who must not see it."""

from __future__ import annotations

import re

import pytest
from django.urls import reverse

from incidents import actions, queries, reconcile
from incidents.models import Incident, Override
from tests import world
from tests.incidents import states

pytestmark = pytest.mark.django_db


@pytest.fixture
def page(client):
    def get(account, url, **query):
        client.force_login(account)
        return client.get(url, query)

    return get


@pytest.mark.parametrize("count", [1, 3])
def test_the_list_costs_the_same_for_one_and_three(estate, page, client, count, django_assert_num_queries):
    for place in ("api", "play", "cloud")[:count]:
        states.classified(estate, component=world.component(f"production/us-central/{place}"))
    page(estate.viewer, "/incidents/")
    with django_assert_num_queries(9):
        answer = client.get("/incidents/")
    assert answer.content.decode().count("Something is wrong") == count
    assert len(answer.content) < 60_000


def test_open_ones_are_counted_in_the_cells_of_the_matrix(estate, page):
    states.opened(estate)
    states.cancelled(estate, component=world.component("production/us-central/play"))
    shown = page(estate.viewer, "/matrix/").content.decode()
    assert re.findall(r'class="health-mark" href="([^"]*)">([^<]*)<', shown) == [
        ("/incidents/?environment=production", "1 incident"),
    ]


def test_the_list_shows_open_ones_until_asked(estate, page):
    open_one = states.opened(estate)
    done = states.cancelled(estate, component=world.component("production/us-central/play"), title="A false alarm")
    shown = page(estate.viewer, "/incidents/").content.decode()
    assert open_one.reference in shown
    assert done.title not in shown
    assert done.title in page(estate.viewer, "/incidents/", stage="all").content.decode()
    assert done.title in page(estate.viewer, "/incidents/", state="cancelled").content.decode()


def test_filters(estate, page):
    actions.take_command(states.classified(estate), by=estate.first)
    for query, found in (
        ({"mine": "true"}, 1), ({"severity": "1"}, 1), ({"environment": "production"}, 1), ({"severity": "4"}, 0),
    ):  # fmt: skip
        shown = page(estate.first, "/incidents/", **query).content.decode()
        assert shown.count("Something is wrong") == found, query


def test_the_detail_says_who_is_on_it_and_what_comes_next(estate, page, client, django_assert_num_queries):
    incident = states.mitigating(estate)
    actions.comment(incident, by=estate.first, text="Looking at the memory")
    url = incident.get_absolute_url()
    page(estate.first, url)
    with django_assert_num_queries(12):
        answer = client.get(url)
    text = answer.content.decode()
    for expected in ("SEV1", "Looking at the memory", "Start the investigation", "Who is on it", "data-live", "First"):
        assert expected in text
    assert "Resolve</" not in text
    assert len(answer.content) < 60_000


def test_a_button_that_is_of_no_use_says_why(estate, page):
    incident = states.classified(estate)
    text = page(estate.second, incident.get_absolute_url()).content.decode()
    assert "A critical incident needs an incident commander first" in text


def test_a_foreign_incident_is_not_there(estate, page):
    incident = states.post_mortem(estate)
    for name in ("incident-detail", "incident-post-mortem", "incident-post-mortem-export"):
        assert page(estate.viewer, reverse(name, args=[incident.reference])).status_code == 200, name
        assert page(estate.stranger, reverse(name, args=[incident.reference])).status_code == 404, name
    assert incident.title not in page(estate.stranger, "/incidents/").content.decode()


def test_a_verb_through_its_page(estate, client):
    incident = states.opened(estate)
    client.force_login(estate.first)
    url = reverse("incident-classify", args=[incident.reference])
    assert client.get(url).status_code == 200
    answer = client.post(url, {"impact": "2", "urgency": "2", "expected_version": "1"})
    assert (answer.status_code, answer["Location"]) == (303, incident.get_absolute_url())
    incident.refresh_from_db()
    assert (incident.state, incident.severity) == ("response_active", 2)


def test_an_old_view_is_refused_with_409(estate, client):
    incident = states.classified(estate)
    client.force_login(estate.first)
    actions.acknowledge(incident, by=estate.first)
    answer = client.post(
        reverse("incident-cancel", args=[incident.reference]), {"reason": "x", "expected_version": "1"}
    )
    assert answer.status_code == 409
    assert "It was changed since you looked" in answer.content.decode()


def test_every_verb_has_a_page(estate, client):
    from incidents.views.incidents import ACTS

    incident = states.opened(estate)
    client.force_login(estate.owner)
    for verb in ACTS:
        answer = client.get(reverse(f"incident-{verb}", args=[incident.reference]))
        assert answer.status_code in (200, 409), verb
        assert "action-form" in answer.content.decode(), verb


def test_opening_through_the_page(estate, client):
    client.force_login(estate.first)
    url = reverse("incident-open")
    assert client.get(url, {"component": "production/us-central/api"}).status_code == 200
    facts = {"title": "Slow sign-in", "environment": "production", "component": "production/us-central/api"}
    assert client.post(url, {**facts, "title": ""}).status_code == 422
    assert client.post(url, {"title": "x", "environment": "production"}).status_code == 422
    answer = client.post(url, {**facts, "impact": "1", "urgency": "1"})
    assert answer["Location"] == Incident.objects.get().get_absolute_url()
    assert client.post(url, facts).status_code == 409
    client.force_login(estate.viewer)
    assert client.get(url).status_code == 403


def test_the_post_mortem_form_holds_actions(estate, client):
    incident = states.resolved(estate)
    client.force_login(estate.first)
    url = reverse("incident-write-post-mortem", args=[incident.reference])
    facts = {"summary": "It leaked", "action_1": "Bound the cache", "owner_1": str(estate.second.person_id)}
    refused = client.post(url, facts)
    assert refused.status_code == 422
    assert "Action 1 has no due." in refused.content.decode()
    assert client.post(url, {**facts, "due_1": "2030-01-01", "kind_1": "prevent"}).status_code == 303
    incident.refresh_from_db()
    assert [action.title for action in incident.post_mortem.actions.all()] == ["Bound the cache"]
    assert "Bound the cache" in client.get(url).content.decode()


def test_the_post_mortem_as_a_page_and_as_markdown(estate, page):
    incident = states.post_mortem(estate)
    text = page(estate.first, reverse("incident-post-mortem", args=[incident.reference])).content.decode()
    assert "Who wrote it cannot approve it" in text
    export = page(estate.first, reverse("incident-post-mortem-export", args=[incident.reference]))
    assert export["Content-Type"].startswith("text/markdown")
    assert f"# {incident.reference}: Something is wrong" in export.content.decode()
    assert "| resolved | First |" in export.content.decode()


def test_who_is_on_call_in_the_readers_zone(estate, page):
    estate.viewer.person.time_zone = "America/New_York"
    estate.viewer.person.save()
    text = page(estate.viewer, reverse("on-call")).content.decode()
    assert "Times are in America/New_York" in text
    assert "<b>First</b>" in text
    estate.viewer.person.time_zone = "Mars/Olympus"
    estate.viewer.person.save()
    assert "Times are in UTC" in page(estate.viewer, reverse("on-call")).content.decode()
    assert page(world.account("nobody"), reverse("on-call")).status_code == 403


def test_standing_in(estate, client):
    client.force_login(estate.second)
    url = reverse("schedule-override", args=["primary"])
    assert client.get(url).status_code == 200
    facts = {"person": str(estate.second.person_id), "starts": "2020-01-01T00:00", "ends": "2100-01-01T00:00"}
    assert client.post(url, {**facts, "person": ""}).status_code == 422
    assert client.post(url, facts).status_code == 303
    assert client.post(url, facts).status_code == 409
    assert Override.objects.count() == 1
    assert queries.duties()[0].now.member == estate.second.person
    client.force_login(estate.viewer)
    assert client.get(url).status_code == 403


@pytest.mark.parametrize(
    ("zone", "local"), [("America/New_York", "2027-11-07T01:30"), ("America/New_York", "2027-03-14T02:30")]
)
def test_a_time_that_the_clocks_skip_or_repeat_is_asked_for_again(estate, client, zone, local):
    estate.schedule.time_zone = zone
    estate.schedule.save()
    client.force_login(estate.second)
    facts = {"person": str(estate.second.person_id), "starts": local, "ends": "2100-01-01T00:00"}
    answer = client.post(reverse("schedule-override", args=["primary"]), facts)
    assert answer.status_code == 422
    assert "The clocks change at this time here" in answer.content.decode()


def test_panels_on_other_screens(estate, rf):
    from incidents import panels

    incident = states.classified(estate)
    request = rf.get("/")
    request.user = estate.viewer
    for panel in (
        panels.open_incidents(request, None),
        panels.of_service(request, incident.component.service),
        panels.of_component(request, incident.component),
    ):
        assert [one for one, _ in panel.context["incidents"]] == [incident]
    request.user = estate.stranger
    assert panels.open_incidents(request, None) is None


def test_the_incident_leads_to_what_can_be_done_to_its_component_because_of_it(estate, page):
    incident = states.classified(estate)
    address = reverse("component-plans", args=[incident.component.slug]) + f"?cause=incidents.incident:{incident.pk}"
    shown = page(estate.first, incident.get_absolute_url()).content.decode()
    assert (f'href="{address}"' in shown) == bool(incident.component.connection)
    incident.component.connection = incident.component.slug
    incident.component.save()
    assert f'href="{address}"' in page(estate.first, incident.get_absolute_url()).content.decode()
    assert page(estate.first, address).status_code == 200


def test_deliver_shows_the_page_on_the_detail(estate, page):
    incident = states.classified(estate)
    reconcile.deliver()
    assert "First by E-mail" in page(estate.viewer, incident.get_absolute_url()).content.decode()


def test_reloading_from_the_incident_is_an_operation_because_of_it(estate, client, monkeypatch):
    """What the operation does is proved with the operations; here it is asked for with its cause."""
    asked = []

    def reload(component, **facts):
        asked.append((component, facts))
        return component

    monkeypatch.setattr("incidents.views.incidents.reload", reload)
    incident = states.classified(estate)
    client.force_login(estate.first)
    url = reverse("incident-reload", args=[incident.reference])
    assert url in client.get(incident.get_absolute_url()).content.decode()
    assert client.post(url, {"reason": "Memory is full"}).status_code == 303
    facts = {"by": estate.first, "reason": "Memory is full", "draft": False, "cause": incident}
    assert asked == [(estate.component, facts)]
    client.force_login(estate.viewer)
    assert client.post(url, {}).status_code == 403


@pytest.mark.parametrize(
    ("facts", "reason"),
    [
        ({"component": None, "unknown_reason": "Nobody knows"}, "It is not known which component is meant."),
        ({"kind": "cache"}, "Only an application component can be reloaded."),
    ],
)
def test_what_cannot_be_reloaded_says_so(estate, client, facts, reason):
    kind = facts.pop("kind", None)
    if kind:
        facts["component"] = world.component("production/us-central/cache", kind=kind)
    incident = states.opened(estate, **facts)
    client.force_login(estate.first)
    url = reverse("incident-reload", args=[incident.reference])
    assert reason in client.get(url).content.decode()
    answer = client.post(url, {})
    assert (answer.status_code, reason in answer.content.decode()) == (422, True)


def test_what_moved_nothing_is_told_in_words_too(estate, page):
    incident = states.classified(estate)
    actions.acknowledge(incident, by=estate.first)
    text = page(estate.viewer, incident.get_absolute_url()).content.decode()
    assert re.sub(r"\s+", " ", text).count("acknowledged it") == 1
