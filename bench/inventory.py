"""The inventory with 1,000 and with 100,000 components: what its lists, pages, searches and writes cost.

Every request is counted in the system's own PostgreSQL (pg_stat_statements: statements without those that begin and end
transactions, and milliseconds of execution) and in the processor time of its processes, which a busy machine changes
less than the clock. ``--system`` names what is measured (``bench.systems``), ``--size`` how much it holds.
"""

from __future__ import annotations

import argparse
import multiprocessing
import statistics
import sys
import tempfile
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from bench import estate
from bench.systems import HTMX, SYSTEMS, Portal, Running, System, fresh
from bench.table import show

SIZES = (1_000, 100_000)
TIMES, WARM, BATCH, BATCHES = 12, 3, 500, 4
COUNT = """SELECT coalesce(sum(calls), 0), coalesce(sum(total_exec_time), 0) FROM pg_stat_statements
            WHERE query !~* '^(begin|commit|rollback|savepoint|release|set|show|select 1$|.*pg_stat_statements)'
              AND query !~* 'from only .* for key share of x$'"""
"""The last are the checks of deferred foreign keys, which PostgreSQL makes by itself when a transaction ends."""
HALVED = ("REST list of 50", "REST q, matches an eighth", "REST three filters", "REST name contains")
"""Reads that are also measured for somebody who sees half of what there is."""
Ask = Callable[[int], tuple[str, str, Any, dict[str, str]]]


@dataclass
class Cost:
    """What one request took, as the median of several; statements and database as their mean."""

    statements: float
    database_ms: float
    app_ms: float
    db_ms: float
    ms: float
    kilobytes: float


def main(options: argparse.Namespace) -> None:
    found: dict[str, dict[int, dict[str, Cost]]] = {}
    kept: list[tuple[str, int, float]] = []
    for name in options.system or ["portal"]:
        for size in options.size or SIZES:
            # In a process of its own: settings name one database for as long as a process lives.
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as aside:
                holds, costs, history = aside.submit(measure, name, size).result()
            found.setdefault(name, {})[holds] = costs
            kept.append((name, holds, history))
        _tell(name, found[name])
    show("History of each created object", ("system", "holds", "bytes"), kept)
    _compare(found)


def measure(name: str, size: int) -> tuple[int, dict[str, Cost], float]:
    """How much the system holds, what each case costs it, and the bytes of history of a created object."""
    system = SYSTEMS[name]()
    with tempfile.TemporaryDirectory(prefix="edye-bench-") as folder, system.running(Path(folder), size) as it:
        measuring = Measuring(system, it)
        return it.size, measuring.everything(), measuring.kept


class Measuring:
    """One system with one estate. ``kept``: bytes of history that each created object left."""

    kept = 0.0

    def __init__(self, system: System, it: Running) -> None:
        self.system, self.it = system, it
        self.client = httpx.Client(base_url=it.base, timeout=300, headers={"Origin": it.base})
        self.database = psycopg.connect(it.database, autocommit=True)
        self.database.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        _until_it_answers(self.client)
        it.deep = it.deep or self._middle()

    def everything(self) -> dict[str, Cost]:
        costs = {}
        for what, ask, times in self._cases():
            history = self._history()
            costs[what] = self._cost(ask, times)
            if what == f"create {BATCH}":
                self.kept = (self._history() - history) / (BATCHES + 1) / BATCH
            print(f"  {self.system.name} {self.it.size:,} {what}: {costs[what]}", file=sys.stderr, flush=True)
        if isinstance(self.system, Portal):
            costs |= self._blast()
        return costs

    def _history(self) -> int:
        """Bytes of what the system keeps of changes, its indexes included."""
        (size,) = self.database.execute("SELECT pg_total_relation_size(%s::regclass)", [self.system.written]).fetchone()
        return int(size)

    def _cases(self) -> Iterator[tuple[str, Ask, int]]:
        system, it = self.system, self.it
        for what, template in system.reads.items():
            yield what, self._get(template, it.all), 4 if "1000" in what else TIMES
        for what in (name for name in HALVED if name in system.reads):
            yield f"{what}, sees half", self._get(system.reads[what], it.half), TIMES
        for what, template in system.pages.items():
            yield what, self._get(template, it.person), TIMES
        for what in system.halves:
            yield f"{what}, sees half", self._get(system.pages[what], it.half_person), TIMES
        for what, template in system.palette.items():
            yield what, self._get(template, it.person | HTMX), TIMES
            if it.half_person:
                yield f"{what}, sees half", self._get(template, it.half_person | HTMX), TIMES
        yield "create one", lambda n: (*system.create(fresh(n)), it.all), TIMES
        yield "change one", lambda n: (*system.change(it.ids[n], f"changed {n} {time.time()}"), it.all), TIMES
        many = [[fresh(batch * BATCH + n) for n in range(1, BATCH + 1)] for batch in range(2 * BATCHES)]
        yield f"create {BATCH}", lambda n: (*system.create_many(many[n % len(many)]), it.all), -BATCHES
        if system.upsert_many(many[0]):
            yield f"upsert {BATCH}", lambda n: (*(system.upsert_many(_changed(many[n], n)) or ()), it.all), -BATCHES

    def _get(self, template: str, signed: dict[str, str]) -> Ask:
        def ask(number: int) -> tuple[str, str, Any, dict[str, str]]:
            facts = estate.record(number % len(self.it.ids) + 1)
            name = facts["name"]
            more = {"id": self.it.ids[number % len(self.it.ids)], "deep": self.it.deep, "tag": facts["tags"][0]}
            more["link"] = self.it.links[number % len(self.it.links)] if self.it.links else ""
            more |= {"number": number % len(self.it.ids) + 1, "start": name[:-4], "slip": f"q{name}"}
            return "GET", template.format(**facts, **more).replace(" ", "%20"), None, signed

        return ask

    def _cost(self, ask: Ask, times: int) -> Cost:
        warm, times = (1 if times < 0 else WARM), abs(times)
        for number in range(warm):
            self._send(*ask(number))
        self.database.execute("SELECT pg_stat_statements_reset()")
        before = self._spent()
        took = [self._send(*ask(warm + number)) for number in range(times)]
        spent = {name: value - before[name] for name, value in self._spent().items()}
        calls, milliseconds = self.database.execute(COUNT).fetchone() or (0, 0)
        return Cost(
            float(calls) / times, float(milliseconds) / times, 1000 * spent["app"] / times, 1000 * spent["db"] / times,
            statistics.median(ms for ms, _ in took), statistics.median(size for _, size in took) / 1000,
        )  # fmt: skip

    def _send(self, method: str, path: str, body: Any, headers: dict[str, str]) -> tuple[float, int]:
        begun = time.perf_counter()
        answer = self.client.request(method, path, json=body, headers=headers)
        assert answer.status_code < 300, (method, path, answer.status_code, answer.text[:600])
        return 1000 * (time.perf_counter() - begun), len(answer.content)

    def _spent(self) -> dict[str, float]:
        return {name: _processor(process) for name, process in self.it.processes.items()}

    def _middle(self) -> str:
        """The address of a page in the middle of the list, by following the pages to it."""
        path = self.system.reads["REST list of 1000"]
        for _ in range(self.it.size // 2000):
            answer = self.client.get(path, headers=self.it.all).json()
            path = answer["next"] or path
        return path.replace("limit=1000", "limit=50")

    def _blast(self) -> dict[str, Cost]:
        """Asked in this process, as the page does; the graph is in memory from the first time on."""
        from identity.models import Account
        from inventory.graph.impact import what_fails

        reader = Account.objects.get(username="all")
        costs = {}
        for what, place in (("blast radius, typical", len(self.it.ids) // 2), ("blast radius, hub", 0)):
            keys = [uuid.UUID(self.it.ids[place])] if self.it.size <= 1000 or not place else [self._typical()]
            times, cpu = [], time.process_time()
            for _ in range(4):
                begun = time.perf_counter()
                what_fails(reader, keys)
                times.append(1000 * (time.perf_counter() - begun))
            spent = 1000 * (time.process_time() - cpu) / 4
            costs[what] = Cost(0, 0, spent, 0, statistics.median(times), 0)
        return costs

    def _typical(self) -> Any:
        from inventory.models import Component

        return Component.objects.get(external_id=f"SN{self.it.size // 2:08}").pk


def _changed(rows: list[dict[str, Any]], number: int) -> list[dict[str, Any]]:
    return [{**row, "description": f"upserted {number} {time.time()}"} for row in rows]


def _until_it_answers(client: httpx.Client) -> None:
    deadline = time.monotonic() + 90
    while True:
        try:
            client.get("/")
            return
        except httpx.TransportError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _processor(process: psutil.Process) -> float:
    """Seconds of the process and of all it has started, those that ended included."""
    own = process.cpu_times()
    total = own.user + own.system + own.children_user + own.children_system
    for child in process.children(recursive=True):
        try:
            spent = child.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += spent.user + spent.system
    return float(total)


HEAD = ("", "statements", "database ms", "CPU ms app", "CPU ms db", "ms", "kB")


def _tell(name: str, sizes: dict[int, dict[str, Cost]]) -> None:
    for size, costs in sizes.items():
        rows = [(what, c.statements, c.database_ms, c.app_ms, c.db_ms, c.ms, c.kilobytes) for what, c in costs.items()]
        show(f"{name}, {size:,} components", HEAD, rows)
        many = {what: c for what, c in costs.items() if str(BATCH) in what}
        rows = [(what, 1000 * BATCH / c.ms, c.statements / BATCH) for what, c in many.items()]
        show(f"{name}, {size:,}: written in batches of {BATCH}", ("", "objects/s", "statements each"), rows)
    if len(sizes) > 1:
        small, large = min(sizes), max(sizes)
        less, more = sizes[small], sizes[large]
        rows = [
            (what, _ratio(more[what].database_ms, one.database_ms), _ratio(more[what].app_ms + more[what].db_ms,
             one.app_ms + one.db_ms), _ratio(more[what].ms, one.ms))
            for what, one in less.items()
        ]  # fmt: skip
        show(f"{name}: {large:,} against {small:,}", ("", "database", "CPU", "ms"), rows)


def _compare(found: dict[str, dict[int, dict[str, Cost]]]) -> None:
    """What the first system takes of what each other one takes, at the largest size of both."""
    (first, sizes), *others = found.items()
    own = sizes[max(sizes)]
    for name, theirs in others:
        peer = theirs[max(theirs)]
        rows = [
            (what, _ratio(own[what].app_ms + own[what].db_ms, c.app_ms + c.db_ms), own[what].statements, c.statements)
            for what, c in peer.items() if what in own
        ]  # fmt: skip
        show(f"{first} against {name}", ("", "CPU", f"statements {first}", f"statements {name}"), rows)


def _ratio(one: float, other: float) -> float | str:
    return one / other if other else "–"
