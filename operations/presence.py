"""Presence of workers: each says every few seconds which queues it serves, so that a dead queue shows.

A broker may be up and full of messages that nobody takes. Only what workers write themselves tells.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import structlog
from celery.signals import worker_ready, worker_shutdown
from django.core.cache import cache
from django.db import Error, close_old_connections, connection
from django.db.models import Max

from operations.models import Worker
from portal import clock

log = structlog.get_logger(__name__)
EVERY_SECONDS = 5.0
ABSENT_AFTER = timedelta(seconds=20)
FORGOTTEN_AFTER = timedelta(days=7)


@dataclass(frozen=True)
class Unserved:
    """A queue for which operations wait and which no worker serves: since when, or never (None), and how many wait."""

    queue: str
    since: datetime | None
    waiting: int


def present(name: str, queues: list[str], *, begins: bool = False) -> None:
    """Worker ``name`` is there and serves ``queues``; ``begins``: from now on."""
    now = clock.now()
    seen: dict[str, Any] = {"queues": sorted(queues), "seen_at": now}
    defaults = seen | ({"started_at": now} if begins else {})
    Worker.objects.update_or_create(name=name, defaults=defaults, create_defaults=seen | {"started_at": now})
    Worker.objects.filter(seen_at__lt=now - FORGOTTEN_AFTER).delete()


_UNSERVED = """
    SELECT queue, seen.at, COALESCE(waits.number, 0)
    FROM (SELECT unnest(queues) AS queue, max(seen_at) AS at FROM operations_worker GROUP BY 1) AS seen
    FULL JOIN (
        SELECT queue, count(*) AS number FROM operations_operation
        WHERE state IN ('queued', 'running', 'undoing')
            AND (lease_until IS NULL OR lease_until <= %(now)s) AND (not_before IS NULL OR not_before <= %(now)s)
        GROUP BY 1
    ) AS waits USING (queue)
    WHERE seen.at IS NULL OR seen.at < %(absent)s
    ORDER BY queue
"""


def unserved() -> list[Unserved]:
    """Queues that nobody has served for 20 seconds, and those that nobody ever served and something waits in."""
    now = clock.now()
    with connection.cursor() as cursor:
        cursor.execute(_UNSERVED, {"now": now, "absent": now - ABSENT_AFTER})
        return [Unserved(*row) for row in cursor.fetchall()]


def lately_unserved() -> list[Unserved]:
    """``unserved`` as it was at most five seconds ago, for lists that are asked for all the time."""
    return cache.get_or_set("operations.unserved", unserved, EVERY_SECONDS) or []


def last_seen(queue: str) -> datetime | None:
    """When a worker last said that it serves ``queue``; None when none ever did."""
    found: datetime | None = Worker.objects.filter(queues__contains=[queue]).aggregate(at=Max("seen_at"))["at"]
    return found


def served(queue: str) -> bool:
    """Whether a worker said within the last 20 seconds that it serves ``queue``."""
    at = last_seen(queue)
    return at is not None and at >= clock.now() - ABSENT_AFTER


@worker_ready.connect
def _begin(sender: Any, **_: Any) -> None:
    """In a worker's main process: say so now and every few seconds, on the worker's own timer."""
    _say(sender, begins=True)
    sender.timer.call_repeatedly(EVERY_SECONDS, _say, (sender,))


@worker_shutdown.connect
def _end(sender: Any, **_: Any) -> None:
    """A worker that is stopped on purpose leaves at once; one that is killed is missed after 20 seconds."""
    try:
        Worker.objects.filter(name=sender.hostname).update(seen_at=clock.now() - ABSENT_AFTER)
    except Error:
        log.warning("worker_presence_unknown", worker=sender.hostname)


def _say(consumer: Any, *, begins: bool = False) -> None:
    queues = [queue.name for queue in consumer.task_consumer.queues] if consumer.task_consumer else []
    close_old_connections()
    try:
        present(consumer.hostname, queues, begins=begins)
    except Error as error:  # the next beat says it again
        log.warning("worker_presence_unknown", worker=consumer.hostname, error=str(error))
        connection.close()
