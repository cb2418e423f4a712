"""Findings on screens and in the API: who sees which, what it costs, and letting one be until a day."""

from datetime import timedelta

import pytest

from inventory.models import Component, Finding
from inventory.reconcile import findings
from portal import clock
from portal.errors import Conflict, Denied, Invalid
from portal.models import Event
from tests import world
from tests.inventory.screens import browser, queries

pytestmark = pytest.mark.django_db


@pytest.fixture
def owner():
    return world.account("owner", "operations_owner")


def stores(*names, environment="staging"):
    """Stores whose provenance nobody says, and the findings about it."""
    for name in names:
        slug = f"{environment}/us-central/{name}"
        world.component(slug, "database", service="platform", connection="", classification="internal")
    findings.forget_what_was_seen()
    findings.find()
    return list(Finding.objects.filter(rule="provenance-missing").order_by("component__slug"))


def tomorrow(days=1):
    return (clock.now() + timedelta(days=days)).date()


def listed(client, **query):
    """What the API lists, as (rule, what it is about)."""
    rows = client.get("/api/v1/findings/", query).json()["results"]
    return [(row["rule"], row["component"] or row["service"]) for row in rows]


def test_the_list_takes_the_same_queries_for_one_and_three(owner):
    stores("a")
    first, _ = queries(browser(owner), "/findings/?rule=provenance-missing")
    stores("b", "c")
    third, response = queries(browser(owner), "/findings/?rule=provenance-missing")
    assert first == third <= 10
    assert response.content.count(b"staging/us-central/") >= 3
    assert len(response.content) < 60_000


def test_each_page_shows_its_own_findings(owner):
    finding = stores("database")[0]
    client = browser(owner)
    for path in ("/components/staging/us-central/database/", "/services/platform/", "/environments/staging/"):
        assert finding.get_absolute_url() in client.get(path).content.decode()
    page = client.get(finding.get_absolute_url()).content.decode()
    assert "Declare its provenance: anonymised or synthetic." in page
    assert "/findings/?environment=staging&amp;service=platform" in client.get("/").content.decode()


def test_a_foreign_finding_is_nowhere(as_account):
    stores("database")
    foreign = Finding.objects.get(rule="provenance-missing")
    somebody = world.account("somebody", "operations_owner", ("production", "*"))
    world.component("production/us-central/api")
    assert browser(somebody).get(foreign.get_absolute_url()).status_code == 404
    assert foreign.get_absolute_url() not in browser(somebody).get("/findings/").content.decode()
    client = as_account(somebody)
    assert client.get(f"/api/v1/findings/{foreign.pk}/").status_code == 404
    assert ("provenance-missing", "staging/us-central/database") not in listed(client, state="all")


def test_the_api_lists_the_worst_first_and_tells_how_to_mend_it(as_account, owner):
    stores("a")
    Component.objects.update(classification="")
    stores()
    client = as_account(owner)
    assert listed(client, component="staging/us-central/a") == [
        ("provenance-missing", "staging/us-central/a"), ("unclassified", "staging/us-central/a"),
    ]  # fmt: skip
    row = client.get("/api/v1/findings/", {"rule": "unclassified"}).json()["results"][0]
    assert (row["severity"], row["environment"], row["service"], row["exempt_until"]) == (
        "medium", "staging", "platform", None,
    )  # fmt: skip
    assert row["mend"].startswith("Declare its classification")


def test_an_exempted_finding_counts_again_after_its_day(owner, as_account):
    from inventory.actions.findings import waive

    finding = stores("database")[0]
    waive(finding, by=owner, until=tomorrow(), reason="The copy is replaced this week.")
    client = as_account(owner)
    about = ("provenance-missing", "staging/us-central/database")
    assert about not in listed(client)
    assert about in listed(client, state="exempt")
    assert Finding.objects.get(pk=finding.pk).is_exempt
    event = Event.objects.get(verb="inventory.waive")
    assert (event.reason, event.after["rule"], event.actor) == (
        "The copy is replaced this week.", "provenance-missing", owner,
    )  # fmt: skip
    stores()
    assert Finding.objects.get(pk=finding.pk).is_exempt
    Finding.objects.filter(pk=finding.pk).update(exempt_until=tomorrow(-1))
    assert about in listed(client)


def test_an_exemption_has_a_day_ahead_and_a_reason(owner):
    from inventory.actions.findings import reinstate, waive

    finding = stores("database")[0]
    for until, reason, wrong in (
        (tomorrow(-1), "x", {"until"}), (tomorrow(400), "x", {"until"}), (tomorrow(), "  ", {"reason"}),
    ):  # fmt: skip
        with pytest.raises(Invalid) as refusal:
            waive(finding, by=owner, until=until, reason=reason)
        assert set(refusal.value.fields) == wrong
    with pytest.raises(Conflict):
        reinstate(finding, by=owner)
    waive(finding, by=owner, until=tomorrow(), reason="x")
    assert reinstate(finding, by=owner).exempt_until is None
    Component.objects.update(provenance="synthetic")
    stores()
    with pytest.raises(Conflict, match="mended"):
        waive(finding, by=owner, until=tomorrow(), reason="x")


def test_only_who_may_exempts(owner):
    from inventory.actions.findings import waive

    finding = stores("database")[0]
    for role in ("viewer", "developer", "administrator", "auditor"):
        with pytest.raises(Denied):
            waive(finding, by=world.account(role.replace("_", "-"), role), until=tomorrow(), reason="x")
    elsewhere = world.account("elsewhere", "operations_owner", ("production", "*"))
    with pytest.raises(Denied):
        waive(finding, by=elsewhere, until=tomorrow(), reason="x")


def test_exempting_on_the_screen_and_in_the_api(owner, as_account):
    one, other = stores("a", "b")
    client = browser(owner)
    page = client.get(f"{one.get_absolute_url()}waive/")
    assert b'type="date"' in page.content
    answer = client.post(f"{one.get_absolute_url()}waive/", {"until": "2001-01-01", "reason": "x"})
    assert (answer.status_code, b"It must lie ahead" in answer.content) == (422, True)
    answer = client.post(f"{one.get_absolute_url()}waive/", {"until": tomorrow().isoformat(), "reason": "x"})
    assert (answer.status_code, answer["Location"]) == (303, one.get_absolute_url())
    api = as_account(owner)
    body = {"until": tomorrow().isoformat(), "reason": "Soon."}
    answer = api.post(f"/api/v1/findings/{other.pk}/waive/", body, format="json")
    assert (answer.status_code, answer.json()["exempt_reason"]) == (200, "Soon.")
    assert api.get(f"/api/v1/findings/{other.pk}/").json()["exempt_until"] == tomorrow().isoformat()
    answer = api.post(f"/api/v1/findings/{other.pk}/reinstate/", {}, format="json")
    assert (answer.status_code, answer.json()["exempt_until"]) == (200, None)


def test_a_whole_service_is_seen_with_any_part_of_it(as_account):
    world.component("staging/us-central/api")
    stores()
    viewer = world.account("viewer", "viewer", ("staging", "*"))
    other = world.account("other", "viewer", ("staging", "play"))
    world.component("staging/us-central/play")
    assert ("no-owner", "api") in listed(as_account(viewer))
    assert ("no-owner", "api") not in listed(as_account(other))
