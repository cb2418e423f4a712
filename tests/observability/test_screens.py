"""Screens with health: what they show, to whom, when it is old, and what they cost."""

import re
from datetime import timedelta
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from django.conf import settings

from inventory.actions.catalog import apply_catalog
from inventory.catalog import load
from inventory.models import Component
from observability import actions
from observability.health import Finding
from observability.views import lists
from portal import clock, ui
from portal.events import SYSTEM
from portal.ui.panels import _registry
from tests import world
from tests.inventory.screens import browser, queries

pytestmark = pytest.mark.django_db
COST = {"/": 5, "/services/": 8, "/components/": 6, "/environments/production/topology/": 6}
"""Queries of each page: session, account and shell are three, a list asks once for the scopes; then its own."""


def read(component, state="healthy", **facts):
    reason = "" if state == "healthy" else "It is broken."
    actions.report([Finding(component.pk, clock.now(), state, reason, **facts)], by=SYSTEM)


@pytest.fixture
def viewer():
    return world.account("viewer", "viewer", ("production", "*"))


@pytest.fixture
def no_other_panels(monkeypatch):
    """Pages are counted without what apps above add to them."""
    for place, found in _registry.items():
        own = {name: facts for name, facts in found.items() if name.startswith("observability.")}
        monkeypatch.setitem(_registry, place, own)


def estate(count):
    for name in ("api", "play", "cloud")[:count]:
        read(world.component(f"production/us-central/{name}"), version="1.0.0", latency_ms=3.0)
    parts = list(Component.objects.order_by("slug"))
    for source, target in pairwise(parts):
        world.dependency(source, target)


@pytest.mark.parametrize("count", [1, 3])
def test_pages_take_the_same_queries_for_one_and_three(viewer, no_other_panels, count):
    estate(count)
    client = browser(viewer)
    for path, cost in COST.items():
        found, response = queries(client, path)
        assert response.status_code == 200, path
        assert response.content.count(b"Healthy") >= count, path
        assert found == cost, path


DETAILS = [
    *("/services/platform/", "/services/api/", "/environments/production/", "/data-centers/us-central/"),
    *("/components/production/us-central/nginx/", "/components/production/us-central/api/"),
]


def test_pages_stay_small_and_cheap_with_the_whole_estate():
    apply_catalog(load(settings.BASE_DIR / "catalog" / "edye"), by=SYSTEM)
    findings = [
        Finding(c.pk, clock.now(), "healthy", "", "1.0.0", 3.2, {"serving": "a"}, {"memory_bytes": 1e8})
        for c in Component.objects.exclude(connection="")
    ]
    actions.report(findings, by=SYSTEM)
    client = browser(world.account("viewer", "viewer"))
    for path in (*COST, *DETAILS):
        found, response = queries(client, path)
        assert response.status_code == 200, path
        assert found <= (20 if path.startswith("/services/") and path != "/services/" else 12), path
        picture = path.endswith("/topology/")  # everything in it stands there once more, as a table
        assert len(response.content) <= (90 if picture else 60) * 1024, path


def test_the_worst_part_speaks_for_the_cell(viewer):
    read(world.component("production/us-central/api"))
    read(world.component("production/us-east/api"), "down")
    page = browser(viewer).get("/").content.decode()
    assert "2 components: 1 down" in page
    assert page.count('class="tone tone-bad"') == 3  # the whole, the cell, and the data center


def test_a_cell_shows_its_versions_and_its_oldest_reading(viewer):
    with clock.travel(timedelta(seconds=-12)):
        read(world.component("production/us-central/api"), version="1.4.0")
    read(world.component("production/us-east/api"), version="1.5.0")
    page = browser(viewer).get("/").content.decode()
    assert "<code>1.4.0</code>" in page
    assert "<code>1.5.0</code>" in page
    assert re.search(r"1\d s ago</time>", page)


def test_what_was_not_read_lately_is_unknown_and_never_green(viewer):
    world.component("production/us-east/api", connection="")
    read(world.component("production/us-central/api"))
    client = browser(viewer)
    with clock.travel(timedelta(seconds=16)):
        for path in (*COST, "/services/api/", "/components/production/us-central/api/"):
            page = client.get(path).content.decode()
            assert ("tone-muted" in page, "tone-good" in page) == (True, False), path


def test_nothing_at_all_is_said_kindly(viewer):
    for path in ("/", "/services/", "/components/"):
        assert b"declared" in browser(viewer).get(path).content


def test_a_foreign_component_is_nowhere(viewer):
    world.component("staging/us-central/play")
    mine = world.component("production/us-central/api")
    world.dependency(mine, world.component("staging/us-east/cloud"), "soft")
    client = browser(viewer)
    for path in ("/", "/services/", "/components/", "/components/?q=play", "/components/?export=csv",
                 "/environments/production/topology/", "/components/production/us-central/api/"):  # fmt: skip
        content = client.get(path).getvalue()
        assert b"staging" not in content.lower()
        assert b"cloud" not in content
    for path in ("/environments/staging/topology/", "/environments/nowhere/topology/"):
        assert client.get(path).status_code == 404


def test_nobody_is_sent_to_sign_in(client):
    for path in COST:
        assert client.get(path).status_code == 302


def test_htmx_gets_only_what_it_replaces(viewer):
    estate(1)
    for path, name in (("/", "health"), ("/environments/production/topology/", "topology")):
        response = browser(viewer).get(path, headers={"HX-Request": "true", "HX-Target": name})
        assert response.content.strip().startswith(f'<div id="{name}"'.encode())


def test_a_dashboard_of_many_counts_them_and_says_the_same_as_one_of_few(viewer, monkeypatch):
    estate(3)
    read(world.component("production/us-central/play"), "down")
    few = browser(viewer).get("/").content.decode()
    monkeypatch.setattr(lists, "NAMED", 2)
    found, response = queries(browser(viewer), "/")
    many = response.content.decode()
    for text in ("3 components: 1 down", "1 component: 1 down"):
        assert text in few
        assert text in many
    assert found <= 20
    assert ("health-dot tone" in few, "health-dot tone" in many) == (True, False)


def test_the_list_is_narrowed_by_health(viewer):
    world.component("production/us-central/never", service="api")
    read(world.component("production/us-central/good", service="api"))
    read(world.component("production/us-central/broken", service="api"), "down")
    with clock.travel(timedelta(seconds=-60)):
        read(world.component("production/us-central/stale", service="api"))
    wanted = {"healthy": ["good"], "down": ["broken"], "unknown": ["never", "stale"], "degraded": []}
    for state, names in wanted.items():
        response = browser(viewer).get(f"/components/?health={state}")
        assert [row.name for row in response.context["table"].objects] == names


def test_counts_of_other_apps_stand_in_the_cells(viewer, monkeypatch):
    world.component("production/us-central/api")
    panel = ui.Panel("Incidents", "", {"counts": {("production", "api"): (2, "/incidents/?service=api")}})
    monkeypatch.setitem(_registry, "dashboard-cells", {"test": (1, lambda request, shown: panel)})
    assert (
        '<a class="health-mark" href="/incidents/?service=api">2 incidents</a>'
        in browser(viewer).get("/").content.decode()
    )


def test_the_picture_is_drawn_and_every_node_leads_somewhere(viewer):
    estate(3)
    cache = world.component("production/us-east/cache", "cache")
    world.dependency(Component.objects.get(slug="production/us-central/api"), cache, "soft")
    page = browser(viewer).get("/environments/production/topology/").content.decode()
    drawing = ElementTree.fromstring(
        page[page.index('<svg class="topology"') : page.index("</svg>", page.index('<svg class="topology"')) + 6]
    )
    links = [node.get("href") for node in drawing.iter("a")]
    assert sorted(links) == sorted(component.get_absolute_url() for component in Component.objects.all())
    assert len(list(drawing.find("g[@class='topology-edges']").iter("path"))) == 3
    labels = {node.get("aria-label") for node in drawing.iter("a")}
    assert "api, production/us-central/api: Healthy" in labels
    assert "cache, production/us-east/cache: Unknown" in labels
    assert [text.text for text in drawing.iter("text") if text.get("class") == "topology-lane-title"] == [
        "us-central", "us-east",
    ]  # fmt: skip


def test_a_component_shows_what_was_seen(viewer):
    component = world.component()
    read(component, "degraded", version="1.2.3", latency_ms=8.25, facts={"serving": "<b>"},
         numbers={"memory_bytes": 1048576.0, "latency_seconds": 0.00825, "instances": 2.0, "error_ratio": 0.5,
                  "cpu_percent": 1.25, "uptime_seconds": 7200.0, "lag_seconds": 12.0, "load": 0.5})  # fmt: skip
    page = browser(viewer).get(component.get_absolute_url()).content.decode()
    for text in (
        "Degraded",
        "It is broken.",
        "1.2.3",
        "1.0\xa0MB",
        "8.3 ms",
        "50.0%",
        "1.2 %",
        "2.0 h",
        "12 s",
        "0.50",
    ):
        assert text in page
    assert "&lt;b&gt;" in page
    assert '<svg class="sparkline' in page
