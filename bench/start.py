"""How long ``make up`` takes to READY, with everything downloaded: new state, then the same state again."""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from pathlib import Path

import psutil

from bench.portal import Portal
from bench.table import show
from portal.embedded import ports


def main(_: argparse.Namespace) -> None:
    with tempfile.TemporaryDirectory(prefix="edye-bench-") as scratch:
        portal = Portal(Path(scratch) / "state", ports.first_free(24200))
        rows = []
        for what in ("new state folder", "second time"):
            began, cpu = time.monotonic(), _cpu_seconds()
            portal.start()
            seconds, spent = time.monotonic() - began, _cpu_seconds() - cpu
            lab = _until_the_lab_is_up(portal, began)
            memory = _memory(portal)
            portal.stop()
            rows.append((what, seconds, spent, lab, memory["web"], sum(memory.values())))
    head = ("start", "READY s", "CPU s of the machine", "lab up s", "web MB", "portal MB")
    show("Start, with the lab", head, rows)
    show("Resident memory by process, second time", ("process", "MB"), sorted(memory.items()))


def _cpu_seconds() -> float:
    times = psutil.cpu_times()
    return times.user + times.system


def _until_the_lab_is_up(portal: Portal, began: float) -> float:
    while portal.run("lab", "status").returncode:
        time.sleep(1)
    return time.monotonic() - began


def _memory(portal: Portal) -> dict[str, int]:
    """MB resident of each supervised process (not of the lab's daemons)."""
    found = {}
    for record in (portal.folder / "run").glob("*.json"):
        pid = json.loads(record.read_text())["pid"]
        found[record.stem] = psutil.Process(pid).memory_info().rss // 2**20
    return found
