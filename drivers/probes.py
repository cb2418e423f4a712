"""Checks from outside: does a TCP port accept, is a TLS certificate good, does a resolver answer as expected.

They only look. What is wrong with the thing that is probed is a finding in the observation, never an exception.
"""

from __future__ import annotations

import ipaddress
import socket
import ssl
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, ClassVar

import dns.exception
import dns.flags
import dns.message
import dns.query
import dns.rcode
import dns.rdatatype
from cryptography import x509
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes

from drivers import names
from drivers.base import Driver, Observation
from drivers.discovery import Listing, Thing, listing
from drivers.errors import InvalidInput, PermanentError, TransientError

CONNECT_SECONDS = 3.0
ANSWER_SECONDS = 3.0
EXPIRES_SOON_DAYS = 14
_DNS_NAME = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_.*"


class TcpCheck(Driver):
    """Facts: `host`, `port`."""

    kind: ClassVar[str] = "tcp"
    required: ClassVar[tuple[str, ...]] = ("host", "port")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.host = names.host(self.facts["host"])
        self.port = names.port(self.facts["port"])

    def observe(self) -> Observation:
        """Whether the port accepts a connection, from which address, and how long that took."""
        begun = time.monotonic()
        try:
            with socket.create_connection((self.host, self.port), timeout=CONNECT_SECONDS) as link:
                took, address = time.monotonic() - begun, link.getpeername()[0]
        except OSError as error:
            return self.down(f"{self.host}:{self.port}: {_reason(error)}")
        return self.seen(True, {"address": address, "port": self.port}, {"latency_seconds": took})


class TlsCheck(Driver):
    """Facts: `host`, `port`; optionally `server_name` (asked for and looked for in the certificate; default `host`)
    and `ca` (file with a private authority)."""

    kind: ClassVar[str] = "tls"
    required: ClassVar[tuple[str, ...]] = ("host", "port")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.host = names.host(self.facts["host"])
        self.port = names.port(self.facts["port"])
        self.server_name = names.host(self.facts.get("server_name", self.host))

    def observe(self) -> Observation:
        """The chain that is shown, what is wrong with it, the days left and the protocol.

        `problems` holds every fault that was found, of `expired`, `not yet valid`, `self-signed`, `name does not
        match` and `not trusted`. Healthy means that there is none. `certificate_days` counts to the first end in
        the chain: an intermediate that ends earlier breaks the site just as well.
        """
        begun = time.monotonic()
        try:
            chain, facts = self._shown()
            took = time.monotonic() - begun
            refusal = self._refusal()
        except OSError as error:
            return self.down(f"{self.host}:{self.port}: {_reason(error)}")
        ends = min(certificate.not_valid_after_utc for certificate in chain)
        problems = self._problems(chain, refusal)
        facts |= {
            "server_name": self.server_name,
            "issuer": chain[0].issuer.rfc4514_string(),
            "names": _names(chain[0]),
            "chain": [_described(certificate) for certificate in chain],
            "problems": problems,
            "ends": ends.isoformat(),
        }
        readings = {"certificate_days": round((ends - datetime.now(UTC)).total_seconds() / 86400, 2)}
        readings["latency_seconds"] = took
        facts["ends_soon"] = readings["certificate_days"] < EXPIRES_SOON_DAYS
        if problems:
            facts["error"] = ", ".join(problems) + (f" ({refusal})" if refusal else "")
        return self.seen(not problems, facts, readings)

    def discover(self) -> list[Listing]:
        """The certificate that the port shows, good or bad; `TransientError` when it shows none."""
        try:
            (leaf, *_), _ = self._shown()
        except OSError as error:
            raise TransientError(f"{self.host}:{self.port}: {_reason(error)}") from None
        fields = {
            "subject": leaf.subject.rfc4514_string()[:255],
            "names": sorted(_names(leaf)),
            "issuer": leaf.issuer.rfc4514_string()[:255],
            "not_after": leaf.not_valid_after_utc.isoformat(),
            "fingerprint": leaf.fingerprint(hashes.SHA256()).hex(":").upper(),
        }
        return [listing("certificate", [Thing("tls_certificate", self.server_name, fields=fields)])]

    def _shown(self) -> tuple[list[x509.Certificate], dict[str, Any]]:
        """The chain as the server sends it, on a connection that trusts anybody: a bad one must be read, too."""
        reader = ssl.create_default_context()
        reader.check_hostname, reader.verify_mode = False, ssl.CERT_NONE
        with self._connected(reader) as link:
            # Python 3.12 gives only the first certificate
            sent: Sequence[bytes] = getattr(link, "get_unverified_chain", list)()
            sent = sent or [link.getpeercert(binary_form=True) or b""]
            cipher = link.cipher()
            facts = {"protocol": link.version(), "cipher": cipher[0] if cipher else None}
            facts["alpn"] = link.selected_alpn_protocol()
        try:
            return [x509.load_der_x509_certificate(one) for one in sent], facts
        except ValueError as error:
            raise OSError(f"a certificate cannot be read: {error}") from None

    def _refusal(self) -> str:
        """Why a careful client would refuse; empty when it would not. The first reason only, as OpenSSL gives it."""
        ca = self.facts.get("ca")
        try:
            trust = ssl.create_default_context(cafile=str(names.path(ca)) if ca is not None else None)
        except OSError as error:
            raise PermanentError(f"the certificate authority {ca} cannot be read: {error}") from None
        try:
            with self._connected(trust):
                return ""
        except ssl.SSLCertVerificationError as error:
            return error.verify_message

    def _connected(self, context: ssl.SSLContext) -> ssl.SSLSocket:
        plain = socket.create_connection((self.host, self.port), timeout=CONNECT_SECONDS)
        try:
            plain.settimeout(ANSWER_SECONDS)
            return context.wrap_socket(plain, server_hostname=self.server_name)
        except BaseException:
            plain.close()
            raise

    def _problems(self, chain: Sequence[x509.Certificate], refusal: str) -> list[str]:
        now, leaf = datetime.now(UTC), chain[0]
        found = {
            "expired": any(one.not_valid_after_utc <= now for one in chain),
            "not yet valid": any(one.not_valid_before_utc > now for one in chain),
            "self-signed": _self_signed(leaf),
            "name does not match": not any(_fits(name, self.server_name) for name in _names(leaf)),
        }
        problems = [text for text, holds in found.items() if holds]
        if refusal and (not problems or "issuer" in refusal or "self-signed" in refusal):
            problems.append("not trusted")
        # a private authority may be the certificate itself: then it is trusted, and not a fault
        return [text for text in problems if refusal or text != "self-signed"]


class DnsCheck(Driver):
    """Facts: `name`, `resolver` (an IP address); optionally `type` (default A), `port` (53) and `expect`, the records
    that must be there, no more and no fewer, as `dig +short` writes them."""

    kind: ClassVar[str] = "dns"
    required: ClassVar[tuple[str, ...]] = ("name", "resolver")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.name = self.facts["name"]
        if not isinstance(self.name, str) or not 0 < len(self.name) <= 253 or set(self.name) - set(_DNS_NAME):
            raise InvalidInput("a DNS name has 1 to 253 letters, digits and signs out of - _ . *")
        try:
            self.resolver = str(ipaddress.ip_address(self.facts["resolver"]))
        except ValueError:
            raise InvalidInput("the resolver must be an IP address") from None
        self.port = names.port(self.facts.get("port", 53))
        self.expect = self.facts.get("expect")
        if self.expect is not None and not (
            isinstance(self.expect, list) and self.expect and all(isinstance(one, str) for one in self.expect)
        ):
            raise InvalidInput("expect must be a list of records")
        try:
            self.type = dns.rdatatype.from_text(self.facts.get("type", "A"))
            self.question = dns.message.make_query(self.name, self.type)
        except (dns.exception.DNSException, AttributeError, TypeError, ValueError):
            raise InvalidInput("not a DNS name and record type that could be asked for") from None

    def observe(self) -> Observation:
        """What the resolver answers: `answer` is a response code (NOERROR, NXDOMAIN, SERVFAIL, REFUSED, …), or
        `NODATA`, `TIMEOUT`, `UNREACHABLE`, `MALFORMED`.

        Healthy means NOERROR with records, and exactly the expected ones where some are expected.
        """
        begun = time.monotonic()
        where = f"{self.resolver}:{self.port}"
        try:
            response, over_tcp = dns.query.udp_with_fallback(
                self.question, self.resolver, timeout=ANSWER_SECONDS, port=self.port, ignore_unexpected=True
            )
            records, ttl = self._records(response)
        except dns.exception.Timeout:
            return self._failed("TIMEOUT", f"{where} did not answer within {ANSWER_SECONDS:g} seconds")
        except (OSError, EOFError) as error:
            return self._failed("UNREACHABLE", f"{where}: {_reason(error)}")
        except dns.exception.DNSException as error:
            return self._failed("MALFORMED", f"{where}: {error or type(error).__name__}")
        readings = {"latency_seconds": time.monotonic() - begun, "records": float(len(records))}
        facts: dict[str, Any] = {
            "answer": dns.rcode.to_text(response.rcode()),
            "records": records,
            "resolver": where,
            "authoritative": bool(response.flags & dns.flags.AA),
            "truncated": over_tcp,
        }
        if facts["answer"] == "NOERROR" and not records:
            facts["answer"] = "NODATA"
        if records:
            readings["ttl_seconds"] = float(ttl)
        fault = self._fault(facts["answer"], records)
        return self.seen(not fault, facts | ({"error": fault} if fault else {}), readings)

    def _records(self, response: dns.message.Message) -> tuple[list[str], int]:
        if response.rcode() != dns.rcode.NOERROR:
            return [], 0
        chain = response.resolve_chaining() if isinstance(response, dns.message.QueryMessage) else None
        if chain is None or chain.answer is None:
            return [], 0
        return sorted(record.to_text() for record in chain.answer), chain.minimum_ttl

    def _fault(self, answer: str, records: list[str]) -> str:
        asked = f"{self.name} {dns.rdatatype.to_text(self.type)}"
        if answer != "NOERROR":
            return f"{asked} is answered with {answer}"
        if self.expect is not None and sorted(map(str.lower, self.expect)) != sorted(map(str.lower, records)):
            return f"{asked} is {', '.join(records)} instead of {', '.join(sorted(self.expect))}"[:500]
        return ""

    def _failed(self, answer: str, reason: str) -> Observation:
        return self.seen(False, {"answer": answer, "error": reason[:500]})


def _reason(error: BaseException) -> str:
    if isinstance(error, TimeoutError):
        return "did not answer in time"
    return str(getattr(error, "strerror", None) or error) or type(error).__name__


def _described(certificate: x509.Certificate) -> dict[str, Any]:
    return {
        "subject": certificate.subject.rfc4514_string(),
        "issuer": certificate.issuer.rfc4514_string(),
        "begins": certificate.not_valid_before_utc.isoformat(),
        "ends": certificate.not_valid_after_utc.isoformat(),
    }


def _names(certificate: x509.Certificate) -> list[str]:
    """The DNS names and addresses that it is for; the common name counts for nothing (RFC 9525)."""
    try:
        held = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except (x509.ExtensionNotFound, ValueError):
        return []
    addresses = [str(address) for address in held.get_values_for_type(x509.IPAddress)]
    return [*held.get_values_for_type(x509.DNSName), *addresses]


def _fits(name: str, wanted: str) -> bool:
    """Whether a name of a certificate covers the wanted one; `*` stands for one whole first label (RFC 9525)."""
    name, wanted = name.lower().rstrip("."), wanted.lower().rstrip(".")
    if name.startswith("*."):
        first, _, rest = wanted.partition(".")
        return bool(first) and rest == name[2:]
    return name == wanted


def _self_signed(certificate: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(certificate)
    except (ValueError, TypeError, InvalidSignature):
        return False
    return True
