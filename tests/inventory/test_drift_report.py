"""A catalog that differs from reality in twenty seeded ways, and a report that names exactly these twenty.

The reality is one simulated world of each technology; the drivers' own code looks at it. The same on real daemons is in
``test_drift_on_real_daemons``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pytest

from drivers.discovery import Relation, Thing
from inventory.catalog import edit
from inventory.models import DiscoveryRun, Drift
from portal.models import Event
from tests.inventory.seen import CENTER, EAST, TRUE, Worlds, declare, place

pytestmark = pytest.mark.django_db
GONE = object()


@dataclass(frozen=True)
class Seed:
    """One untruth: a change of the catalog's text, and the drift that must tell of it: class, about, field."""

    path: tuple[str, ...]
    value: Any
    kind: str
    about: str
    field: str = ""
    seen: Any = None


def component(name: str, field: str, value: Any, seen: Any, at: str = CENTER) -> Seed:
    columns = ("software", "version", "kind")
    path = (field,) if field in columns else ("attributes", field)
    return Seed(("components", f"{at}/{name}", *path), value, "changed", f"{at}/{name}", field, seen)


SEEDS = [
    component("nginx", "version", "1.29", "1.31.3"),
    component("nginx", "workers", 4, 2),
    component("lb-api", "members", ["127.0.0.1:20002"], ["127.0.0.1:20001"]),
    component("lb-api", "algorithm", "least connections", "round robin"),
    component("pm2", "software", "systemd", "PM2"),
    component("api", "processes", 3, 2),
    component("database", "mode", "semi-sync", "async"),
    component("database", "read_only", False, True, at=EAST),
    component("cache", "eviction", "allkeys-lru", "noeviction"),
    component("sentinel", "quorum", 3, 2),
    component("memcached", "max_memory_mb", 128, 64),
    component("objects", "versioned", False, True),
    component("php", "max_children", 9, 5),
    component("documents-b", "role", "arbiter", "replica"),
    Seed(("components", f"{CENTER}/lb-play"), GONE, "unmanaged", f"{CENTER}/nginx#upstream/edye_play"),
    Seed(("components", f"{CENTER}/orders-dead"), GONE, "unmanaged", f"{CENTER}/queue#queue/orders.dead"),
    Seed(
        ("components", f"{CENTER}/payments"),
        {"name": "payments", "kind": "queue", "service": "api", "part_of": f"{CENTER}/queue"},
        "missing",
        f"{CENTER}/payments",
    ),
    Seed(
        ("components", f"{CENTER}/search"),
        {"name": "Search", "kind": "database", "service": "api", "connection": f"{CENTER}/search"},
        "stale",
        f"{CENTER}/search",
    ),
    Seed(
        ("dependencies", f"{CENTER}/nginx", f"{CENTER}/api"), GONE, "changed", f"{CENTER}/nginx", f"needs {CENTER}/api"
    ),
    Seed(
        ("components", "staging/us-central/copies"),
        {"name": "Copies", "kind": "object_store", "service": "api", "external_id": "s3:127.0.0.1:8333/replica"},
        "environment",
        "staging/us-central/copies",
        "environment",
    ),
]


def seeded(text: str) -> str:
    for seed in SEEDS:
        text = edit.without(text, seed.path) if seed.value is GONE else edit.put(text, seed.path, seed.value)
    text = edit.without(text, ("dependencies", f"{CENTER}/nginx", f"{CENTER}/lb-play"))
    # What is declared in staging now is no longer declared in production: an external id is there once.
    return edit.without(text, ("components", f"{CENTER}/copies"))


@pytest.fixture
def worlds():
    return Worlds()


@pytest.fixture
def here(monkeypatch, worlds):
    return place(monkeypatch, worlds.connections())


def test_where_everything_is_as_declared_nothing_is_reported(here, tmp_path):
    declare(tmp_path / "catalog", TRUE)
    here.look(2)
    assert {run.state for run in DiscoveryRun.objects.all()} == {"complete"}
    assert here.drifts() == set()


def test_the_report_names_exactly_the_twenty_and_settles_when_the_catalog_is_mended(here, tmp_path):
    declare(tmp_path / "catalog", TRUE)
    here.look()
    declare(tmp_path / "catalog", seeded(TRUE))
    here.look(2)
    assert len(SEEDS) == 20
    assert here.drifts() == {(seed.kind, seed.about, seed.field) for seed in SEEDS}
    rows = {(row.kind, row.about, row.field): row for row in Drift.objects.standing()}
    told = {(s.kind, s.about, s.field): (s.value, s.seen) for s in SEEDS if s.seen is not None}
    assert {key: (rows[key].declared, rows[key].observed) for key in told} == told
    found = Drift.objects.count()
    here.look(2)
    assert Drift.objects.count() == found, "looking again finds the same"

    declare(tmp_path / "catalog", TRUE)
    here.look()
    assert here.drifts() == set()
    # What was about a component that is gone from the catalog went with it; an external id keeps its component.
    told = Event.objects.filter(verb="inventory.settle").values_list("subject_id", flat=True)
    assert sorted(told) == sorted(str(row.pk) for key, row in rows.items() if key[0] not in ("missing", "stale"))


def test_sources_that_contradict_each_other_are_shown_and_the_server_itself_decides(here, worlds, tmp_path):
    declare(tmp_path / "catalog", TRUE)
    here.look()
    worlds.sentinel.primary, worlds.sentinel.replica = worlds.sentinel.replica, worlds.sentinel.primary
    here.look()
    conflicts = {row.about: row for row in Drift.objects.standing().filter(kind="conflict")}
    assert {about: (row.field, row.observed, row.source) for about, row in conflicts.items()} == {
        f"{CENTER}/cache": ("role", "primary", f"{CENTER}/cache"),
        f"{CENTER}/cache-b": ("role", "replica", f"{CENTER}/cache-b"),
    }
    assert conflicts[f"{CENTER}/cache"].others == [[f"{CENTER}/sentinel", "replica"]]


def test_what_points_into_another_environment_is_told(here, tmp_path):
    """A staging process whose connections lead to production's database."""
    declare(tmp_path / "catalog", edit.put(TRUE, ("components", "staging/us-central/job"), {
        "name": "Job", "kind": "app", "service": "api", "connection": "staging/us-central/job",
    }))  # fmt: skip

    thing = Thing("app", "job", relations=(Relation("uses", "tcp:127.0.0.1:3301"),))
    here.tell("staging/us-central/job", thing)
    here.look()
    assert here.drifts() == {("environment", "staging/us-central/job", f"uses {CENTER}/database")}
