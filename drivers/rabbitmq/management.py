"""The management API (rabbitmq.com/docs/management, `/api/index.html` on every broker): one bounded request each."""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote

import httpx

from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.secret import Secret

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
WHOLE_SECONDS = 20.0
_MAX_BYTES = 16 * 1024 * 1024


def path(*parts: str) -> str:
    """The address of something below `/api`, each part quoted whole: the virtual host `/` is `%2F`.

    `.` and `..` cannot be quoted (RFC 3986, 6.2.2.3): they would name something else, so they are refused.
    """
    if any(part in (".", "..") for part in parts):
        raise InvalidInput("a name cannot be . or ..")
    return "/api/" + "/".join(quote(part, safe="") for part in parts)


class Management:
    """Requests as one user. `transport` replaces the network in a simulation."""

    def __init__(
        self,
        url: str,
        user: str,
        password: Secret,
        trust: ssl.SSLContext | None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self.url = url.rstrip("/")
        self._client: dict[str, Any] = {
            "auth": (user, password.reveal()),
            "timeout": httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS),
            "trust_env": False,
            "verify": trust if trust is not None else not url.startswith("http://"),
            "transport": transport,
        }

    def get(self, *parts: str, **query: str) -> Any:
        """What is there as JSON; None when there is nothing of that name."""
        return self._ask("GET", parts, query=query)

    def put(self, *parts: str, content: Mapping[str, Any]) -> None:
        """Create or replace."""
        self._ask("PUT", parts, content=content)

    def delete(self, *parts: str, reason: str = "") -> None:
        """Remove; fine when it is gone already."""
        self._ask("DELETE", parts, headers={"X-Reason": reason} if reason else {})

    def _ask(
        self,
        method: str,
        parts: tuple[str, ...],
        query: Mapping[str, str] | None = None,
        content: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
    ) -> Any:
        address = self.url + path(*parts)
        try:
            with (
                httpx.Client(**self._client) as client,
                client.stream(method, address, params=query or {}, json=content, headers=headers) as answer,
            ):
                body = self._whole(answer)
        except (httpx.HTTPError, OSError) as error:
            raise TransientError(f"{self.url} does not answer: {error or type(error).__name__}") from None
        return self._judged(answer.status_code, body, " ".join(parts))

    def _whole(self, answer: httpx.Response) -> bytes:
        body, limit = b"", time.monotonic() + WHOLE_SECONDS
        for chunk in answer.iter_bytes():
            body += chunk
            if len(body) > _MAX_BYTES or time.monotonic() > limit:
                raise TransientError(f"{self.url} did not finish its answer")
        return body

    def _judged(self, status: int, body: bytes, about: str) -> Any:
        if status == 404:
            return None
        try:
            content = json.loads(body) if body else {}
        except ValueError:
            raise TransientError(f"{self.url} gave half an answer, or is no RabbitMQ (status {status})") from None
        if status < 300:
            return content
        reason = str(content.get("reason", "") if isinstance(content, dict) else "")[:300]
        if status == 401:
            raise PermanentError(f"{self.url} refuses these credentials: {reason}")
        kind = TransientError if status >= 500 or status in (408, 429) else PermanentError
        raise kind(f"{self.url} refuses {about[:100]} (status {status}): {reason}")
