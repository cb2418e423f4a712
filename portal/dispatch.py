"""Work outside the request: nudges by task name, and reconcilers on a timer.

A message is only a hint. Whoever loses one loses time, never work: the reconciler's
timer, or the operations sweeper, finds the row again.
"""

from __future__ import annotations

import functools
import os
import time
import zlib
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import structlog
from celery import shared_task
from django.conf import settings
from django.db import connection, transaction
from kombu.exceptions import OperationalError

from portal import clock
from portal.celery import app

log = structlog.get_logger(__name__)
AWAY_SECONDS = 2.0


def nudge(task: str, *args: Any, queue: str = "default") -> None:
    """After commit, ask a worker to run ``task`` (a registered name) with ids as ``args``.

    A broker that is down is logged, never raised, and nobody waits for it: what must happen stands in a row.
    """
    transaction.on_commit(functools.partial(_send, task, args, queue))


def _send(task: str, args: tuple[Any, ...], queue: str) -> None:
    if settings.CELERY_TASK_ALWAYS_EAGER:
        app.tasks[task].apply(args=tuple(str(arg) for arg in args))
        return
    _sender(os.getpid()).submit(_hand_over, task, [str(arg) for arg in args], queue)


@functools.cache
def _sender(pid: int) -> ThreadPoolExecutor:
    """This process's one thread for nudges: the client tries a broker that refuses for six seconds, no request does."""
    return ThreadPoolExecutor(1, thread_name_prefix="nudge")


_away_until = 0.0


def _hand_over(task: str, args: list[str], queue: str) -> None:
    """Send one nudge. For a moment after a failure the others are dropped, so that they do not pile up behind it."""
    global _away_until
    if time.monotonic() < _away_until:
        log.debug("nudge_lost", task=task, error="The broker was away a moment ago.")
        return
    try:
        app.send_task(task, args=args, queue=queue, retry=False)
    except (OperationalError, OSError, RuntimeError) as error:
        _away_until = time.monotonic() + AWAY_SECONDS
        log.warning("nudge_lost", task=task, error=str(error))


Body = Callable[[], int | None]
reconcilers: dict[str, float] = {}


def reconciler(name: str, *, every: float, queue: str = "default") -> Callable[[Body], Any]:
    """Declare a reconciler: no arguments, idempotent, returns how many rows it changed.

    It becomes the Celery task ``name``, runs each ``every`` seconds and on ``nudge(name)``, one at a
    time over the whole estate (advisory lock), and its last run is shown on the status page.
    """

    def declare(body: Body) -> Any:
        reconcilers[name] = every

        def tick() -> int:  # Celery wants a function with a name, which a partial has not
            return run(name, body)

        task = shared_task(name=name, ignore_result=True)(tick)
        # A tick that waited longer than two periods is worthless: the next one is already there.
        app.conf.beat_schedule[name] = {
            "task": name,
            "schedule": every,
            "options": {"queue": queue, "expires": max(2 * every, 2)},
        }
        return task

    return declare


def run(name: str, body: Body) -> int:
    """Run ``body`` unless another process is at it; keep how it went. Returns the rows it changed."""
    key = zlib.crc32(name.encode())
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_try_advisory_lock(%s)", [key])
        if not cursor.fetchone()[0]:
            return 0
    started = clock.now()
    try:
        changed = body() or 0
    except Exception as error:
        log.exception("reconciler_failed", reconciler=name)
        _remember(name, started_at=started, finished_at=clock.now(), error=repr(error)[:2000])
        raise
    finally:
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_advisory_unlock(%s)", [key])
    done = clock.now()
    _remember(name, started_at=started, finished_at=done, succeeded_at=done, changed=changed, error="")
    return changed


def _remember(name: str, **facts: Any) -> None:
    """Keep how the last run went. That happens several times a second, so it is one statement once the row is there."""
    from portal.models import ReconcilerRun

    ReconcilerRun.objects.filter(name=name).update(**facts) or ReconcilerRun.objects.get_or_create(facts, name=name)
