"""The search over everything in a real browser, by keyboard alone, and from a phone; and a page that renews itself."""

from __future__ import annotations

from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Browser, Page, expect, sync_playwright

from incidents import actions as incidents
from inventory.models import Component
from tests import world
from tests.inventory.screens import browser as signed_in
from tests.stories.browser import ARGUMENTS, CHROMIUM

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]

AT_ONCE = """(field, typed) => {
  field.value = typed;
  field.dispatchEvent(new Event("input", {bubbles: true}));
  field.dispatchEvent(new KeyboardEvent("keydown", {key: "Enter", bubbles: true, cancelable: true}));
}"""
"""Text, and Enter before anybody can have answered it."""

RENEWED = """one => new Promise(done => {
  one.addEventListener("htmx:afterRequest", () => setTimeout(() => done(document.contains(one))));
  window.htmx.trigger(one, "live");
})"""
"""Whether an element is still there after it was told to fetch itself anew."""


@pytest.fixture
def address(served) -> tuple[str, str]:
    """Where the portal answers, and the session of somebody who sees one service."""
    for number in range(8):
        world.component(f"production/us-central/web-{number:02}", service="api")
    world.component("production/us-central/web-secret", service="web")
    api = Component.objects.get(slug="production/us-central/web-00")
    incidents.open(api.environment, by=world.account("owner", "operations_owner"), title="It is slow", component=api)
    session = signed_in(world.account("reader", "on_call", ("production", "api"))).session.session_key
    return served, session


def test_everything_is_found_and_opened_by_keyboard_and_from_a_phone(address):
    faults: list[str] = []
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        page = _page(chromium, *address, faults)
        _pressed(page)
        _by_keyboard(page)
        _in_a_hurry(page)
        _from_a_phone(_page(chromium, *address, faults, width=390))
        assert faults == []
        _out_of_reach(page)


def _by_keyboard(page: Page) -> None:
    page.goto("/status/")
    field, options = page.get_by_role("combobox"), page.get_by_role("option")
    page.keyboard.press("Control+k")
    expect(field).to_be_focused()
    expect(options.first).to_have_text("Open an incident")
    page.keyboard.type("web-")
    expect(options).to_have_count(7)
    expect(options.nth(0)).to_have_attribute("aria-selected", "true")
    page.keyboard.press("ArrowDown")
    expect(field).to_have_attribute("aria-activedescendant", "palette-component-2")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowUp")
    expect(options.nth(6)).to_have_attribute("aria-selected", "true")
    field.fill("web-secre")
    expect(page.locator("#palette-status")).to_contain_text("Nothing that you may see")
    page.keyboard.press("Escape")
    expect(page.locator("#palette")).to_be_hidden()
    page.keyboard.press("/")
    field.fill("wbe-03")
    expect(page.locator("#palette-status")).to_contain_text("close to it")
    expect(options.first).to_have_attribute("aria-selected", "true")
    page.keyboard.press("Enter")
    page.wait_for_url("**/components/production/us-central/web-03/")
    page.keyboard.press("Meta+k")
    expect(options.first).to_contain_text("web-03")


def _in_a_hurry(page: Page) -> None:
    """Enter opens the first answer to what is typed, however late it comes, and never one to something else."""
    field, options = page.get_by_role("combobox"), page.get_by_role("option")
    for typed in ("web-04", "web-06"):
        page.goto("/status/")
        page.keyboard.press("Control+k")
        field.fill("web-01")
        expect(options.first).to_contain_text("web-01")
        field.evaluate(AT_ONCE, typed)
        page.wait_for_url(f"**/components/production/us-central/{typed}/")
    page.keyboard.press("Control+k")
    field.evaluate(AT_ONCE, "web-secret")
    expect(page.locator("#palette-status")).to_contain_text("Nothing that you may see")
    assert page.url.endswith("/web-06/")


def _pressed(page: Page) -> None:
    """What is being pressed is not replaced by what is new before it has heard the click."""
    page.goto("/incidents/")
    page.get_by_role("link", name="INC-").first.click()
    page.wait_for_url("**/INC-*/")
    page.get_by_role("heading", level=1).hover()
    page.mouse.down()
    assert page.locator("#incident-live").evaluate(RENEWED) is True
    page.locator("#incident-live").evaluate("one => one.classList.add('old')")
    page.mouse.up()
    expect(page.locator("#incident-live:not(.old)")).to_be_visible()


def _out_of_reach(page: Page) -> None:
    """A search that is not answered says so, and the next one is; Enter asks once more."""
    page.route("**/search/?*", lambda route: route.abort())
    page.get_by_role("combobox").fill("web-02")
    expect(page.locator("#palette-status")).to_contain_text("does not answer")
    page.unroute("**/search/?*")
    page.get_by_role("combobox").press("Enter")
    page.wait_for_url("**/components/production/us-central/web-02/")
    page.keyboard.press("Control+k")
    page.get_by_role("combobox").fill("web-0")
    expect(page.get_by_role("option")).to_have_count(7)


def _from_a_phone(page: Page) -> None:
    """The field is there as well."""
    page.goto("/status/")
    page.get_by_role("link", name="Search").click()
    page.get_by_role("combobox").fill("web-05")
    page.get_by_role("option", name="web-05").click()
    page.wait_for_url("**/components/production/us-central/web-05/")


def _page(chromium: Browser, base: str, session: str, faults: list[str], width: int = 1280) -> Page:
    context = chromium.new_context(viewport={"width": width, "height": 900}, base_url=base)
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": base}])
    context.set_default_timeout(20_000)
    page: Page = context.new_page()
    page.on("console", lambda said: faults.append(said.text) if _is_a_fault(said) else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    return page


def _is_a_fault(said: Any) -> bool:
    # htmx tells so of each fetch that leaving the page has ended.
    return said.type == "error" and not said.text.startswith("htmx:")
