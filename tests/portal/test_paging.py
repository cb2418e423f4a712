"""The API's lists page by page: every row once, in order, whatever the list is ordered by."""

from __future__ import annotations

import pytest
from django.conf import settings
from django.urls import reverse

from inventory.actions.catalog import apply_catalog
from inventory.catalog import load
from inventory.models import Component, DataCenter, Dependency, Environment, Service
from portal.events import SYSTEM
from tests import world

pytestmark = pytest.mark.django_db


def pages(client, path, limit):
    """Every row of a list, fetched ``limit`` at a time."""
    found, url = [], f"{path}?limit={limit}"
    while url:
        answer = client.get(url)
        assert answer.status_code == 200, answer.content
        assert 0 < len(answer.json()["results"]) <= limit
        found += answer.json()["results"]
        url = answer.json()["next"]
    return found


@pytest.mark.parametrize(
    ("noun", "model", "limit"),
    [
        ("component", Component, 7),
        ("dependency", Dependency, 7),
        ("service", Service, 2),
        ("environment", Environment, 1),
        ("data-center", DataCenter, 1),
    ],
)
def test_following_next_finds_every_row_once_and_in_order(as_account, noun, model, limit):
    apply_catalog(load(settings.CATALOG_DIR), by=SYSTEM)
    client = as_account(world.account("viewer", "viewer"))
    path = reverse(f"api:{noun}-list")
    rows = pages(client, path, limit)
    assert len(rows) == model.objects.count() > limit
    assert rows == pages(client, path, 500)


def test_a_page_may_begin_among_rows_that_stand_in_the_same_place(as_account):
    """Three dependencies of one component have one and the same place in the order."""
    source = world.component()
    for name in ("cache", "database", "queue"):
        world.dependency(source, world.component(f"production/us-central/{name}"))
    rows = pages(as_account(world.account("viewer", "viewer")), reverse("api:dependency-list"), 1)
    assert [row["target"].rpartition("/")[2] for row in rows] == ["cache", "database", "queue"]
