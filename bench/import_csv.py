"""A CSV file of 100,000 components from the upload to the last row, and what it costs to bring it a second time.

Everything runs in this process, as in one worker: its processor time and its largest memory are the worker's. The
database is a PostgreSQL of its own with its default durability.
"""

from __future__ import annotations

import argparse
import contextlib
import csv
import io
import threading
import time
from collections.abc import Callable
from typing import Any

import psutil

from bench import estate
from bench.stage import Stage, stage
from bench.table import show

ROWS = 100_000
NAMES = (
    *("slug", "name", "kind", "environment", "data_center", "service", "status", "software", "version"),
    *("external_id", "tags", "description", "custom.tier"),
)


def main(options: argparse.Namespace) -> None:
    size = (getattr(options, "size", None) or [ROWS])[0]
    with stage() as it:
        estate.frame()
        from tests import world

        by = world.account("owner", "operations_owner")
        rows = []
        for name, version in (("all new", "1.0"), ("all as they are", "1.0"), ("one field of each", "1.1")):
            rows += Measurement(it).run(name, file(size, version), by)
    head = ("file", "phase", "rows", "s", "rows/s", "app CPU s", "database CPU s", "largest MB")
    show(f"CSV of {size:,} components", head, rows)


def file(size: int, version: str) -> bytes:
    """A row for each component of the estate."""
    out = io.StringIO()
    writer = csv.writer(out)
    writer.writerow(NAMES)
    for number in range(1, size + 1):
        row = estate.record(number)
        row |= {"version": version, "tags": " ".join(row["tags"]), "custom.tier": row["custom"]["tier"]}
        writer.writerow([row.get(name, "") for name in NAMES])
    return out.getvalue().encode()


class Measurement:
    """One file: upload, check, apply; and all of it together."""

    def __init__(self, it: Stage) -> None:
        assert it.database.child is not None
        self.server = psutil.Process(it.database.child.pid)

    def run(self, name: str, data: bytes, by: Any) -> list[tuple[object, ...]]:
        from inventory.actions import imports
        from inventory.models import Component, Import, Revision
        from inventory.reconcile import carry_imports

        largest, count, before = Largest(), data.count(b"\n") - 1, Revision.objects.count()
        one, *up = self._timed(lambda: imports.upload("component", by=by, data=data, name="components.csv"))
        _, *checked = self._timed(carry_imports)
        one = Import.objects.get(pk=one.pk)
        if one.state != "ready":
            raise RuntimeError([*one.fault_rows.values_list("line", "column", "sentence")[:10], one.note])
        imports.apply(one, by=by, expected=one.digest)
        _, *applied = self._timed(carry_imports)
        one = Import.objects.get(pk=one.pk)
        changed = one.created + one.changed
        if (one.state, Component.objects.count(), Revision.objects.count() - before) != ("applied", count, changed):
            raise RuntimeError((one.state, one.note))
        phases = {"upload": up, "check": checked, "apply": applied}
        phases["upload to applied"] = [sum(each) for each in zip(up, checked, applied, strict=True)]
        title, memory = f"{name} ({len(data) / 2**20:.1f} MB)", largest.stop()
        return [(title, phase, count, spent[0], int(count / spent[0]), *spent[1:], memory if "to" in phase else "")
                for phase, spent in phases.items()]  # fmt: skip

    def _timed(self, do: Callable[[], Any]) -> tuple[Any, float, float, float]:
        wall, own, servers = time.perf_counter(), time.process_time(), self._servers()
        found = do()
        return found, time.perf_counter() - wall, time.process_time() - own, self._servers() - servers

    def _servers(self) -> float:
        """Processor seconds of the database's processes that are there now; the portal keeps its connections."""
        spent = 0.0
        for each in self.server.children(recursive=True):
            with contextlib.suppress(psutil.Error):
                spent += sum(each.cpu_times()[:2])
        return spent


class Largest(threading.Thread):
    """The most memory that this process has held since the thread was begun."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.most, self.ended = 0, threading.Event()
        self.start()

    def run(self) -> None:
        own = psutil.Process()
        while not self.ended.wait(0.1):
            self.most = max(self.most, own.memory_info().rss)

    def stop(self) -> int:
        self.ended.set()
        self.join()
        return self.most // 2**20
