"""Lists of the estate on a phone, as somebody sees them who may tick rows."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.urls import reverse
from playwright.sync_api import sync_playwright

from inventory.lists import PLURALS
from tests import world
from tests.inventory.screens import browser as signed_in
from tests.stories.browser import ARGUMENTS, CHROMIUM

pytestmark = [
    pytest.mark.django_db(transaction=True),
    pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium"),
]
WIDTHS = "[...document.querySelectorAll('.list-scroll, html')].map(one => one.scrollWidth - one.clientWidth)"


@pytest.fixture
def estate():
    worker = world.component("production/us-central/order-worker-01", service="api")
    gateway = world.component("production/us-central/payments-gateway-01", service="api")
    gateway.endpoints.create(name="main", port=6379)
    world.dependency(gateway, worker, kind="redundant", group="workers", needed=1)
    return world.account("owner", "operations_owner")


def test_no_list_of_the_estate_has_to_be_moved_sideways(estate, served):
    session = signed_in(estate).session.session_key
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=list(ARGUMENTS))
        context = chromium.new_context(viewport={"width": 390, "height": 844}, base_url=served)
        context.add_cookies([{"name": settings.SESSION_COOKIE_NAME, "value": session, "url": served}])
        page = context.new_page()
        found = {}
        for noun in PLURALS:
            page.goto(reverse(f"{noun}-list"))
            found[noun] = page.evaluate(WIDTHS)
        assert page.get_by_role("link", name="Redundant", exact=True).count() == 1
        filled = {"data-center", "environment", "service", "component", "endpoint", "dependency"}
        assert found == {noun: [0, 0] if noun in filled else [0] for noun in PLURALS}
