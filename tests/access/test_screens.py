"""The screens of access, without a script: ask, read, decide, end."""

from datetime import timedelta

import pytest

from access import queries
from access.models import AccessRequest, Grant
from access.panels import temporary_access
from identity.middleware import SECOND_FACTOR_AT
from portal import clock
from tests.access.conftest import REASON

pytestmark = pytest.mark.django_db


def enter(client, account, *, fresh=False):
    client.force_login(account, backend="identity.backends.ScopeBackend")
    if fresh:
        session = client.session
        session[SECOND_FACTOR_AT] = clock.now().isoformat()
        session.save()
    return client


def test_asking_through_the_form(client, cast):
    enter(client, cast.dev)
    form = client.get("/access-requests/new/?service=api").content.decode()
    assert '<option value="api" selected>' in form
    assert 'value="staging"' not in form
    body = {"service": "api", "environment": "production", "minutes": "60", "reason": REASON}
    answer = client.post("/access-requests/new/", body)
    asked = AccessRequest.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, f"/access-requests/{asked.key}/")
    page = client.get(answer["Location"]).content.decode()
    assert REASON in page
    assert "asked for access" in page
    assert client.post("/access-requests/new/", body).status_code == 409
    assert client.post("/access-requests/new/", {**body, "reason": "x"}).status_code == 422
    assert client.post("/access-requests/new/", {}).status_code == 422


def test_deciding_asks_for_the_second_factor_and_then_grants(client, cast, ask):
    asked = ask()
    enter(client, cast.owner)
    page = client.get(f"/access-requests/{asked.key}/approve/").content.decode()
    assert asked.content_hash in page
    assert REASON in page
    body = {"minutes": "45", "note": "", "content_hash": asked.content_hash, "expected_version": "1"}
    stopped = client.post(f"/access-requests/{asked.key}/approve/", body, headers={"Referer": "http://testserver/x/"})
    assert (stopped.status_code, stopped["Location"]) == (303, "/step-up/?next=%2Fx%2F")
    assert Grant.objects.count() == 0
    enter(client, cast.owner, fresh=True)
    assert client.post(f"/access-requests/{asked.key}/approve/", body).status_code == 303
    assert Grant.objects.get().request.granted_seconds == 2700


def test_own_requests_show_why_they_cannot_be_decided(client, cast, ask):
    asked = ask(by=cast.owner, beneficiary=cast.dev)
    enter(client, cast.owner, fresh=True)
    page = client.get(f"/access-requests/{asked.key}/").content.decode()
    assert "Another person has to decide on this request." in page
    body = {"minutes": "60", "content_hash": asked.content_hash}
    assert client.post(f"/access-requests/{asked.key}/approve/", body).status_code == 403


def test_denying_cancelling_revoking_and_giving_back(client, cast, ask, granted):
    grant = granted()
    enter(client, cast.dev)
    assert client.get(f"/grants/{grant.key}/").status_code == 200
    assert client.get(f"/grants/{grant.key}/revoke/").status_code == 403
    more = client.post(f"/grants/{grant.key}/extend/", {"minutes": "30", "reason": REASON})
    assert more.status_code == 303
    assert client.get(f"/grants/{grant.key}/extend/").status_code == 200
    assert client.post(f"/grants/{grant.key}/extend/", {"minutes": "30", "reason": REASON}).status_code == 409
    asked = AccessRequest.objects.get(state="pending")
    assert client.post(f"/access-requests/{asked.key}/cancel/").status_code == 303
    client.post(f"/grants/{grant.key}/extend/", {"minutes": "30", "reason": REASON})
    again = AccessRequest.objects.get(state="pending")
    assert client.post(f"/grants/{grant.key}/give-back/").status_code == 303
    enter(client, cast.owner)
    assert client.post(f"/access-requests/{again.key}/deny/", {"note": "Enough"}).status_code == 303
    assert client.post(f"/grants/{grant.key}/revoke/", {"reason": "late"}).status_code == 409
    assert AccessRequest.objects.get(pk=again.pk).state == "denied"


def test_my_access_shows_what_is_left(client, cast, ask, granted):
    enter(client, cast.dev)
    assert "You hold no temporary access." in client.get("/my-access/").content.decode()
    grant = granted()
    page = client.get("/my-access/").content.decode()
    assert grant.get_absolute_url() in page
    with clock.travel(timedelta(minutes=61)):
        assert grant.get_absolute_url() not in client.get("/my-access/").content.decode()


def test_the_service_panel_says_who_and_offers_to_ask(rf, cast, granted):
    grant = granted()
    request = rf.get("/")
    request.user = cast.dev
    panel = temporary_access(request, cast.component.service)
    assert panel is not None
    assert (panel.context["grants"], panel.context["may_ask"]) == ([grant], True)
    request.user = cast.auditor
    panel = temporary_access(request, cast.component.service)
    assert panel is not None
    assert panel.context["may_ask"] is False
    request.user = cast.stranger
    assert list(queries.on_service("api", cast.stranger)) == []


def test_strangers_get_404_and_auditors_may_look(client, cast, granted):
    grant = granted()
    enter(client, cast.stranger)
    assert client.get(f"/grants/{grant.key}/").status_code == 404
    assert client.get(f"/access-requests/{grant.key}/").status_code == 404
    enter(client, cast.auditor)
    assert client.get("/grants/").status_code == 200
    assert client.get("/access-requests/").status_code == 200
    assert client.get("/my-access/").status_code == 403
    assert client.get("/access-requests/new/").status_code == 403
    assert client.post(f"/access-requests/{grant.key}/approve/", {}).status_code == 403


@pytest.mark.parametrize("count", [1, 3])
def test_lists_take_the_same_queries_however_long(client, cast, granted, django_assert_num_queries, count):
    from access import actions
    from tests import world
    from tests.access.conftest import decide

    for number in range(count):
        here = world.component(f"production/us-central/service-{number}").scope
        decide(actions.request_access(here, by=cast.dev, minutes=60, reason=REASON), cast.owner)
    enter(client, cast.owner)
    for path in ("/access-requests/", "/grants/"):
        client.get(path)
        with django_assert_num_queries(7):
            page = client.get(path).content.decode()
        assert page.count(f'href="{path}ACC-') == count
