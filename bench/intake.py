"""From the signal to the page: how fast the intake answers, how soon the mail leaves, and whether any is lost."""

from __future__ import annotations

import argparse
import concurrent.futures
import re
import statistics
import tempfile
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import httpx

from bench.portal import Portal
from bench.table import show
from portal.embedded import ports

LOADS = (("one a second", 15, 1.0), ("all at once", 25, 0.0))
PATIENCE_SECONDS = 30


def main(_: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="edye-bench-") as scratch:
        portal = Portal(Path(scratch) / "state", ports.first_free(24200), LAB="0")
        portal.start()
        try:
            key = portal.manage("signal_source", "bench").split()[-1]
            components = _components(portal)
            rows = [_run(portal, key, components, *load) for load in LOADS]
        finally:
            portal.stop()
    head = ("load", "signals", "accepted", "ack ms p50", "ack ms p95", "page s p50", "page s p95", "paged", "lost")
    show("Alertmanager webhook to mail, each signal about a component of its own", head, rows)


def _components(portal: Portal) -> list[str]:
    """Slugs, each to be taken once: further signals about one component join its open incident and page nobody."""
    token = portal.manage("api_token", "administrator").split()[-1]
    url = f"{portal.address}/api/v1/components/?limit=500"
    answer = httpx.get(url, headers={"Authorization": f"Bearer {token}"}, timeout=30)
    return [row["slug"] for row in answer.json()["results"]]


def _run(portal: Portal, key: str, components: list[str], name: str, count: int, pause: float) -> tuple[object, ...]:
    marks = [f"{name.replace(' ', '-')}-{number}" for number in range(count)]
    sent: dict[str, float] = {}
    acks: list[float] = []
    with httpx.Client(timeout=60) as client, concurrent.futures.ThreadPoolExecutor(32) as pool:
        futures = []
        for mark in marks:
            sent[mark] = time.time()
            futures.append(pool.submit(_post, client, portal.address, key, mark, components.pop()))
            time.sleep(pause)
        acks = [ack for future in futures if (ack := future.result()) is not None]
    paged = _pages(portal, sent, len(acks))
    waits = sorted(paged[mark] - sent[mark] for mark in paged)
    return name, count, len(acks), *_spread(acks, 1000), *_spread(waits, 1), len(paged), len(acks) - len(paged)


def _post(client: httpx.Client, address: str, key: str, mark: str, component: str) -> float | None:
    """Seconds until the 2xx; ``None`` when it was not accepted."""
    alert: dict[str, Any] = {
        "status": "firing",
        "labels": {"alertname": mark, "severity": "critical", "component": component},
        "annotations": {"summary": f"mark:{mark}:"},
        "startsAt": datetime.now(UTC).isoformat(),
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://127.0.0.1:9090/graph",
        "fingerprint": mark,
    }
    body = {"version": "4", "groupKey": mark, "status": "firing", "receiver": "portal", "alerts": [alert]}
    began = time.monotonic()
    url = f"{address}/api/v1/signals/alertmanager/bench/"
    answer = client.post(url, json=body, headers={"Authorization": f"Bearer {key}"})
    return time.monotonic() - began if answer.is_success else None


def _pages(portal: Portal, sent: dict[str, float], expected: int) -> dict[str, float]:
    """When the first mail about each mark was written, as the file system says."""
    deadline, seen, found = time.monotonic() + PATIENCE_SECONDS, set(), {}
    while len(found) < expected and time.monotonic() < deadline:
        for path in set((portal.folder / "mail").glob("*")) - seen:
            for mark in re.findall(r"mark:([\w-]+):", path.read_text()):
                if mark in sent:
                    found.setdefault(mark, path.stat().st_mtime)
            seen.add(path)
        time.sleep(0.2)
    return found


def _spread(values: list[float], factor: float) -> tuple[float, float]:
    if not values:
        return 0.0, 0.0
    ordered = sorted(values)
    return factor * statistics.median(ordered), factor * ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]
