"""Every picture in a real browser: it is there, it has no fault, arrow keys move in it, and its boxes lead on."""

from __future__ import annotations

import os
import re
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from django.conf import settings
from playwright.sync_api import Page, expect, sync_playwright

from inventory.actions.catalog import apply_catalog
from inventory.catalog import load
from inventory.models import Component
from observability import actions
from observability.health import Finding
from portal import clock
from portal.events import SYSTEM
from tests import world
from tests.inventory.screens import browser as signed_in
from tests.stories.browser import ARGUMENTS, CHROMIUM

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]
PICTURES = {
    "architecture": "/environments/production/topology/",
    "staging": "/environments/staging/topology/",
    "explorer": "/explorer/?focus=production/us-central/api&hops=2",
    "map": "/map/",
    "impact": "/components/production/us-central/database/impact/",
    "causes": "/components/production/us-central/api/impact/?direction=up",
    "center": "/data-centers/us-central/impact/",
    "matrix": "/matrix/",
}
KEPT = os.environ.get("PICTURES")
"""A folder that takes what was seen."""


@pytest.fixture
def address(served) -> tuple[str, str]:
    """Where the portal answers, and the session of somebody who sees the whole of EDYE, of which one part is down."""
    apply_catalog(load(settings.CATALOG_DIR), by=SYSTEM)
    read()
    session = signed_in(world.account("reader", "on_call")).session.session_key
    return served, session


def read() -> None:
    """A reading of everything, dated so that it stays fresh for the whole story."""
    at = clock.now() + timedelta(minutes=10)
    facts: dict[str, dict[str, Any]] = {
        "production/us-central/database": {"role": "primary"},
        "production/us-east/database": {
            "role": "replica", "channels": [{"running": True}], "semi_sync": {"synchronous": True},
        },
        "production/us-central/cache": {"role": "primary"},
        "production/us-east/cache": {"role": "replica", "link": "down"},
    }  # fmt: skip
    findings = []
    for component in Component.objects.exclude(kind="object_store"):
        down = component.slug == "production/us-central/queue"
        state, why = ("down", "It does not answer.") if down else ("healthy", "")
        told = facts.get(component.slug, {})
        numbers = {"lag_seconds": 2.0}
        findings.append(Finding(component.pk, at, state, why, "1.4.0", facts=told, numbers=numbers))
    actions.report(findings, by=SYSTEM)


def window(playwright: Any, address: str, session: str, faults: list[str]) -> Page:
    chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
    context = chromium.new_context(viewport={"width": 1280, "height": 900}, base_url=address)
    context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": address}])
    page = context.new_page()
    page.on("console", lambda message: faults.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: faults.append(str(error)))
    return page


def seen(page: Page, name: str) -> None:
    """Keep what is seen, wide and narrow, light and dark, and as it is printed."""
    if not KEPT:
        return
    for width in (1280, 390):
        page.set_viewport_size({"width": width, "height": 900})
        for theme in ("light", "dark"):
            page.emulate_media(color_scheme=theme)
            page.screenshot(path=Path(KEPT) / f"{name}-{width}-{theme}.png", full_page=True)
    page.emulate_media(color_scheme="light", media="print")
    page.set_viewport_size({"width": 1280, "height": 900})
    page.screenshot(path=Path(KEPT) / f"{name}-print.png", full_page=True)
    page.emulate_media(media="screen")


def test_every_picture_is_seen_and_walked_through(address):
    faults: list[str] = []
    with sync_playwright() as playwright:
        page = window(playwright, *address, faults)
        for name, path in PICTURES.items():
            page.goto(path)
            if name != "matrix":
                expect(page.locator("svg.topology")).to_be_visible()
                assert page.locator("svg.topology a").count() > 1
            expect(page.get_by_role("table").first).to_be_visible()
            seen(page, name)
        _keys(page)
        _list(page)
        _replication(page)
        assert faults == []


def _keys(page: Page) -> None:
    """From box to box by arrow keys, and on to its page."""
    page.goto(PICTURES["architecture"])
    box = page.locator("svg.topology a[href='/components/production/us-central/api/']")
    box.focus()
    page.keyboard.press("ArrowRight")
    expect(box).not_to_be_focused()
    expect(page.locator("svg.topology a:focus")).to_have_count(1)
    page.keyboard.press("ArrowLeft")
    expect(page.locator("svg.topology a:focus")).to_have_attribute("href", re.compile("/components/"))
    box.focus()
    page.keyboard.press("Enter")
    page.wait_for_url("**/components/production/us-central/api/")


def _list(page: Page) -> None:
    """The list of a blast radius is narrowed, and its address says so."""
    page.goto(PICTURES["center"])
    page.locator(".impact-list .tabs a").nth(2).click()
    page.wait_for_url("**state=degraded")
    expect(page.locator(".impact-list tbody .tone-bad")).to_have_count(0)


def _replication(page: Page) -> None:
    """What follows is green, what does not is red, and what nobody looked at is neither."""
    page.goto(PICTURES["map"])
    expect(page.locator(".map-arrow.tone-bad")).to_contain_text("Broken")
    assert page.locator(".map-arrow.tone-muted").count() > 0
