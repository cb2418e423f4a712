"""One bounded HTTP GET: limits on connecting, on silence, on the whole, and on the size of the answer."""

from __future__ import annotations

import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass

import httpx

from drivers import names
from drivers.errors import TransientError

_MAX_BYTES = 256 * 1024
_NONE = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
"""For plain http, which asks nobody for a certificate: to make one for each answer would cost more than asking."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Status, headers (lower-case names), body (at most 256 KiB) and seconds from request to last byte."""

    status: int
    headers: dict[str, str]
    body: str
    seconds: float


def get(
    url: str, *, seconds: float = 5.0, trust: ssl.SSLContext | None = None, headers: Mapping[str, str] | None = None
) -> Answer:
    """GET `url` on a fresh connection, without proxy, redirect or credentials from the environment.

    `TransientError` when it does not answer within `seconds` in all; any HTTP status is an answer. `trust` decides
    which certificates are good; without it an https address is checked against the system's authorities.
    """
    begun = time.monotonic()
    verify = _NONE if url.startswith("http://") else trust or True
    limits = httpx.Timeout(seconds, connect=min(2.0, seconds))
    try:
        with (
            httpx.Client(timeout=limits, trust_env=False, verify=verify) as client,
            client.stream("GET", names.url(url), headers={**(headers or {}), "Connection": "close"}) as response,
        ):
            body = b""
            for chunk in response.iter_bytes():
                body += chunk
                if len(body) >= _MAX_BYTES:
                    break
                if time.monotonic() - begun > seconds:
                    raise TransientError(f"{url} did not finish its answer within {seconds:g} seconds")
            text = body[:_MAX_BYTES].decode(errors="replace")
            return Answer(response.status_code, dict(response.headers), text, time.monotonic() - begun)
    except httpx.HTTPError as error:
        raise TransientError(f"{url} does not answer: {error or type(error).__name__}") from None
