"""What the engine costs: per step, in parallel, and beside a long queue. Figures only; nothing is judged."""

from __future__ import annotations

import argparse
import itertools
import statistics
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil

from bench.stage import Stage, Worker, stage, wait_until
from bench.table import show

ALONE, STEPS = 25, 10
PARALLEL, FEW = 50, 5
THREADS = 4
PATIENCE_SECONDS = 180
GOAL_MS = 30
_numbers = itertools.count(1)


def main(_: argparse.Namespace) -> None:
    with stage() as it:
        from bench import plans, queue

        plans.register_all()
        _per_step(it)
        _parallel(it)
        queue.measure(it)


def spread(seconds: list[float]) -> tuple[float, float]:
    """Median and 95th percentile in milliseconds."""
    ordered = sorted(1000 * value for value in seconds)
    return statistics.median(ordered), ordered[min(len(ordered) - 1, int(0.95 * len(ordered)))]


def timed(act: Callable[[], Any], times: int) -> list[float]:
    """Seconds of each of so many calls, after one that warms what is cached per process."""
    act()
    took = []
    for _ in range(times):
        begun = time.perf_counter()
        act()
        took.append(time.perf_counter() - begun)
    return took


def idle(it: Stage, steps: int) -> Any:
    """An operation of so many steps that cost nothing, on a component of its own."""
    from bench import plans
    from operations import actions
    from portal import events
    from tests import world

    name = f"idle-{next(_numbers)}"
    folder = it.folder / name
    folder.mkdir()
    component = world.component(f"staging/us-central/{name}", service="api")
    params = {"folder": str(folder), "steps": steps}
    return actions.request(plans.IDLE, component, by=events.SYSTEM, params=params)


def until_ended(asked: list[Any], seconds: float = PATIENCE_SECONDS) -> int:
    """Wait until all have ended, or so long; how many have."""
    from operations.models import Operation

    rows = Operation.objects.filter(pk__in=[each.pk for each in asked])
    with suppress(TimeoutError):
        wait_until(lambda: not rows.active().exists(), "", seconds, pause=0.02)
    return rows.filter(state="done").count()


@contextmanager
def employed(it: Stage, workers: int, threads: int) -> Iterator[list[Worker]]:
    """Workers for the block."""
    crew = it.employ(workers, threads)
    try:
        yield crew
    finally:
        it.dismiss()


def _per_step(it: Stage) -> None:
    """One operation at a time with one worker that has nothing else to do, and the same without broker and worker."""
    with employed(it, 1, THREADS) as (worker,):
        until_ended([idle(it, 2)])  # the worker's connections are made
        asked = []
        before = processor(worker)
        for _ in range(ALONE):
            asked.append(idle(it, STEPS))
            until_ended(asked[-1:])
        spent = 1000 * (processor(worker) - before) / (ALONE * STEPS)
    first, between, last = _times(asked)
    rows = [
        ("from asking to the end of the first step", len(first), *spread(first), ""),
        (f"each further step (goal: median at most {GOAL_MS})", len(between), *spread(between), f"{spent:.2f}"),
        ("from the last step to the end", len(last), *spread(last), ""),
        ("one step, engine called directly", *_direct(it)),
    ]
    head = ("what, less the act's own time", "times", "ms median", "ms p95", "CPU ms")
    show(f"Overhead: one idle worker of {THREADS} threads, one operation at a time", head, rows)


def processor(worker: Worker) -> float:
    """Seconds of processor time that the worker has used: what a busy machine does not change."""
    times = psutil.Process(worker.pid).cpu_times()
    return times.user + times.system


def _times(asked: list[Any]) -> tuple[list[float], list[float], list[float]]:
    from operations.models import Operation

    first, between, last = [], [], []
    for operation in Operation.objects.filter(pk__in=[each.pk for each in asked]).prefetch_related("steps"):
        steps = sorted(operation.steps.all(), key=lambda step: step.position)
        ends = [operation.created_at, *(step.finished_at for step in steps)]
        own = [step.output["own"] for step in steps]
        spent = [(to - since).total_seconds() - less for since, to, less in zip(ends, ends[1:], own, strict=False)]
        first.append(spent[0])
        between += spent[1:]
        last.append((operation.finished_at - ends[-1]).total_seconds())
    return first, between, last


def _direct(it: Stage) -> tuple[int, float, float, str]:
    from django.db import connection
    from django.test.utils import CaptureQueriesContext

    from operations import engine

    operation = idle(it, 3 * STEPS)
    engine.advance(operation.pk)
    with CaptureQueriesContext(connection) as captured:
        engine.advance(operation.pk)
    statements = [query["sql"].split(None, 1)[0].upper() for query in captured.captured_queries]
    counted = sorted({word: statements.count(word) for word in statements}.items())
    show("Statements of one step", ("statement", "times"), [*counted, ("all", len(statements))])
    took, cpu = [], time.process_time()
    for _ in range(3 * STEPS - 2):
        begun = time.perf_counter()
        engine.advance(operation.pk)
        took.append(time.perf_counter() - begun)
    cpu = (time.process_time() - cpu) / len(took)
    return len(took), *spread(took), f"{1000 * cpu:.2f}"


def _parallel(it: Stage) -> None:
    rows = []
    for workers in (1, 2, 4):
        with employed(it, workers, THREADS):
            until_ended([idle(it, 2) for _ in range(workers * THREADS)])
            begun = time.perf_counter()
            asked = [idle(it, FEW) for _ in range(PARALLEL)]
            told = time.perf_counter() - begun
            done = until_ended(asked)
            wall = time.perf_counter() - begun
        _, between, _ = _times(asked) if done == PARALLEL else ([], [0.0], [])
        rows.append(
            (f"{workers} of {THREADS} threads", done, told, wall, done / wall, done * FEW / wall, *spread(between))
        )
    head = ("workers", "done", "asking s", "wall s", "operations/s", "steps/s", "ms a step median", "p95")
    show(f"{PARALLEL} operations at once, {FEW} steps each, each on a component of its own", head, rows)
