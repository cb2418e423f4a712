"""Constant open-loop load: a request leaves at each tick, whether or not the earlier ones have been answered.

It speaks HTTP/1.1 by itself: a client library costs several times as much per request as the edge that is measured.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

SECONDS = 15.0


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (lower-case names) and body of one answer."""

    status: int
    headers: dict[str, str]
    text: str


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
        right: Callable[[Answer], bool] = lambda answer: answer.status == 200,
    ) -> None:
        parts = urlsplit(url)
        self.host, self.port, self.path = parts.hostname, parts.port, parts.path
        self.rate, self.repeats, self.right = rate, repeats, right
        self.results: Counter[str] = Counter()
        self.failures: list[str] = []
        self._idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []
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
        sent, begun, tasks = 0, time.monotonic(), set()
        while not self._stop.is_set():
            task = asyncio.create_task(self._one("POST" if sent % 2 else "GET"))
            tasks.add(task)
            task.add_done_callback(tasks.discard)
            sent += 1
            await asyncio.sleep(max(0.0, begun + sent / self.rate - time.monotonic()))
        if tasks:
            await asyncio.wait(tasks)
        for _, writer in self._idle:
            writer.close()
            await writer.wait_closed()

    async def _one(self, method: str) -> None:
        try:
            async with asyncio.timeout(SECONDS):
                answer = await self._answered(method)
        except (OSError, EOFError, ValueError, TimeoutError) as error:
            self.failures.append(f"{method} {error!r}")
            return
        if not self.right(answer):
            self.failures.append(f"{method} {answer.status} {answer.text[:100]}")
        self.results[answer.text[:40]] += 1

    async def _answered(self, method: str) -> Answer:
        while self._idle:
            reader, writer = self._idle.pop()
            if reader.at_eof() or writer.is_closing():  # the server has closed it while it was idle
                writer.close()
                continue
            try:
                return await self._asked(method, reader, writer)
            except (ConnectionError, EOFError):
                if not self.repeats:
                    raise
                break
        return await self._asked(method, *await asyncio.open_connection(self.host, self.port))

    async def _asked(self, method: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Answer:
        kept = False
        try:
            length = "Content-Length: 0\r\n" if method == "POST" else ""
            writer.write(f"{method} {self.path} HTTP/1.1\r\nHost: {self.host}:{self.port}\r\n{length}\r\n".encode())
            head, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            pairs = (line.partition(":") for line in lines if line)
            headers = {name.lower(): value.strip() for name, _, value in pairs}
            body = await self._body(reader, headers)
            kept = headers.get("connection", "").lower() != "close"
            return Answer(int(head.split()[1]), headers, body.decode(errors="replace"))
        finally:
            if kept:
                self._idle.append((reader, writer))
            else:
                writer.close()

    @staticmethod
    async def _body(reader: asyncio.StreamReader, headers: dict[str, str]) -> bytes:
        if headers.get("transfer-encoding") != "chunked":
            return await reader.readexactly(int(headers["content-length"]))
        body = b""
        while size := int(await reader.readuntil(b"\r\n"), 16):
            body += (await reader.readexactly(size + 2))[:-2]
        await reader.readexactly(2)
        return body
