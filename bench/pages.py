"""What screens and API lists cost a portal that holds EDYE: milliseconds, processor, bytes."""

from __future__ import annotations

import argparse
import gzip
import json
import re
import statistics
import tempfile
import time
from pathlib import Path

import httpx
import psutil

from bench.portal import Portal
from bench.table import show
from portal.embedded import ports

TIMES = 20
SCREENS = (
    *("/", "/services/", "/components/", "/services/play/", "/components/production/us-central/api/"),
    *("/environments/production/topology/", "/incidents/", "/operations/", "/deployments/", "/events/"),
)
ROUTES = ("components", "services", "dependencies", "incidents", "operations", "deployments")


def main(_: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="edye-bench-") as scratch:
        portal = Portal(Path(scratch) / "state", ports.first_free(24200), LAB="0")
        portal.start()
        try:
            _measure(portal)
        finally:
            portal.stop()


def _measure(portal: Portal) -> None:
    web = psutil.Process(json.loads((portal.folder / "run" / "web.json").read_text())["pid"])
    with httpx.Client(base_url=portal.address, timeout=30) as browser:
        _sign_in(portal, browser)
        rows = [_cost(web, browser, path) for path in SCREENS]
    token = portal.manage("api_token", "administrator").split()[-1]
    with httpx.Client(base_url=portal.address, timeout=30, headers={"Authorization": f"Bearer {token}"}) as client:
        rows += [_cost(web, client, f"/api/v1/{noun}/") for noun in ROUTES]
    head = ("address", "ms median", "ms worst", "CPU ms", "kB", "kB packed")
    show(f"Pages, {TIMES} requests each, one after the other", head, rows)
    show("The web process afterwards", ("RSS MB", "threads"), [(web.memory_info().rss // 2**20, web.num_threads())])


def _sign_in(portal: Portal, browser: httpx.Client) -> None:
    """Spend the link that READY printed."""
    link = next(line.split()[1] for line in portal.printed if line.startswith("SIGN-IN"))
    token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', browser.get(link).text)
    assert token is not None
    answer = browser.post(link, data={"csrfmiddlewaretoken": token[1]}, headers={"Origin": portal.address})
    assert answer.status_code == 303, answer.text


def _cost(web: psutil.Process, client: httpx.Client, path: str) -> tuple[object, ...]:
    client.get(path)
    took, before = [], web.cpu_times()
    for _ in range(TIMES):
        began = time.monotonic()
        answer = client.get(path)
        took.append(1000 * (time.monotonic() - began))
        assert answer.status_code == 200, (path, answer.status_code)
    after = web.cpu_times()
    cpu = 1000 * (after.user + after.system - before.user - before.system) / TIMES
    size, packed = len(answer.content), len(gzip.compress(answer.content))
    return path, statistics.median(took), max(took), cpu, size / 1000, packed / 1000
