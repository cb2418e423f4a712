"""Constant open-loop load: a request leaves at each tick, whether or not the earlier ones have been answered."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from typing import Self

import httpx


class Load:
    """`with Load(url) as load: …` sends about `rate` requests a second, GET and POST in turn, over kept connections."""

    def __init__(self, url: str, rate: float = 50.0) -> None:
        self.url, self.rate = url, rate
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
            answer = await client.request(method, self.url)
        except httpx.HTTPError as error:
            self.failures.append(f"{method} {error!r}")
            return
        if answer.status_code != 200:
            self.failures.append(f"{method} {answer.status_code} {answer.text[:100]}")
        self.results[answer.text[:40]] += 1
