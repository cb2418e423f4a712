"""The plain HTTP check and the bounded GET under it, on real servers."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from datetime import UTC, datetime, timedelta

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from drivers import web
from drivers.base import InvalidInput, PermanentError, TransientError
from drivers.http import HttpCheck
from drivers.secret import SecretStore
from tests.drivers.daemons import free_port, stub


def check(url: str, **facts: object) -> HttpCheck:
    return HttpCheck({"url": url, **facts}, SecretStore())


@pytest.fixture
def certificate(place):
    """`certificate(days)` makes a self-signed certificate for 127.0.0.1 that ends in so many days."""

    def make(days: float):
        key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        now = datetime.now(UTC)
        built = (
            x509.CertificateBuilder()
            .subject_name(name)
            .issuer_name(name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - timedelta(days=30))
            .not_valid_after(now + timedelta(days=days))
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
            .sign(key, hashes.SHA256())
        )
        path = place / f"certificate{days}.pem"
        path.write_bytes(
            built.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        return path

    return make


@pytest.fixture
def secure(certificate):
    """`secure(days)` gives the https address of a running server and its certificate file."""
    servers = []

    def start(days: float):
        path = certificate(days)
        context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
        context.load_cert_chain(path)
        manager = stub(b"secure")
        server = manager.__enter__()
        servers.append(manager)
        server.socket = context.wrap_socket(server.socket, server_side=True)
        return f"https://localhost:{server.server_port}/", path

    yield start
    for manager in servers:
        manager.__exit__(None, None, None)


def test_status_and_latency_are_read():
    with stub() as server:
        url = f"http://127.0.0.1:{server.server_port}/healthz"
        good = check(url).observe()
        server.status = 404
        bad, wanted = check(url).observe(), check(url, expect=[200, 404]).observe()
        server.status = 302
        assert check(url).observe().facts["status"] == 302
    assert (good.kind, good.healthy, good.facts["status"], good.readings["status"]) == ("http", True, 200, 200.0)
    assert 0 < good.readings["latency_seconds"] < 5
    assert (bad.healthy, bad.facts["error"]) == (False, "answered 404 instead of 200")
    assert wanted.healthy is True
    gone = check(f"http://127.0.0.1:{free_port()}/").observe()
    assert gone.healthy is False
    assert "Connection refused" in gone.facts["error"]


def test_the_days_of_a_trusted_certificate_are_counted(secure):
    url, path = secure(90.5)
    seen = check(url, ca=str(path)).observe()
    assert (seen.healthy, seen.facts["certificate"]["ends_soon"]) == (True, False)
    assert seen.readings["certificate_days"] == pytest.approx(90.5, abs=0.1)
    assert seen.facts["certificate"]["subject"] == "CN=localhost"


def test_an_expired_or_untrusted_certificate_is_unhealthy_and_still_read(secure):
    url, path = secure(-2)
    expired = check(url, ca=str(path)).observe()
    assert expired.healthy is False
    assert expired.readings["certificate_days"] == pytest.approx(-2, abs=0.1)
    assert "certificate" in expired.facts["error"].lower()
    url, _ = secure(5)
    untrusted = check(url).observe()
    assert (untrusted.healthy, untrusted.facts["certificate"]["ends_soon"]) == (False, True)


def test_https_where_nobody_speaks_it_is_down():
    with stub() as server:
        seen = check(f"https://127.0.0.1:{server.server_port}/").observe()
    assert (seen.healthy, seen.readings) == (False, {})
    assert check(f"https://127.0.0.1:{free_port()}/").observe().healthy is False


def test_a_missing_authority_is_permanent(secure, place):
    url, _ = secure(5)
    with pytest.raises(PermanentError, match="cannot be read"):
        check(url, ca=str(place / "none.pem")).observe()


@pytest.mark.parametrize(
    "facts",
    [
        {"url": "ftp://x/"},
        {"url": "http://u:p@x/"},
        {"url": "http://x/", "expect": []},
        {"url": "http://x/", "expect": 200},
        {"url": "http://x/", "expect": ["200"]},
        {"url": "http://x/", "expect": [99]},
        {},
    ],
)
def test_odd_facts_are_refused(facts):
    with pytest.raises(InvalidInput):
        HttpCheck(facts, SecretStore())


def test_a_slow_drip_ends_with_the_whole_limit():
    with socket.create_server(("127.0.0.1", free_port())) as listener:

        def drip():
            link, _ = listener.accept()
            with link:
                link.recv(4096)
                link.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
                try:
                    for _ in range(100):
                        link.sendall(b"x")
                        time.sleep(0.1)
                except OSError:
                    pass

        thread = threading.Thread(target=drip)
        thread.start()
        begun = time.monotonic()
        with pytest.raises(TransientError, match="did not finish its answer"):
            web.get(f"http://127.0.0.1:{listener.getsockname()[1]}/", seconds=0.5)
        assert time.monotonic() - begun < 3
        thread.join()


def test_a_huge_answer_is_cut_and_silence_times_out():
    with stub(b"x" * 1_000_000) as server:
        url = f"http://127.0.0.1:{server.server_port}/"
        assert len(web.get(url).body) == 256 * 1024
        server.delay = 1.0
        with pytest.raises(TransientError, match="does not answer: timed out"):
            web.get(url, seconds=0.3)
