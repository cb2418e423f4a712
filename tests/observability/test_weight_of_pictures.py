"""What the pictures of the whole estate cost."""

import pytest
from django.conf import settings

from inventory.actions.catalog import apply_catalog
from inventory.catalog import load
from portal.events import SYSTEM
from tests import world
from tests.inventory.screens import browser, queries

pytestmark = pytest.mark.django_db

WHOLE = [
    *("/environments/production/topology/", "/environments/staging/topology/", "/explorer/", "/map/", "/matrix/"),
    *("/components/production/us-central/database/impact/", "/data-centers/us-central/impact/"),
    *("/explorer/?focus=production/us-central/api&hops=2", "/services/platform/impact/"),
    "/components/production/us-central/api/impact/?direction=up",
]


def test_pages_stay_small_and_cheap_with_the_whole_estate(subtests):
    apply_catalog(load(settings.CATALOG_DIR), by=SYSTEM)
    client = browser(world.account("viewer", "viewer"))
    for path in WHOLE:
        with subtests.test(path):
            found, response = queries(client, path)
            assert response.status_code == 200
            assert found <= 15
            assert len(response.content) <= 60_000
