"""Constant open-loop load: a request leaves at each tick, whether or not the earlier ones have been answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from typing import Self

import httpx


class Load:
    """`with Load(url) as load: …` sends about `rate` requests a second, GET and POST in turn, over kept connections.

    A server that is about to go closes its idle connections, and a request may just have left on one of them. With
    `repeats` it is sent once more on a new connection, as browsers do (RFC 9112, 9.5); without, it is a failure.
    An answer is a failure unless it is `right`, by default unless its status is 200.
    """

    def __init__(
        self,
        url: str,
        rate: float = 50.0,
        *,
        repeats: bool = False,
        right: Callable[[httpx.Response], bool] = lambda answer: answer.status_code == 200,
    ) -> None:
        self.url, self.rate, self.repeats, self.right = url, rate, repeats, right
        self.results: Counter[str] = Counter()
        self.failures: list[str] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)

    def seen(self, *bodies: str) -> None:
        """Wait until at least ten more answers begin with each of these bodies."""
        before = Counter(self.results)
        deadline = time.monotonic() + 30
        while any(self.results[body] < before[body] + 10 for body in bodies):
            assert time.monotonic() < deadline, self.results
            time.sleep(0.02)

    async def _run(self) -> None:
        limits = httpx.Limits(max_connections=20, max_keepalive_connections=20)
        async with httpx.AsyncClient(timeout=15, limits=limits, trust_env=False) as client:
            sent, begun, tasks = 0, time.monotonic(), set()
            while not self._stop.is_set():
                task = asyncio.create_task(self._one(client, "POST" if sent % 2 else "GET"))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
                sent += 1
                await asyncio.sleep(max(0.0, begun + sent / self.rate - time.monotonic()))
            if tasks:
                await asyncio.wait(tasks)

    async def _one(self, client: httpx.AsyncClient, method: str) -> None:
        try:
            answer = await self._answered(client, method)
        except httpx.HTTPError as error:
            self.failures.append(f"{method} {error!r}")
            return
        if not self.right(answer):
            self.failures.append(f"{method} {answer.status_code} {answer.text[:100]}")
        self.results[answer.text[:40]] += 1

    async def _answered(self, client: httpx.AsyncClient, method: str) -> httpx.Response:
        try:
            return await client.request(method, self.url)
        except httpx.RemoteProtocolError:
            if not self.repeats:
                raise
        async with httpx.AsyncClient(timeout=15, trust_env=False) as anew:
            return await anew.request(method, self.url)
