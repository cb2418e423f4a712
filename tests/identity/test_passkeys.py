"""Passkeys in a real browser with a virtual authenticator: add one, sign in with it, step up with it."""

from __future__ import annotations

import shutil

import pytest
from django.db import connection
from django_otp_webauthn.models import WebAuthnCredential
from playwright.sync_api import sync_playwright

from portal.models import Event
from tests import world
from tests.identity.door import PASSWORD
from tests.need import need
from tests.stories.browser import ARGUMENTS


@pytest.fixture
def browser(transactional_db, live_server, settings, monkeypatch):
    """A page of the portal under the name that its passkeys belong to, in a browser that holds a security key."""
    program = shutil.which("chromium")
    need(program, package="chromium")
    # Playwright keeps an event loop in this thread; the server answers in another one.
    monkeypatch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "1")
    settings.OTP_WEBAUTHN_RP_ID = "localhost"
    settings.OTP_WEBAUTHN_ALLOWED_ORIGINS = [live_server.url]
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
        page = chromium.new_page(base_url=live_server.url)
        link = page.context.new_cdp_session(page)
        link.send("WebAuthn.enable")
        key = {"protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True}
        # Untouched until a test touches it: the sign-in page asks every key at once, for the browser's suggestions.
        key |= {"isUserVerified": True, "automaticPresenceSimulation": False}
        added = link.send("WebAuthn.addVirtualAuthenticator", {"options": key})

        def touch(button):
            """Press ``button`` and touch the key.

            Only once the sign-in page's own quiet request for suggestions waits: the touch must not answer that one.
            """
            page.wait_for_load_state("networkidle")
            link.send("WebAuthn.setAutomaticPresenceSimulation", {**added, "enabled": True})
            page.get_by_role("button", name=button).click()
            page.wait_for_timeout(1000)
            link.send("WebAuthn.setAutomaticPresenceSimulation", {**added, "enabled": False})

        page.touch = touch
        # Live updates need an ASGI server.
        page.route("**/live/**", lambda route: route.abort())
        yield page
        chromium.close()
        # Django keeps connections per event loop: the test's own one must go back before this loop ends.
        connection.close()


def type_password(page, username):
    page.goto("/sign-in/")
    page.get_by_label("Account").fill(username)
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Sign in", exact=True).click()


def events(verb):
    return list(Event.objects.filter(verb=f"identity.{verb}").order_by("seq"))


def test_a_passkey_is_added_and_then_signs_in_and_steps_up(browser):
    account = world.account("owner")
    type_password(browser, "owner")
    browser.wait_for_url("**/profile/enrol/**")
    browser.goto("/profile/")
    with browser.expect_response("**/passkeys/registration/complete/") as answer:
        browser.touch("Add a passkey")
    assert answer.value.status == 200
    assert WebAuthnCredential.objects.get().user == account
    assert [event.after["factor"] for event in events("enrol")] == ["WebAuthnCredential"]

    # Alone, with the person verified by the device, it counts as two factors.
    browser.context.clear_cookies()
    browser.goto("/sign-in/?next=/profile/")
    browser.touch("Sign in with a passkey")
    browser.wait_for_url(lambda url: "sign-in" not in url)
    assert events("sign_in")[-1].auth["methods"] == ["user", "hwk"]

    # After the password it is the second factor.
    browser.context.clear_cookies()
    type_password(browser, "owner")
    browser.wait_for_url("**/sign-in/second-factor/**")
    browser.touch("Use a passkey")
    browser.wait_for_url(lambda url: "sign-in" not in url)
    assert events("sign_in")[-1].auth["methods"] == ["pwd", "hwk"]

    before = next(cookie["value"] for cookie in browser.context.cookies() if cookie["name"] == "session")
    browser.goto("/step-up/?next=/profile/tokens/create/")
    browser.touch("Use a passkey")
    browser.wait_for_url("**/profile/tokens/create/")
    assert events("step_up")[-1].after == {"method": "hwk"}
    assert before not in [cookie["value"] for cookie in browser.context.cookies()]
