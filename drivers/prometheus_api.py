"""The HTTP APIs of Prometheus and Alertmanager: credentials by reference, limits on time and size, failures told apart.

Both products are asked in the same way and protected in the same way (exporter-toolkit's web configuration, or a proxy
in front): basic authentication, or a bearer token.
"""

from __future__ import annotations

import json
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from drivers import names
from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.secret import SecretStore

CONNECT_SECONDS = 2.0
READ_SECONDS = 10.0
MAX_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Reply:
    """Status and body of one answer."""

    status: int
    text: str

    @property
    def says(self) -> str:
        """What it says of a failure: the `error` or `message` of a JSON body, or the text; at most 300 characters."""
        try:
            body = json.loads(self.text)
        except ValueError:
            body = self.text
        if isinstance(body, dict):
            body = body.get("error") or body.get("message") or self.text
        return str(body).strip()[:300]


class Endpoint:
    """One server by its address.

    `facts`: `url`, and optionally `username` with `password`, or `token` (both secret references), and `ca` (file of a
    private certificate authority). `transport` stands in for the network.
    """

    def __init__(
        self, facts: Mapping[str, Any], secrets: SecretStore, transport: httpx.BaseTransport | None = None
    ) -> None:
        self.url = names.url(facts["url"]).rstrip("/")
        self._facts = facts
        self._secrets = secrets
        self._transport = transport
        if "token" in facts and "password" in facts:
            raise InvalidInput("a connection has a token or a password, not both")
        if ("username" in facts) != ("password" in facts):
            raise InvalidInput("a user name and a password belong together")

    def json(self, method: str, path: str, **sent: Any) -> Any:
        """The JSON body of a good answer.

        `sent` is what httpx takes: `params`, `data` (a form) or `json`. 4xx is a `PermanentError` with what the server
        says, 5xx a `TransientError`.
        """
        reply = self.ask(method, path, **sent)
        where = f"{self.url}{path}"
        if reply.status >= 500:
            raise TransientError(f"{where} answered {reply.status}: {reply.says}")
        if reply.status != 200:
            raise PermanentError(f"{where} answered {reply.status}: {reply.says}")
        try:
            return json.loads(reply.text)
        except ValueError:
            raise TransientError(f"{where} did not answer with JSON") from None

    def ask(self, method: str, path: str, **sent: Any) -> Reply:
        """One request on a connection of its own; any status but 401 is an answer."""
        where = f"{self.url}{path}"
        try:
            with self._client() as client, client.stream(method, where, **sent) as response:
                reply = Reply(response.status_code, self._body(response, where))
        except httpx.HTTPError as error:
            raise TransientError(f"{self.url} does not answer: {error or type(error).__name__}") from None
        if reply.status == 401:
            raise PermanentError(f"{self.url} refuses these credentials")
        return reply

    def _client(self) -> httpx.Client:
        headers, basic = {"Connection": "close"}, None
        if "token" in self._facts:
            headers["Authorization"] = f"Bearer {self._secrets.resolve(self._facts['token']).reveal()}"
        if "password" in self._facts:
            basic = (str(self._facts["username"]), self._secrets.resolve(self._facts["password"]).reveal())
        limits = httpx.Timeout(READ_SECONDS, connect=CONNECT_SECONDS)
        return httpx.Client(
            timeout=limits,
            trust_env=False,
            verify=self._trust(),
            headers=headers,
            auth=basic,
            transport=self._transport,
        )

    def _trust(self) -> ssl.SSLContext | bool:
        if not self.url.startswith("https:"):
            return False  # loading the certificate store for a plain address would be pure cost
        ca = self._facts.get("ca")
        try:
            return ssl.create_default_context(cafile=str(names.path(ca)) if ca is not None else None)
        except OSError as error:
            raise PermanentError(f"the certificate authority {ca} cannot be read: {error}") from None

    @staticmethod
    def _body(response: httpx.Response, where: str) -> str:
        body, until = bytearray(), time.monotonic() + READ_SECONDS
        for chunk in response.iter_bytes():
            body += chunk
            if len(body) > MAX_BYTES:
                raise PermanentError(f"{where} answers with more than {MAX_BYTES} bytes; ask for less")
            if time.monotonic() > until:
                raise TransientError(f"{where} did not finish its answer within {READ_SECONDS:g} seconds")
        return body.decode(errors="replace")
