"""A long queue: what 10,000 waiting operations cost those who look, the sweeper, and the operations that could run."""

from __future__ import annotations

import time
from datetime import timedelta
from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from uuid_utils.compat import uuid7

from bench import plans
from bench.engine import FEW, PARALLEL, THREADS, employed, idle, spread, timed, until_ended
from bench.stage import Stage
from bench.table import show
from operations import actions, reconcile
from operations.models import Operation, Step
from portal import clock, events
from tests import world

LENGTHS = (10, 10_000)
TARGETS = 40
TIMES = 20
SWEEPS = 30
PATIENCE_SECONDS = 120
SINGLE = {"id", "number", "row_version"}


def measure(it: Stage) -> None:
    """Print everything about the queue. No worker may run before."""
    owner = world.account("owner", "operations_owner", ("*", "*"))
    browser = Client(headers={"host": "127.0.0.1"})
    browser.force_login(owner, backend="identity.backends.ScopeBackend")
    machine = Client(headers={"host": "127.0.0.1", "authorization": f"Bearer {world.token(owner)}"})
    looked: dict[str, list[tuple[float, float, int]]] = {}
    swept = []
    model = _model(it)
    for length in LENGTHS:
        _lengthen(model, length)
        newest = Operation.objects.filter(state="queued").first()
        assert newest is not None
        for who, path, key in (
            (browser, "/operations/", ""),
            (browser, "/operations/?open=true", ""),
            (browser, "/operations/{}/", newest.number),
            (machine, "/api/v1/operations/", ""),
            (machine, "/api/v1/operations/?state=queued", ""),
            (machine, "/api/v1/operations/{}/", newest.pk),
        ):
            looked.setdefault(path.format("<last>"), []).append(_look(who, path.format(key)))
        swept.append(_sweep(it, length))
    few, many = LENGTHS
    rows = [(path, a[0], a[1], a[2], b[0], b[1], b[2], b[0] / a[0]) for path, (a, b) in looked.items()]
    head = ("address", f"ms at {few}", "p95", "queries", f"ms at {many:,}", "p95", "queries", "ratio")
    show(f"Pages and lists, {TIMES} requests each inside the process, by operations that wait", head, rows)
    head = ("waiting", "all due: ms", "sent", "until the broker has them ms", "none due: ms", "queries")
    show("One sweep", head, swept)
    _reach()
    _beside(it)


def _model(it: Stage) -> Operation:
    """One that waits, made by the verb; the others are copies of it."""
    component = world.component("staging/us-central/waits-0", service="api")
    params = {"folder": str(it.folder), "steps": 3}
    return actions.request(plans.IDLE, component, by=events.SYSTEM, params=params)


def _copy(model: Operation, number: int, **facts: Any) -> Operation:
    """The same for another target, on which ``facts["state"]`` may hold it up."""
    same = {field.attname: getattr(model, field.attname) for field in Operation._meta.concrete_fields}
    kept = {name: value for name, value in same.items() if name not in SINGLE}
    target = f"staging/us-central/waits-{number % TARGETS}"
    return Operation(**(kept | {"target": target, "subject_label": target, "created_at": clock.now()} | facts))


def _lengthen(model: Operation, length: int) -> None:
    """So many wait, each with three steps, over 40 targets."""
    there = Operation.objects.filter(state="queued").count()
    made = [_copy(model, number) for number in range(there, length)]
    Operation.objects.bulk_create(made, batch_size=1000)
    steps = [
        Step(
            id=uuid7(),
            operation=each,
            position=place,
            act="idle",
            title=f"Idle {place}",
            reversible=True,
            taking_back="Removes it.",
        )
        for each in made
        for place in (1, 2, 3)
    ]
    Step.objects.bulk_create(steps, batch_size=2000)
    with connection.cursor() as cursor:
        cursor.execute("ANALYZE")


def _look(who: Client, path: str) -> tuple[float, float, int]:
    def look() -> None:
        answer = who.get(path)
        assert answer.status_code == 200, (path, answer.status_code, answer.content[:500])

    took = timed(look, TIMES)
    with CaptureQueriesContext(connection) as captured:
        look()
    return *spread(took), len(captured)


def _sweep(it: Stage, length: int) -> tuple[object, ...]:
    """With everything due, and with everything just sent. What is sent goes to the broker in a thread of its own."""
    from redis import Redis

    Operation.objects.filter(state="queued").update(sent_at=None)
    with Redis(port=it.broker.port, password=it.broker.password) as broker:
        broker.flushall()
        begun = time.perf_counter()
        sent = reconcile.sweep()
        took = time.perf_counter() - begun
        while broker.llen("us-central") < sent and time.perf_counter() - begun < 60:
            time.sleep(0.005)
        handed = time.perf_counter() - begun
        broker.flushall()
    Operation.objects.filter(state="queued").update(sent_at=clock.now())
    with CaptureQueriesContext(connection) as captured:
        nothing = min(timed(reconcile.sweep, 3))
    return length, 1000 * took, sent, 1000 * handed, 1000 * nothing, len(captured) // 4


def _reach() -> None:
    """How many of those that wait the sweeper ever comes to, when none of them can begin: a sweep a second."""
    Operation.objects.filter(state="queued").update(sent_at=None)
    sent = 0
    for second in range(SWEEPS):
        with clock.travel(timedelta(seconds=second)):
            sent += reconcile.send_due()
    waiting = Operation.objects.filter(state="queued")
    reached, never = waiting.exclude(sent_at=None).count(), waiting.filter(sent_at=None).count()
    head = ("sweeps", "waiting", "messages sent", "different operations", "never sent")
    show(
        "Sweeps a second apart, while nothing that waits can begin",
        head,
        [(SWEEPS, reached + never, sent, reached, never)],
    )


def _beside(it: Stage) -> None:
    """Operations whose targets are free, beside 10,000 that wait for targets that are not."""
    now = clock.now()
    held = {"state": "stuck", "stuck_reason": "It holds its target.", "started_at": now}
    model = Operation.objects.filter(state="queued").last()
    assert model is not None
    Operation.objects.bulk_create([_copy(model, number, **held) for number in range(TARGETS)])
    Operation.objects.filter(state="queued").update(sent_at=None)
    from redis import Redis

    with Redis(port=it.broker.port, password=it.broker.password) as broker:
        broker.flushall()
        with employed(it, 1, THREADS):
            time.sleep(10)  # ten sweeps
            begun = time.perf_counter()
            asked = [idle(it, FEW) for _ in range(PARALLEL)]
            done = until_ended(asked, PATIENCE_SECONDS)
            wall = time.perf_counter() - begun
            backlog = broker.llen("us-central")
    head = ("waiting for taken targets", "free operations", "done", "wall s", "steps/s", "messages left in the broker")
    row = (LENGTHS[-1], PARALLEL, done, wall, done * FEW / wall, backlog)
    show(
        f"{PARALLEL} operations that could run at once, beside those that wait; one worker of {THREADS} threads",
        head,
        [row],
    )
