"""REST of access: create, decide, end; refusals as problem JSON."""

import pytest

from access.models import AccessRequest, Grant
from portal.models import Event
from tests import world
from tests.access.conftest import REASON, decide
from tests.identity.door import app_of, code

pytestmark = pytest.mark.django_db
REQUESTS = "/api/v1/access-requests/"
BODY = {"environment": "production", "service": "api", "minutes": 60, "reason": REASON}


def test_asking_approving_with_a_code_and_revoking(cast, as_account):
    made = as_account(cast.dev).post(REQUESTS, BODY, format="json")
    assert made.status_code == 201
    key = made.json()["key"]
    assert made.json()["state"] == "pending"

    device = app_of(cast.owner)
    owner = as_account(cast.owner)
    without = owner.post(f"{REQUESTS}{key}/approve/", {}, format="json")
    assert (without.status_code, without.json()["title"]) == (401, "Fresh second factor needed")
    assert "insufficient_user_authentication" in without["WWW-Authenticate"]
    shown = code(device)
    done = owner.post(f"{REQUESTS}{key}/approve/", {"minutes": 30}, format="json", HTTP_X_OTP=shown)
    assert (done.status_code, done.json()["state"], done.json()["granted_seconds"]) == (200, "approved", 1800)
    assert Event.objects.get(verb="access.approve").auth["methods"] == ["token", "otp"]

    grant = owner.get(f"/api/v1/grants/{key}/").json()
    assert (grant["live"], grant["account"], grant["service"]) == (True, "dev", "api")
    ended = owner.post(f"/api/v1/grants/{key}/revoke/", {"reason": "Done"}, format="json")
    assert (ended.status_code, ended.json()["state"], ended.json()["live"]) == (200, "ended", False)


def test_a_code_cannot_be_used_twice(cast, ask, as_account):
    device = app_of(cast.owner)
    asked, shown = ask(), code(device)
    client = as_account(cast.owner)
    assert client.post(f"{REQUESTS}{asked.key}/approve/", {}, format="json", HTTP_X_OTP=shown).status_code == 200
    other = ask(beneficiary=world.account("other", "viewer"))
    again = client.post(f"{REQUESTS}{other.key}/approve/", {}, format="json", HTTP_X_OTP=shown)
    assert again.status_code in (401, 429)
    assert AccessRequest.objects.get(pk=other.pk).state == "pending"


def test_holder_gives_back_and_asks_for_more(cast, granted, as_account):
    grant = granted()
    client = as_account(cast.dev)
    more = client.post(REQUESTS, {**BODY, "extends": grant.key}, format="json")
    assert (more.status_code, more.json()["extends"]) == (201, grant.key)
    assert client.post(f"{REQUESTS}{more.json()['key']}/cancel/", {}, format="json").json()["state"] == "cancelled"
    back = client.post(f"/api/v1/grants/{grant.key}/give-back/", {}, format="json")
    assert (back.status_code, back.json()["end_cause"]) == (200, "given_back")
    assert client.post(REQUESTS, {**BODY, "extends": grant.key}, format="json").status_code == 404


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"minutes": 481}, 400),
        ({"minutes": "soon"}, 400),
        ({"reason": "short"}, 400),
        ({"service": "nothing"}, 403),
        ({"environment": "staging"}, 403),
        ({"environment": "*"}, 400),
        ({"surprise": 1}, 400),
        ({"wanted_from": "2001-01-01T00:00:00Z"}, 422),
        ({"beneficiary": "nobody"}, 422),
        ({"beneficiary": "stranger"}, 422),
        ({"extends": "ACC-0"}, 404),
    ],
)
def test_bad_input_is_refused_with_a_sentence(cast, as_account, change, status):
    answer = as_account(cast.dev).post(REQUESTS, {**BODY, **change}, format="json")
    assert answer.status_code == status
    assert answer.json()["detail"]
    assert AccessRequest.objects.count() == 0


def test_an_unknown_service_and_a_foreign_one_answer_alike(cast, as_account):
    client = as_account(cast.stranger)
    foreign = client.post(REQUESTS, BODY, format="json").json()
    unknown = client.post(REQUESTS, {**BODY, "service": "no-such"}, format="json").json()
    foreign.pop("request_id"), unknown.pop("request_id")
    assert foreign == unknown


def test_strangers_see_nothing(cast, granted, as_account):
    grant = granted()
    client = as_account(cast.stranger)
    assert client.get(REQUESTS).json()["results"] == []
    assert client.get("/api/v1/grants/").json()["results"] == []
    for path in (f"{REQUESTS}{grant.key}/", f"/api/v1/grants/{grant.key}/"):
        assert client.get(path).status_code == 404
    for path in (f"{REQUESTS}{grant.key}/approve/", f"/api/v1/grants/{grant.key}/revoke/"):
        assert client.post(path, {}, format="json").status_code == 404


def test_my_own_are_mine_to_see_without_any_right(cast, ask, as_account):
    asked = ask()
    world.rights.unbind(cast.dev.bindings.get())
    found = as_account(cast.dev).get(REQUESTS).json()["results"]
    assert [row["key"] for row in found] == [asked.key]


def test_a_stale_version_is_refused(cast, ask, as_account):
    asked = ask()
    body = {"note": "No", "expected_version": asked.row_version + 1}
    assert as_account(cast.owner).post(f"{REQUESTS}{asked.key}/deny/", body, format="json").status_code == 409


@pytest.mark.parametrize("count", [1, 3])
def test_lists_take_the_same_queries_however_long(cast, as_account, django_assert_num_queries, count):
    for number in range(count):
        here = world.component(f"production/us-central/service-{number}").scope
        from access import actions

        decide(actions.request_access(here, by=cast.dev, minutes=60, reason=REASON), cast.owner)
    client = as_account(cast.owner)
    client.get(REQUESTS)
    with django_assert_num_queries(2):
        assert len(client.get(REQUESTS).json()["results"]) == count
    with django_assert_num_queries(2):
        assert len(client.get("/api/v1/grants/?state=active").json()["results"]) == count
    assert Grant.objects.count() == count
