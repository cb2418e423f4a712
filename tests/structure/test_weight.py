"""What a page costs on the whole of EDYE: queries, and bytes on the way to a phone."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest
from django.conf import settings
from django.contrib.staticfiles import finders
from django.urls import reverse

from identity.models import Account
from inventory.actions.catalog import apply_catalog
from inventory.catalog import load
from inventory.models import Component
from observability import actions
from observability.health import Finding
from portal import clock
from portal.events import SYSTEM
from portal.ui.navigation import SHEETS
from tests import world
from tests.inventory.screens import browser, queries

pytestmark = pytest.mark.django_db
MOST_QUERIES, MOST_QUERIES_OF_ONE, MOST_BYTES, MOST_ASSETS = 10, 20, 60_000, 150_000
LISTS = (
    *("dashboard", "service-list", "component-list"),
    *("plan-list", "schedule-list", "window-list", "window-declare"),
    *("operation-list", "incident-list", "on-call", "access-request-list", "grant-list", "my-access"),
    *("artifact-list", "deployment-list", "event-list", "account-list", "team-list", "rolebinding-list"),
    *("status", "catalog", "profile", "gallery", "api-docs"),
)
ONES = (
    *("/services/play/", "/components/production/us-central/api/", "/environments/production/"),
    *("/components/production/us-central/api/operate/", "/plans/nginx.set-weight/"),
    *("/environments/production/topology/", "/data-centers/us-central/"),
)
# The gallery shows each part in each state, the list of plans has all of them on one page to search in, the catalog
# compares every row with the files, and the page of the API reads the whole schema: their weight is what they are for.
ALLOWED_QUERIES = {"catalog": 20}
ALLOWED_BYTES = {"gallery": 120_000, "plan-list": 90_000}
# A picture of all of production, with everything in it once more as a table.
ALLOWED_BYTES |= {"/environments/production/topology/": 90_000}


@pytest.fixture
def owner() -> Account:
    """Somebody who sees everything, in an EDYE whose every component was read just now."""
    account = world.account("owner", "operations_owner")
    for role in ("security_officer", "administrator"):
        world.account("owner", role)
    apply_catalog(load(settings.CATALOG_DIR), by=SYSTEM)
    readings = [Finding(pk, clock.now(), "healthy", "", latency_ms=3.0) for pk in _components()]
    actions.report(readings, by=SYSTEM)
    return account


def _components() -> list[object]:
    return list(Component.objects.values_list("pk", flat=True))


def test_pages_stay_within_sixty_kilobytes_lists_within_ten_queries_and_those_of_one_thing_within_twenty(
    owner, subtests
):
    client = browser(owner)
    for name in (*LISTS, *ONES):
        with subtests.test(name):
            found, response = queries(client, name if name in ONES else reverse(name))
            assert response.status_code == 200
            assert found <= (MOST_QUERIES_OF_ONE if name in ONES else ALLOWED_QUERIES.get(name, MOST_QUERIES))
            assert len(response.content) <= ALLOWED_BYTES.get(name, MOST_BYTES)


def test_style_sheets_and_scripts_weigh_little_together():
    names = ["vendor/tabler/tabler.min.css", "django_htmx/htmx-2.min.js", *(f"css/{sheet}.css" for sheet in SHEETS)]
    names += [f"js/{path.name}" for path in sorted((settings.BASE_DIR / "static" / "js").glob("*.js"))]
    packed = {name: len(gzip.compress(Path(finders.find(name)).read_bytes())) for name in names}
    assert sum(packed.values()) <= MOST_ASSETS, packed
