"""The shipped catalog beside the lab's real daemons: no drift at first, and then exactly what was seeded."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from django.conf import settings as project

from inventory import reconcile
from inventory.actions.catalog import apply_catalog
from inventory.catalog import edit, load
from inventory.models import DiscoveryRun, Drift
from lab import estate
from lab.daemon import COMMAND
from lab.layout import Lab
from portal.events import SYSTEM
from tests.lab.conftest import traces
from tests.ports import for_a_lab

pytestmark = [pytest.mark.long, pytest.mark.django_db]
HERE, EAST = "production/us-central", "production/us-east"
GONE = object()
ATTRIBUTES = "attributes"
SEEDS: list[tuple[tuple[str, ...], object, tuple[str, str, str]]] = [
    # nginx
    (("nginx", "version"), "1.1", ("changed", f"{HERE}/nginx", "version")),
    (("nginx", ATTRIBUTES, "workers"), 7, ("changed", f"{HERE}/nginx", "workers")),
    (("nginx", ATTRIBUTES, "tls"), True, ("changed", f"{HERE}/nginx", "tls")),
    (("upstream-api", ATTRIBUTES, "algorithm"), "random", ("changed", f"{HERE}/upstream-api", "algorithm")),
    # PM2 and what runs under it
    (("pm2", "software"), "systemd", ("changed", f"{HERE}/pm2", "software")),
    (("play", ATTRIBUTES, "processes"), 5, ("changed", f"{HERE}/play", "processes")),
    (("ghost",), {"name": "ghost", "kind": "app", "service": "api", "part_of": f"{HERE}/pm2"},
     ("missing", f"{HERE}/ghost", "")),
    # MariaDB
    (("database", ATTRIBUTES, "mode"), "sync", ("changed", f"{HERE}/database", "mode")),
    (("database", ATTRIBUTES, "read_only"), True, ("changed", f"{HERE}/database", "read_only")),
    (("database", "software"), "PostgreSQL", ("changed", f"{HERE}/database", "software")),
    # Valkey and its Sentinels
    (("cache", ATTRIBUTES, "eviction"), "allkeys-lru", ("changed", f"{HERE}/cache", "eviction")),
    (("cache", ATTRIBUTES, "max_memory_mb"), 512, ("changed", f"{HERE}/cache", "max_memory_mb")),
    (("cache", ATTRIBUTES, "role"), "replica", ("changed", f"{HERE}/cache", "role")),
    (("sentinel", ATTRIBUTES, "quorum"), 3, ("changed", f"{HERE}/sentinel", "quorum")),
    # a source that nobody knows
    (("search",), {"name": "Search", "kind": "database", "service": "api", "connection": f"{HERE}/search"},
     ("stale", f"{HERE}/search", "")),
]  # fmt: skip


@pytest.fixture
def lab(tmp_path: Path, programs_are_there: None) -> Iterator[Lab]:
    """Production and staging, up, with everything the machine has programs for."""
    made = Lab(tmp_path / "state" / "lab")
    here = estate.prepare(made, ["staging", "production"], for_a_lab())
    assert [outcome.problem for outcome in here.up(COMMAND, lambda _: None) if outcome.problem] == []
    yield made
    whole = estate.everything(made)
    assert whole is not None
    whole.down({COMMAND})
    made.discard_runtime()
    assert traces(tmp_path / "state") == []


def look(times: int) -> set[tuple[str, str, str]]:
    for _ in range(times):
        for center in ("us-central", "us-east", None):
            reconcile.read_sources(center)
        reconcile.compare_estate()
    rows = Drift.objects.standing().select_related("component", "sighting")
    return {(row.kind, row.about, row.field) for row in rows}


def seeded(folder: Path) -> Path:
    """The shipped catalog, untrue in the ways of ``SEEDS``."""
    shutil.copytree(project.BASE_DIR / "catalog" / "edye", folder)
    for path, value, _ in SEEDS:
        name = f"{HERE}/{path[0]}"
        files = [each for each in sorted(folder.glob("*.yaml")) if f"\n  {name}:" in each.read_text()]
        file = files[0] if files else folder / "production.yaml"
        file.write_text(edit.put(file.read_text(), ("components", name, *path[1:]), value))
    return folder


def test_the_lab_is_as_its_catalog_says_and_each_untruth_is_named(lab, settings, monkeypatch, tmp_path):
    settings.CONNECTIONS_FILE = lab.connections
    monkeypatch.setattr("inventory.reconcile.estate._began", datetime.now(UTC) - timedelta(days=1))
    apply_catalog(load(project.BASE_DIR / "catalog" / "edye"), by=SYSTEM)
    assert look(2) == set()
    assert set(DiscoveryRun.objects.newest().values_list("state", flat=True)) == {"complete"}

    apply_catalog(load(seeded(tmp_path / "edye")), by=SYSTEM)
    assert look(2) == {expected for _, _, expected in SEEDS}

    apply_catalog(load(project.BASE_DIR / "catalog" / "edye"), by=SYSTEM)
    assert look(1) == set()
