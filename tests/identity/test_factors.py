"""Second factors: adding, removing, showing again."""

from datetime import timedelta

import pytest
from django.urls import reverse
from django_otp_webauthn.models import WebAuthnCredential

from identity import actions
from identity.middleware import METHODS
from identity.second_factor import TooManyCodes, factors
from portal import clock
from portal.errors import Conflict, Denied, Invalid, StepUpRequired
from portal.models import Event
from tests import world
from tests.identity.door import app_of, code, enter

pytestmark = pytest.mark.django_db


def unconfirmed(account):
    device = app_of(account)
    device.confirmed = False
    device.save()
    return device


def test_a_right_code_makes_the_app_a_second_factor():
    owner = world.account("owner")
    device = unconfirmed(owner)
    actions.enrol(owner, by=owner, device=device, code=f" {code(device)} ")
    assert factors(owner) == [device]
    assert Event.objects.get(verb="identity.enrol").after["factor"] == "TOTPDevice"


def test_wrong_codes_add_nothing_and_slow_down():
    owner = world.account("owner")
    device = unconfirmed(owner)
    wrong = "000000" if code(device) != "000000" else "111111"
    with pytest.raises(Invalid):
        actions.enrol(owner, by=owner, device=device, code=wrong)
    with pytest.raises(TooManyCodes):
        actions.enrol(owner, by=owner, device=device, code=code(device))
    with pytest.raises(TooManyCodes):
        actions.enrol(owner, by=owner, device=device)
    assert factors(owner) == []


def test_a_second_app_needs_the_first_one_freshly(stepped_up):
    owner = world.account("owner")
    first, second = app_of(owner), unconfirmed(owner)
    actions.enrol(owner, by=owner, device=second, code=code(second))
    assert sorted(d.pk for d in factors(owner)) == [first.pk, second.pk]


def test_a_stolen_session_adds_no_factor():
    owner = world.account("owner")
    app_of(owner)
    device = unconfirmed(owner)
    with pytest.raises(StepUpRequired):
        actions.enrol(owner, by=owner, device=device, code=code(device))


def test_nobody_touches_the_factors_of_others(stepped_up):
    owner, other = world.account("owner"), world.account("other", "security_officer")
    device = unconfirmed(owner)
    with pytest.raises(Denied):
        actions.enrol(owner, by=other, device=device, code=code(device))
    with pytest.raises(Denied):
        actions.remove_factor(app_of(owner), by=other)


def test_the_last_factor_stays_and_another_one_goes(stepped_up):
    owner = world.account("owner")
    first = app_of(owner)
    with pytest.raises(Conflict):
        actions.remove_factor(first, by=owner)
    second = app_of(owner, "Tablet")
    actions.remove_factor(first, by=owner)
    assert factors(owner) == [second]
    assert Event.objects.get(verb="identity.remove_factor").before["name"] == "Authenticator app"


def test_removing_needs_a_fresh_factor():
    owner = world.account("owner")
    app_of(owner, "Tablet")
    with pytest.raises(StepUpRequired):
        actions.remove_factor(app_of(owner), by=owner)


def test_the_screens_add_show_again_and_remove(client):
    owner = world.account("owner")
    enter(client, owner)
    page = client.get("/profile/enrol/").content.decode()
    assert "<svg" in page
    assert client.post("/profile/enrol/", {"code": "1"}).status_code == 422
    from django_otp.plugins.otp_totp.models import TOTPDevice

    device = TOTPDevice(user=owner, key=client.session["enrolling"])
    assert client.post("/profile/enrol/", {"code": code(device), "next": "/profile/"})["Location"] == "/profile/"
    assert METHODS in client.session
    added = TOTPDevice.objects.get()
    another = app_of(owner, "Tablet")
    with clock.travel(timedelta(minutes=6)):
        handle = added.persistent_id.replace("/", "-")
        assert client.get(f"/profile/factors/{handle}/remove/").status_code == 200
        stale = client.post(f"/profile/factors/{handle}/remove/")
        assert (stale.status_code, stale["Location"].split("?")[0]) == (303, "/step-up/")
        assert client.get("/step-up/?next=/profile/").status_code == 200
        assert client.post("/step-up/", {"code": "000000x"}).status_code == 422
        shown = client.post("/step-up/", {"code": code(another), "next": "/profile/"})
        assert shown["Location"] == "/profile/"
        assert client.post(f"/profile/factors/{handle}/remove/").status_code == 303
    assert factors(owner) == [another]
    assert client.post("/profile/factors/no-such/remove/").status_code == 404


def test_a_wrong_code_while_enrolling_is_said(client):
    enter(client, world.account("owner"))
    client.get("/profile/enrol/")
    assert client.post("/profile/enrol/", {"code": "000000"}).status_code == 422
    assert client.post("/profile/enrol/", {"code": "000000"}).status_code == 429


def test_stepping_up_without_a_factor_leads_to_adding_one(client):
    enter(client, world.account("owner"))
    assert client.get("/step-up/?next=/profile/")["Location"] == "/profile/enrol/?next=%2Fprofile%2F"


@pytest.mark.parametrize("path", ["/sign-in/", "/profile/"])
def test_passkeys_are_offered_only_under_the_portals_own_name(client, settings, path):
    if path == "/profile/":
        enter(client, world.account("owner"))
    settings.OTP_WEBAUTHN_RP_ID = "localhost"
    settings.OTP_WEBAUTHN_ALLOWED_ORIGINS = ["http://localhost:8400"]
    offered = client.get(path, headers={"host": "localhost"}).content.decode()
    elsewhere = client.get(path, headers={"host": "127.0.0.1"}).content.decode()
    assert "otp_webauthn/" in offered
    assert "open this page on" not in offered
    assert "otp_webauthn/" not in elsewhere
    assert f'href="http://localhost:8400{path}' in elsewhere


@pytest.mark.parametrize("path", ["/sign-in/second-factor/", "/step-up/"])
def test_a_person_with_a_passkey_is_sent_to_where_it_works(client, path, settings, monkeypatch):
    from identity.views import sign_in

    owner = world.account("owner")
    app_of(owner)
    monkeypatch.setattr(sign_in, "_offers", lambda account: {"has_code": True, "has_passkey": True})
    if path == "/step-up/":
        enter(client, owner)
    else:
        client.post("/sign-in/", {"username": "owner", "password": "correct horse battery"})
    settings.OTP_WEBAUTHN_RP_ID = "localhost"
    settings.OTP_WEBAUTHN_ALLOWED_ORIGINS = ["http://localhost:8400"]
    elsewhere = client.get(path).content.decode()
    assert f'href="http://localhost:8400{path}' in elsewhere
    assert "otp_webauthn/" not in elsewhere
    settings.OTP_WEBAUTHN_RP_ID = "testserver"
    assert "otp_webauthn/" in client.get(path).content.decode()


def test_a_stolen_session_adds_no_passkey(client, settings):
    settings.OTP_WEBAUTHN_RP_ID, settings.OTP_WEBAUTHN_ALLOWED_ORIGINS = "localhost", ["http://localhost"]
    owner = world.account("owner")
    app_of(owner)
    paths = [reverse(f"otp_webauthn:credential-registration-{step}") for step in ("begin", "complete")]
    assert [enter(client, owner).post(path, {}, "application/json").status_code for path in paths] == [403, 403]
    assert WebAuthnCredential.objects.count() == 0
    # The first one is added by whoever has no second factor yet.
    assert enter(client, world.account("new")).post(paths[0], {}, "application/json").status_code == 200
