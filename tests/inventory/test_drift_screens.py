"""Drift and discovery on screen and in the API: what is shown, to whom, in how many statements."""

from __future__ import annotations

from datetime import timedelta

import pytest

from drivers.discovery import Thing
from inventory.models import Component, DiscoveryRun, Drift
from portal import clock
from tests import world
from tests.inventory.screens import browser, queries
from tests.inventory.seen import place

pytestmark = pytest.mark.django_db
KEY = "production/us-central/cache"


@pytest.fixture
def here(monkeypatch):
    return place(monkeypatch)


@pytest.fixture
def viewer():
    return browser(world.account("viewer", "viewer"))


@pytest.fixture
def foreigner():
    """Sees another service only."""
    world.scope("production", "other")
    return browser(world.account("foreigner", "viewer", ("production", "other")))


def cache(slug: str = KEY, **attributes) -> Component:
    return world.component(slug, "cache", software="Valkey", attributes=attributes)


def drifted(here, count: int = 1) -> list[Drift]:
    """So many caches that are seen with another eviction policy than is declared."""
    for number in range(count):
        key = f"production/us-central/cache-{number}"
        cache(key, eviction="allkeys-lru")
        here.tell(key, Thing("cache", "c", fields={"software": "Valkey", "eviction": "noeviction"}))
    here.look()
    return list(Drift.objects.standing().order_by("component__slug"))


def test_the_list_costs_the_same_with_one_and_with_three_rows(here, viewer):
    drifted(here)
    one, _ = queries(viewer, "/drift/")
    drifted(here, 3)
    three, answer = queries(viewer, "/drift/")
    assert one == three <= 10
    assert answer.content.decode().count("noeviction") == 3
    assert len(answer.content) < 60_000


def test_sources_cost_the_same_with_one_and_with_three_rows(here, viewer):
    drifted(here)
    one, _ = queries(viewer, "/discovery/")
    drifted(here, 3)
    three, _ = queries(viewer, "/discovery/")
    assert one == three <= 10


def test_the_list_is_narrowed(here, viewer):
    drifted(here, 2)
    wanted = {
        "kind=changed": 2,
        "kind=missing": 0,
        "environment=production": 2,
        "data_center=us-central": 2,
        "service=cache-1": 1,
        "source=production/us-central/cache-0": 1,
        "age=24": 0,
        "state=open": 2,
        "state=settled": 0,
        "q=cache-1": 1,
    }
    assert {query: len(viewer.get(f"/drift/?{query}").context["table"].objects) for query in wanted} == wanted


def test_the_list_is_exported(here, viewer):
    drifted(here)
    text = b"".join(viewer.get("/drift/?export=csv")).decode()
    head, row = text.strip().splitlines()
    assert head == "What,Class,Field,Declared,Seen,Source,Since,State"
    assert row.startswith("production/us-central/cache-0,Changed,eviction,allkeys-lru,noeviction,")


def test_one_drift_says_what_can_be_done(here, viewer, settings, tmp_path):
    (drift,) = drifted(here)
    (tmp_path / "estate.yaml").write_text(
        f"components:\n  {drift.component.slug}: {{name: C, kind: cache, attributes: {{eviction: allkeys-lru}}}}\n"
    )
    settings.CATALOG_DIR = tmp_path
    answer = viewer.get(drift.get_absolute_url())
    shown = answer.content.decode()
    assert "redis.set-parameter" in shown
    assert "+  production/us-central/cache-0: {name: C, kind: cache, attributes: {eviction: noeviction}}" in shown
    diff = viewer.get(f"{drift.get_absolute_url()}diff/")
    assert diff.headers["Content-Disposition"] == 'attachment; filename="drift.diff"'
    assert diff.content.decode().splitlines()[:2] == ["--- a/estate.yaml", "+++ b/estate.yaml"]


def test_a_foreign_drift_is_nowhere(here, foreigner):
    (drift,) = drifted(here)
    run = DiscoveryRun.objects.first()
    assert run is not None
    assert list(foreigner.get("/drift/").context["table"].objects) == []
    assert list(foreigner.get("/discovery/").context["table"].objects) == []
    paths = [f"{drift.get_absolute_url()}{tail}" for tail in ("", "diff/", "accept/", "exempt/", "plan/", "revoke/")]
    paths += [f"{run.get_absolute_url()}{tail}" for tail in ("", "dismiss/", "confirm-removal/")]
    assert [foreigner.get(path).status_code for path in paths] == [404] * len(paths)
    assert drift.about not in b"".join(foreigner.get("/drift/?export=csv")).decode()


def test_a_component_shows_each_field_with_source_and_freshness(here, viewer):
    (drift,) = drifted(here)
    page = viewer.get(drift.component.get_absolute_url()).content.decode()
    assert "Eviction policy" in page
    assert page.count('class="differs"') == 1
    with clock.travel(timedelta(minutes=10)):
        assert "stale" in viewer.get(drift.component.get_absolute_url()).content.decode()


def test_the_dashboard_counts_what_is_open(here, viewer):
    drifted(here)
    page = viewer.get("/").content.decode()
    assert '/drift/?environment=production&amp;service=cache-0&amp;state=open">1 drifted</a>' in page


def test_a_held_run_explains_the_brake_and_is_decided(here, stepped_up):
    owner = browser(world.account("owner", "operations_owner"))
    key = "production/us-central/pm2"
    world.component(key, "process_manager")
    things = [Thing("app", f"p{number}", f"process/p{number}") for number in range(6)]
    here.tell(key, Thing("process_manager", "PM2"), *things)
    here.look()
    here.tell(key, Thing("process_manager", "PM2"))
    here.look()
    run = DiscoveryRun.objects.get(state="held")
    page = owner.get("/discovery/").content.decode()
    assert "6 of 7 things vanished at once." in page
    assert "process/p5" in page
    answer = owner.post(f"{run.get_absolute_url()}confirm-removal/", {"reason": "Moved away."})
    assert (answer.status_code, DiscoveryRun.objects.get(pk=run.pk).state) == (303, "complete")


def test_an_exemption_asks_for_a_date_and_a_reason(here):
    owner = browser(world.account("owner", "operations_owner"))
    (drift,) = drifted(here)
    refused = owner.post(f"{drift.get_absolute_url()}exempt/", {"until": "2020-01-01T00:00", "reason": "x"})
    assert refused.status_code == 422
    until = (clock.now() + timedelta(days=3)).strftime("%Y-%m-%dT%H:%M")
    assert owner.post(f"{drift.get_absolute_url()}exempt/", {"until": until, "reason": "x"}).status_code == 303
    assert Drift.objects.get(pk=drift.pk).state == "exempted"


def test_nothing_to_see_is_said(here, viewer):
    assert "Nothing is seen otherwise than it is declared." in viewer.get("/drift/").content.decode()
    assert "No source has been read yet." in viewer.get("/discovery/").content.decode()


# -- the API


def test_the_api_lists_decides_and_gives_the_change(here, as_account, settings, tmp_path):
    (drift,) = drifted(here)
    (tmp_path / "estate.yaml").write_text(f"components:\n  {drift.component.slug}: {{name: C, kind: cache}}\n")
    settings.CATALOG_DIR = tmp_path
    api = as_account(world.account("owner", "operations_owner"))
    (row,) = api.get("/api/v1/drift/?kind=changed").json()["results"]
    assert (row["about"], row["field"], row["declared"], row["observed"]) == (
        "production/us-central/cache-0", "eviction", "allkeys-lru", "noeviction",
    )  # fmt: skip
    change = api.get(f"/api/v1/drift/{drift.pk}/proposal/").json()
    assert change["file"] == "estate.yaml"
    assert "attributes: {eviction: noeviction}" in change["diff"]
    until = (clock.now() + timedelta(days=2)).isoformat()
    answer = api.post(f"/api/v1/drift/{drift.pk}/exempt/", {"until": until, "reason": "A test."}, format="json")
    assert (answer.status_code, answer.json()["state"]) == (200, "exempted")
    outdated = {"expected_version": 1, "reason": ""}
    assert api.post(f"/api/v1/drift/{drift.pk}/accept/", outdated, format="json").status_code == 409
    answer = api.post(f"/api/v1/drift/{drift.pk}/revoke/", {}, format="json")
    assert answer.json()["state"] == "open"
    (run,) = api.get("/api/v1/discoveries/?state=complete").json()["results"]
    assert (run["source"], run["found"], run["listed"]) == ("production/us-central/cache-0", 1, "all")


def test_the_api_costs_the_same_with_one_and_with_three_rows(here, as_account, django_assert_max_num_queries):
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    api, counts = as_account(world.account("viewer", "viewer")), []
    for number in (1, 3):
        drifted(here, number)
        for path in ("/api/v1/drift/", "/api/v1/discoveries/"):
            api.get(path)
            with CaptureQueriesContext(connection) as captured:
                assert api.get(path).status_code == 200
            counts.append(len(captured))
    assert counts[:2] == counts[2:]
    assert max(counts) <= 6


def test_foreign_rows_are_not_there_in_the_api(here, as_account):
    world.scope("production", "other")
    (drift,) = drifted(here)
    api = as_account(world.account("foreigner", "viewer", ("production", "other")))
    run = DiscoveryRun.objects.get()
    paths = [f"drift/{drift.pk}/", f"drift/{drift.pk}/proposal/", f"discoveries/{run.pk}/"]
    assert [api.get(f"/api/v1/{path}").status_code for path in paths] == [404] * 3


def test_what_is_missing_leaves_the_catalog_with_everything_that_names_it(here, tmp_path, settings):
    from inventory.catalog.proposal import of_folder

    text = (
        "components:\n  a/b/x: {name: X, kind: cache}\n  production/us-central/cache: {name: C, kind: cache}\n"
        "dependencies:\n  a/b/x:\n    production/us-central/cache: soft\n    a/b/y: soft\n"
    )
    (tmp_path / "estate.yaml").write_text(text)
    cache()
    here.tell(KEY)
    here.look(2)
    (drift,) = Drift.objects.standing()
    proposal = of_folder(drift, tmp_path)
    assert proposal is not None
    assert (drift.kind, proposal.after) == (
        "missing", "components:\n  a/b/x: {name: X, kind: cache}\ndependencies:\n  a/b/x:\n    a/b/y: soft\n",
    )  # fmt: skip
