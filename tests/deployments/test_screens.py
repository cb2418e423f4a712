"""The screens of artifacts and deployments: fixed numbers of queries, the right buttons, and nothing foreign."""

from __future__ import annotations

import pytest

from identity.middleware import METHODS, SECOND_FACTOR_AT
from portal import clock
from tests import world


@pytest.fixture
def browse(client):
    """The test client signed in as an account, with a second factor shown now."""

    def sign_in(account):
        client.force_login(account, backend="identity.backends.ScopeBackend")
        session = client.session
        session[SECOND_FACTOR_AT], session[METHODS] = clock.now().isoformat(), ["password", "totp"]
        session.save()
        return client

    return sign_in


def test_the_whole_way_in_the_browser(estate, browse):
    estate.announce()
    estate.run()
    deployment = estate.deployment("production")
    page = browse(estate.owner).get(deployment.get_absolute_url())
    assert page.status_code == 200
    assert "Give 2.0.0 10 % of the traffic" in page.content.decode()
    answer = browse(estate.owner).post(f"{deployment.get_absolute_url()}approve/", {"note": "Looks good."})
    assert (answer.status_code, answer["Location"]) == (303, deployment.get_absolute_url())
    deployment.refresh_from_db()
    assert (deployment.state, deployment.approved_by) == ("queued", estate.owner)


def test_the_author_is_told_why_the_button_is_off(estate, browse):
    estate.announce()
    estate.run()
    deployment = estate.deployment("production")
    page = browse(estate.author).get(deployment.get_absolute_url()).content.decode()
    assert "You wrote this version; somebody else approves it." in page
    answer = browse(estate.author).post(f"{deployment.get_absolute_url()}approve/", {})
    assert answer.status_code == 403


def test_rejecting_needs_a_reason(estate, browse):
    estate.announce()
    estate.run()
    deployment = estate.deployment("production")
    answer = browse(estate.owner).post(f"{deployment.get_absolute_url()}reject/", {"reason": ""})
    assert answer.status_code == 422
    deployment.refresh_from_db()
    assert deployment.state == "awaiting_approval"


def test_asking_for_a_deployment_in_the_browser(estate, browse):
    artifact = estate.announce()
    estate.run()
    answer = browse(estate.owner).post(f"{artifact.get_absolute_url()}deploy/", {"environment": "staging"})
    assert answer.status_code == 303
    assert artifact.deployments.filter(environment__slug="staging").count() == 2


@pytest.mark.parametrize("path", ["/deployments/", "/artifacts/"])
def test_lists_show_only_what_the_reader_may_see(estate, browse, path):
    estate.announce()
    assert "2.0.0" in browse(estate.owner).get(path).content.decode()
    assert "2.0.0" not in browse(world.account("guest", "viewer", ("production", "play"))).get(path).content.decode()


def test_foreign_and_unknown_deployments_are_not_there(estate, browse):
    estate.announce()
    guest = browse(world.account("guest", "viewer", ("production", "play")))
    assert guest.get("/deployments/DEP-1/").status_code == 404
    assert browse(estate.owner).get("/deployments/DEP-77/").status_code == 404
    assert browse(estate.owner).get("/deployments/nonsense/").status_code == 404


def test_queries_of_each_screen(estate, browse, django_assert_max_num_queries):
    artifact = estate.announce()
    estate.run()
    client = browse(estate.owner)
    urls = [
        estate.deployment("production").get_absolute_url(),
        artifact.get_absolute_url(),
        "/deployments/",
        "/artifacts/",
    ]
    for url in urls:
        client.get(url)
        with django_assert_max_num_queries(14 if "DEP" in url else 10):
            assert client.get(url).status_code == 200
