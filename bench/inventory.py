"""The inventory with 1,000 and with 100,000 components: what its lists, pages, searches and writes cost.

Every request is counted in the system's own PostgreSQL (pg_stat_statements: statements without those that begin and end
transactions, and milliseconds of execution) and in the processor time of its processes, which a busy machine changes
less than the clock. ``--system`` names what is measured (``bench.systems``), ``--size`` how much it holds; a system
that was started elsewhere is measured once, with what it holds. Jobs that requests leave behind wait until the requests
were counted, and are counted by themselves.
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
from concurrent.futures import ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import psutil
import psycopg

from bench import estate
from bench.costs import Cost, Sizes, compare, tell
from bench.stage import wait_until
from bench.systems import SYSTEMS, Portal, Running, System, fresh
from bench.table import show

SIZES = (1_000, 100_000)
TIMES, WARM, BATCH = 12, 4, 500
PATIENCE = 3600
COUNT = """SELECT coalesce(sum(calls), 0), coalesce(sum(total_exec_time), 0) FROM pg_stat_statements
            WHERE query !~* '^(begin|commit|rollback|savepoint|release|set|show|select 1$|.*pg_stat_statements)'
              AND query !~* 'from only .* for key share of x$'
              AND userid <> current_user::regrole
              AND dbid = (SELECT oid FROM pg_database WHERE datname = current_database())"""
"""Without the checks of foreign keys, which PostgreSQL makes by itself, and without what the measurement asks."""
HALVED = ("REST list of 50", "REST q, matches an eighth", "REST three filters", "REST name contains")
"""Reads that are also measured for somebody who sees half of what there is."""
Ask = Callable[[int], tuple[str, str, Any, dict[str, str]]]
Case = tuple[str, Ask, int, int]
"""Its name, the request of each turn, and how many turns: before counting, and counted."""


def main(options: argparse.Namespace) -> None:
    found: dict[str, Sizes] = {}
    kept: list[tuple[str, int, float]] = []
    for name in options.system or ["portal"]:
        sizes = options.size or SIZES
        for size in sizes if SYSTEMS[name].filled else sizes[-1:]:
            # In a process of its own: settings name one database for as long as a process lives.
            with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as aside:
                holds, costs, history = aside.submit(measure, name, size).result()
            found.setdefault(name, {})[holds] = costs
            kept.append((name, holds, history))
        tell(name, found[name], BATCH)
    show("History of each created object", ("system", "holds", "bytes"), kept)
    compare(found)


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
        self.client = httpx.Client(base_url=it.base, timeout=PATIENCE, headers={"Origin": it.base})
        self.database = psycopg.connect(it.database, autocommit=True)
        self.database.execute("CREATE EXTENSION IF NOT EXISTS pg_stat_statements")
        _until_it_answers(self.client)
        it.deep = it.deep or self._middle()

    def everything(self) -> dict[str, Cost]:
        costs = {}
        for what, ask, warm, times in (*self._reads(), *self._writes()):
            history = self._history()
            costs[what] = self._cost(ask, warm, times)
            if what == f"create {BATCH}":
                self.kept = (self._history() - history) / (warm + times) / BATCH
            print(f"  {self.system.name} {self.it.size:,} {what}: {costs[what]}", file=sys.stderr, flush=True)
        if isinstance(self.system, Portal):
            costs |= self._blast()
        return costs

    def _history(self) -> int:
        """Bytes of what the system keeps of changes, its indexes included."""
        (size,) = self.database.execute("SELECT pg_total_relation_size(%s::regclass)", [self.system.written]).fetchone()
        return int(size)

    def _reads(self) -> Iterator[Case]:
        system, it = self.system, self.it
        for what, template in system.reads.items():
            yield what, self._get(template, it.all), WARM, 4 if "1000" in what else TIMES
        for what in (name for name in HALVED if name in system.reads):
            yield f"{what}, sees half", self._get(system.reads[what], it.half), WARM, TIMES
        for what, template in system.pages.items():
            yield what, self._get(template, it.person), WARM, TIMES
        for what in system.halves:
            yield f"{what}, sees half", self._get(system.pages[what], it.half_person), WARM, TIMES
        for what, template in system.palette.items():
            yield what, self._get(template, it.person | system.fragment), WARM, TIMES
            yield f"{what}, sees half", self._get(template, it.half_person | system.fragment), WARM, TIMES

    def _writes(self) -> Iterator[Case]:
        system, it = self.system, self.it
        warm, batches = system.batches
        yield "create one", lambda n: (*system.create(fresh(n)), it.all), WARM, TIMES
        yield "change one", lambda n: (*system.change(it.ids[n], f"changed {n} {time.time()}"), it.all), WARM, TIMES
        many = [[fresh(batch * BATCH + n) for n in range(1, BATCH + 1)] for batch in range(warm + batches)]
        yield f"create {BATCH}", lambda n: (*system.create_many(many[n]), it.all), warm, batches
        if system.upsert_many(many[0]):
            yield (
                f"upsert {BATCH}",
                lambda n: (*(system.upsert_many(_changed(many[n], n)) or ()), it.all),
                warm,
                batches,
            )

    def _get(self, template: str, signed: dict[str, str]) -> Ask:
        def ask(number: int) -> tuple[str, str, Any, dict[str, str]]:
            facts = estate.record(number % len(self.it.ids) + 1)
            name = facts["name"]
            more = {"id": self.it.ids[number % len(self.it.ids)], "deep": self.it.deep, "tag": facts["tags"][0]}
            more["link"] = self.it.links[number % len(self.it.links)] if self.it.links else ""
            more["middle"] = self.it.middle
            more |= {"number": number % len(self.it.ids) + 1, "start": name[:-4], "slip": f"q{name}"}
            return "GET", template.format(**facts, **more).replace(" ", "%20"), None, signed

        return ask

    def _cost(self, ask: Ask, warm: int, times: int) -> Cost:
        with ThreadPoolExecutor(WARM) as at_once:  # so that each of the web processes has seen it
            list(at_once.map(lambda number: self._send(*ask(number)), range(warm)))
        self._until_idle()
        with self._jobs_held(ask(0)[0] != "GET"):
            self.database.execute("SELECT pg_stat_statements_reset()")
            before = self._spent()
            took = [self._send(*ask(warm + number)) for number in range(times)]
            spent = {name: value - before[name] for name, value in self._spent().items()}
            calls, milliseconds = self._statements()
        return Cost(
            calls / times, milliseconds / times, 1000 * spent["app"] / times, 1000 * spent["db"] / times,
            statistics.median(ms for ms, _ in took), statistics.median(size for _, size in took) / 1000,
            self._later(times),
        )  # fmt: skip

    @contextmanager
    def _jobs_held(self, hold: bool) -> Iterator[None]:
        """Let no job begin during the block; the queue takes what comes."""
        jobs = self.it.processes.get("jobs") if hold else None
        if jobs:
            jobs.suspend()
        try:
            yield
        finally:
            if jobs:
                jobs.resume()

    def _later(self, times: int) -> tuple[float, float]:
        if "jobs" not in self.it.processes:
            return 0, 0
        self.database.execute("SELECT pg_stat_statements_reset()")
        before = self._spent()
        self._until_idle()
        seconds = sum(value - before[name] for name, value in self._spent().items())
        return self._statements()[0] / times, 1000 * seconds / times

    def _until_idle(self) -> None:
        """Return when no job waits or runs."""
        if query := self.system.waiting:
            wait_until(lambda: not self.database.execute(query).fetchone()[0], "jobs never ended", PATIENCE, pause=0.5)

    def _statements(self) -> tuple[float, float]:
        """Statements since the last reset, and their milliseconds."""
        calls, milliseconds = self.database.execute(COUNT).fetchone() or (0, 0)
        return float(calls), float(milliseconds)

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
