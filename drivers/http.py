"""A plain HTTP check: does the address answer as expected, how fast, and how long does its certificate last."""

from __future__ import annotations

import socket
import ssl
from datetime import UTC, datetime
from typing import Any, ClassVar
from urllib.parse import urlsplit

from cryptography import x509

from drivers import names, web
from drivers.base import Driver, Observation
from drivers.errors import InvalidInput, PermanentError, TransientError

EXPIRES_SOON_DAYS = 14


class HttpCheck(Driver):
    """Facts: `url`; optionally `expect` (list of good statuses, default [200]) and `ca` (file with a private CA)."""

    kind: ClassVar[str] = "http"
    required: ClassVar[tuple[str, ...]] = ("url",)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.url = names.url(self.facts["url"])
        expect = self.facts.get("expect", [200])
        if not isinstance(expect, list) or not expect:
            raise InvalidInput("expect must be a list of HTTP statuses")
        self.expect = [names.whole(status, 100, 599, "HTTP status") for status in expect]

    def observe(self) -> Observation:
        """Status, latency and, for https, the days until the certificate ends (negative when it has ended).

        Healthy means: an expected status over a connection whose certificate is trusted. Redirects are not followed.
        """
        facts: dict[str, Any] = {"url": self.url}
        readings: dict[str, float] = {}
        try:
            self._certificate(facts, readings)
            answer = web.get(self.url, seconds=5.0, trust=self._trust())
        except TransientError as error:
            return self.seen(False, {**facts, "error": str(error)[:500]}, readings)
        facts |= {"status": answer.status, "server": answer.headers.get("server")}
        readings |= {"latency_seconds": answer.seconds, "status": float(answer.status)}
        if answer.status not in self.expect:
            facts["error"] = f"answered {answer.status} instead of {', '.join(map(str, self.expect))}"
        return self.seen(answer.status in self.expect, facts, readings)

    def _trust(self) -> ssl.SSLContext | None:
        if not self.url.startswith("https:"):
            return None
        ca = self.facts.get("ca")
        try:
            return ssl.create_default_context(cafile=str(names.path(ca)) if ca is not None else None)
        except OSError as error:
            raise PermanentError(f"the certificate authority {ca} cannot be read: {error}") from None

    def _certificate(self, facts: dict[str, Any], readings: dict[str, float]) -> None:
        """Read the certificate on a connection of its own that trusts anybody: an expired one must be reported too."""
        parts = urlsplit(self.url)
        if parts.scheme != "https" or parts.hostname is None:
            return
        reader = ssl.create_default_context()
        reader.check_hostname, reader.verify_mode = False, ssl.CERT_NONE
        try:
            with (
                socket.create_connection((parts.hostname, parts.port or 443), timeout=2.0) as plain,
                reader.wrap_socket(plain, server_hostname=parts.hostname) as link,
            ):
                shown = link.getpeercert(binary_form=True)
        except OSError as error:
            raise TransientError(f"{self.url} does not answer: {error}") from None
        if shown is None:
            raise TransientError(f"{self.url} shows no certificate")
        certificate = x509.load_der_x509_certificate(shown)
        ends = certificate.not_valid_after_utc
        readings["certificate_days"] = round((ends - datetime.now(UTC)).total_seconds() / 86400, 2)
        facts["certificate"] = {
            "subject": certificate.subject.rfc4514_string(),
            "ends": ends.isoformat(),
            "ends_soon": readings["certificate_days"] < EXPIRES_SOON_DAYS,
        }
