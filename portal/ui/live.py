"""Live updates: one listening connection per process, passed on to every open browser.

A stream carries names of topics only. The browser then asks for the fragment, and that request is authorised as usual.
"""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import AsyncIterator, Iterable
from typing import Any
from weakref import WeakKeyDictionary

import psycopg
import structlog
from django.db import connection

from portal.errors import Invalid

log = structlog.get_logger(__name__)
TOPIC = re.compile(r"[a-z_]+\.[a-z_]+(:[\w.-]{1,64})?")
MOST_TOPICS = 100
BACKLOG = 200
KEEP_ALIVE_SECONDS = 15
# Then the browser comes again, and shows anew that it is signed in.
LIFETIME_SECONDS = 600
AGAIN = "event: again\ndata: {}\n\n"


class Hub:
    """Hears ``NOTIFY portal`` for one event loop and fills the queue of each open stream. ``None`` ends a stream."""

    def __init__(self) -> None:
        self.queues: set[asyncio.Queue[str | None]] = set()
        self.ready = asyncio.Event()
        self.hearing: asyncio.Task[None] | None = None

    def join(self) -> asyncio.Queue[str | None]:
        queue: asyncio.Queue[str | None] = asyncio.Queue(BACKLOG)
        self.queues.add(queue)
        if self.hearing is None or self.hearing.done():
            self.ready.clear()
            self.hearing = asyncio.create_task(self._hear())
        return queue

    def leave(self, queue: asyncio.Queue[str | None]) -> None:
        self.queues.discard(queue)
        if not self.queues and self.hearing:
            self.hearing.cancel()
            self.hearing = None

    async def _hear(self) -> None:
        try:
            async with await psycopg.AsyncConnection.connect(**database_address(), autocommit=True) as link:
                await link.execute("LISTEN portal")
                self.ready.set()
                async for notice in link.notifies():
                    self._tell(notice.payload)
        except psycopg.Error as error:
            log.warning("live_updates_lost", error=str(error))
        finally:
            self.ready.set()
            self._tell(None)

    def _tell(self, topic: str | None) -> None:
        for queue in self.queues:
            if queue.full():
                # Too slow to hear everything: it is told once to fetch everything.
                while not queue.empty():
                    queue.get_nowait()
                queue.put_nowait("")
            queue.put_nowait(topic)


_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, Hub] = WeakKeyDictionary()


def database_address() -> dict[str, Any]:
    """Where Django's database is, for a connection beside the pool."""
    facts = connection.get_connection_params()
    return {name: facts[name] for name in facts if name not in ("client_encoding", "cursor_factory", "context")}


def wanted(names: Iterable[str]) -> set[str]:
    """The topics asked for: ``app.noun`` or ``app.noun:key``. Raises ``Invalid`` for none, too many, or nonsense."""
    topics = set(names)
    if not 0 < len(topics) <= MOST_TOPICS or not all(TOPIC.fullmatch(topic) for topic in topics):
        raise Invalid(f"Name 1 to {MOST_TOPICS} topics, such as “incidents.incident” or “incidents.incident:<id>”.")
    return topics


async def stream(topics: set[str], lifetime: float = LIFETIME_SECONDS) -> AsyncIterator[str]:
    """Server-sent events for ``topics``, from when the database is listened to until ``lifetime`` seconds later.

    Who listens to a whole noun is told its name only, never the keys of rows that may be none of their business.
    """
    hub = _hubs.setdefault(asyncio.get_running_loop(), Hub())
    queue = hub.join()
    end = asyncio.get_running_loop().time() + lifetime
    try:
        await hub.ready.wait()
        yield "event: ready\ndata: {}\n\n"
        while (left := end - asyncio.get_running_loop().time()) > 0:
            try:
                topic = await asyncio.wait_for(queue.get(), min(KEEP_ALIVE_SECONDS, left))
            except TimeoutError:
                yield ": still here\n\n"
                continue
            if topic is None:
                return
            if topic == "":
                yield AGAIN
            for name in {topic, topic.partition(":")[0]} & topics:
                yield f"event: change\ndata: {json.dumps({'topic': name})}\n\n"
    finally:
        hub.leave(queue)
