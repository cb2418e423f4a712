"""Checks from outside on real listeners: plain ports, TLS servers with good and bad certificates, name servers."""

from __future__ import annotations

import socket
import socketserver
import ssl
import threading
from contextlib import contextmanager
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from drivers import probes
from drivers.base import InvalidInput, PermanentError
from drivers.probes import DnsCheck, TcpCheck, TlsCheck
from drivers.secret import SecretStore
from tests.drivers.certificates import issue
from tests.drivers.contract import Contract, World
from tests.drivers.daemons import free_port


class Watched(World):
    """A probe of something that runs; probes have no acts."""

    def __init__(self, good: Any, bad: dict[str, Any]) -> None:
        self.good, self.bad = good, bad
        self.driver_class = type(good)

    def driver(self) -> Any:
        return self.good

    def unreachable(self) -> Any:
        return self.driver_class({**self.good.facts, **self.bad}, SecretStore())

    def picture(self) -> Any:
        return None

    def prepare(self, act: Any) -> None:
        pass


class ProbeContract(Contract):
    """What the contract asks of drivers that only look."""

    test_an_act_is_done_once_and_taken_back = None
    test_hostile_parameters_are_refused_without_effect = None
    test_a_target_that_does_not_answer_is_asked_again = None
    test_an_act_says_what_an_approver_must_know = None


def tcp(port, **more):
    return TcpCheck({"host": "127.0.0.1", "port": port, **more}, SecretStore())


def tls(port, **more):
    return TlsCheck({"host": "127.0.0.1", "port": port, "server_name": "www.edye.test", **more}, SecretStore())


def asked(port, name="www.edye.test", **more):
    return DnsCheck({"name": name, "resolver": "127.0.0.1", "port": port, **more}, SecretStore())


@contextmanager
def listener():
    with socket.create_server(("127.0.0.1", free_port())) as server:
        yield server.getsockname()[1]


# -- TCP ---------------------------------------------------------------------------------------------------------------


@contextmanager
def a_port(request):
    with listener() as port:
        yield Watched(tcp(port), {"port": free_port()})


class TestTcpCheck(ProbeContract):
    worlds = {"real": a_port}
    declared = TcpCheck


def test_a_port_that_accepts_is_healthy_and_a_closed_one_is_told():
    with listener() as port:
        seen = tcp(port).observe()
    assert (seen.kind, seen.healthy, seen.facts) == ("tcp", True, {"address": "127.0.0.1", "port": port})
    assert seen.readings["latency_seconds"] > 0
    gone = tcp(port).observe()
    assert (gone.healthy, gone.facts) == (False, {"error": f"127.0.0.1:{port}: Connection refused"})


def test_a_port_that_does_not_answer_is_down_after_its_time(monkeypatch):
    monkeypatch.setattr(probes, "CONNECT_SECONDS", 0.2)
    with socket.socket() as full:  # a queue of one that is full: further connections get no answer at all
        full.bind(("127.0.0.1", free_port()))
        full.listen(0)
        port = full.getsockname()[1]
        waiting = []
        for _ in range(3):
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(("127.0.0.1", port))
            waiting.append(one)
        seen = tcp(port).observe()
        for one in waiting:
            one.close()
    assert (seen.healthy, seen.facts["error"]) == (False, f"127.0.0.1:{port}: did not answer in time")


@pytest.mark.parametrize("facts", [{"host": "a b"}, {"host": "-h"}, {"port": 0}, {"port": "22"}])
def test_odd_addresses_are_refused(facts):
    with pytest.raises(InvalidInput):
        TcpCheck({"host": "127.0.0.1", "port": 1, **facts}, SecretStore())


# -- TLS ---------------------------------------------------------------------------------------------------------------


@contextmanager
def shown(certificate: str, key: str):
    """A TLS server that shows this certificate and hangs up."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with socket.create_server(("127.0.0.1", free_port())) as server:

        def serve():
            while True:
                try:
                    link, _ = server.accept()
                except OSError:
                    return
                try:
                    with context.wrap_socket(link, server_side=True) as safe:
                        safe.recv(1)
                except OSError:
                    link.close()

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(scope="module")
def house(ground):
    """A root and an intermediate; `house(name, …)` gives the paths of a certificate by the intermediate."""

    class House:
        folder = ground / "certificates"
        root = issue("root", ca=True)
        middle = issue("middle", root, ca=True, days=60)

        def __call__(self, name, *alternatives, by=middle, chain=True, **more):
            issued = issue(name, by, alternatives=alternatives, **more)
            return issued.write(self.folder, name, chain=chain)

        @property
        def ca(self):
            return str(self.folder / "root.pem")

    made = House()
    made.root.write(made.folder, "root")
    return made


@contextmanager
def a_site(request):
    house = request.getfixturevalue("house")
    with shown(*house("site", "www.edye.test")) as port:
        yield Watched(tls(port, ca=house.ca), {"port": free_port()})


class TestTlsCheck(ProbeContract):
    worlds = {"real": a_site}
    declared = TlsCheck


def test_a_good_certificate_is_described_with_its_chain(house):
    with shown(*house("good", "www.edye.test", "10.0.0.1")) as port:
        seen = tls(port, ca=house.ca).observe()
    assert (seen.kind, seen.healthy, seen.facts["problems"]) == ("tls", True, [])
    assert [(one["subject"], one["issuer"]) for one in seen.facts["chain"]] == [
        ("CN=good", "CN=middle"),
        ("CN=middle", "CN=root"),
    ]
    assert (seen.facts["issuer"], seen.facts["names"]) == ("CN=middle", ["www.edye.test", "10.0.0.1"])
    assert (seen.facts["protocol"], seen.facts["ends_soon"]) == ("TLSv1.3", False)
    assert 29.9 < seen.readings["certificate_days"] <= 30


@pytest.mark.parametrize(
    ("more", "problems"),
    [
        ({"days": -3}, ["expired"]),
        ({"alternatives": ("other.edye.test",)}, ["name does not match"]),
        ({"alternatives": ("*.test",)}, ["name does not match"]),
        ({"alternatives": ()}, ["name does not match"]),
        ({"alternatives": ("other.edye.test",), "days": -3}, ["expired", "name does not match"]),
        ({"chain": False}, ["not trusted"]),
        ({"by": None}, ["self-signed", "not trusted"]),
        ({"by": issue("stranger", ca=True)}, ["not trusted"]),
        ({"by": None, "days": -3, "alternatives": ("x.test",)}, ["expired", "self-signed", "name does not match"]),
    ],
    ids=lambda value: str(value)[:40] if isinstance(value, list) else "",
)
def test_every_fault_is_reported_and_none_is_an_exception(house, more, problems):
    more = {"alternatives": ("www.edye.test",), **more}
    alternatives = more.pop("alternatives")
    with shown(*house("faulty", *alternatives, **more)) as port:
        seen = tls(port, ca=house.ca).observe()
    found = seen.facts["problems"]
    assert [one for one in found if one != "not trusted"] == [one for one in problems if one != "not trusted"]
    assert ("not trusted" in found) == ("not trusted" in problems or "self-signed" in problems)
    assert seen.healthy is False
    assert seen.facts["error"].startswith(problems[0])
    assert (seen.readings["certificate_days"] < 0) == ("expired" in problems)


def test_an_intermediate_that_ends_first_counts(house):
    middle = issue("short", house.root, ca=True, days=5)
    with shown(*house("behind", "*.edye.test", by=middle)) as port:
        seen = tls(port, ca=house.ca).observe()
    assert (seen.healthy, seen.facts["ends_soon"]) == (True, True)
    assert 4.9 < seen.readings["certificate_days"] <= 5


def test_a_certificate_that_is_its_own_authority_is_trusted_when_it_is_named(house):
    own, key = house("own", "www.edye.test", by=None, ca=True)
    with shown(own, key) as port:
        assert tls(port, ca=own).observe().facts["problems"] == []
        assert tls(port, ca=house.ca).observe().healthy is False


def test_the_systems_authorities_count_when_none_is_named(house):
    with shown(*house("private", "www.edye.test")) as port:
        assert tls(port).observe().facts["problems"] == ["not trusted"]


def test_what_does_not_speak_tls_is_down(monkeypatch):
    monkeypatch.setattr(probes, "ANSWER_SECONDS", 0.2)
    with listener() as port:
        assert "did not answer in time" in tls(port).observe().facts["error"]
    gone = tls(free_port()).observe()
    assert (gone.healthy, gone.readings) == (False, {})


def test_an_authority_that_cannot_be_read_is_permanent(house, place):
    with shown(*house("site", "www.edye.test")) as port, pytest.raises(PermanentError, match="cannot be read"):
        tls(port, ca=str(place / "none.pem")).observe()


# -- DNS ---------------------------------------------------------------------------------------------------------------


class Zone(socketserver.BaseRequestHandler):
    """A name server of a few names, each of which has its own way of answering."""

    RECORDS = {
        "www.edye.test.": [("www.edye.test.", "A", ["192.0.2.1", "192.0.2.2"])],
        "alias.edye.test.": [
            ("alias.edye.test.", "CNAME", ["www.edye.test."]),
            ("www.edye.test.", "A", ["192.0.2.1", "192.0.2.2"]),
        ],
        "large.edye.test.": [("large.edye.test.", "A", [f"192.0.2.{number}" for number in range(1, 200)])],
        "empty.edye.test.": [],
    }

    def handle(self):
        if isinstance(self.request, tuple):
            wire, link = self.request
            if (answer := self.answer(wire, 512)) is not None:
                link.sendto(answer, self.client_address)
        else:
            wire = self.request.recv(65535)
            answer = self.answer(wire[2:], 65535)
            self.request.sendall(len(answer).to_bytes(2, "big") + answer)

    def answer(self, wire, limit):
        query = dns.message.from_wire(wire)
        name = query.question[0].name.to_text()
        if name == "silent.edye.test.":
            return None
        if name == "garbage.edye.test.":
            return wire[:2] + b"\x80\x00" + b"\xff" * 8
        response = dns.message.make_response(query)
        response.flags |= dns.flags.AA
        if name in self.RECORDS:
            response.answer = [
                dns.rrset.from_text(owner, 60, "IN", kind, *data) for owner, kind, data in self.RECORDS[name]
            ]
        else:
            codes = {"broken.edye.test.": dns.rcode.SERVFAIL, "private.edye.test.": dns.rcode.REFUSED}
            response.set_rcode(codes.get(name, dns.rcode.NXDOMAIN))
        full = response.to_wire(max_size=65535)
        if len(full) <= limit:
            return full
        response.answer = []
        response.flags |= dns.flags.TC
        return response.to_wire()


@contextmanager
def zone():
    port = free_port()
    socketserver.ThreadingTCPServer.allow_reuse_address = True
    with (
        socketserver.ThreadingUDPServer(("127.0.0.1", port), Zone) as udp,
        socketserver.ThreadingTCPServer(("127.0.0.1", port), Zone) as tcp_server,
    ):
        threads = [threading.Thread(target=one.serve_forever, args=(0.05,), daemon=True) for one in (udp, tcp_server)]
        for thread in threads:
            thread.start()
        yield port
        for server in (udp, tcp_server):
            server.shutdown()
        for thread in threads:
            thread.join()


@pytest.fixture(scope="module")
def resolver():
    with zone() as port:
        yield port


@contextmanager
def a_name(request):
    port = request.getfixturevalue("resolver")
    expect = {"expect": ["192.0.2.2", "192.0.2.1"]}
    yield Watched(asked(port, **expect), {"port": free_port()})


class TestDnsCheck(ProbeContract):
    worlds = {"real": a_name}
    declared = DnsCheck


def test_records_are_compared_with_the_expected_ones(resolver):
    good = asked(resolver, expect=["192.0.2.2", "192.0.2.1"]).observe()
    assert (good.kind, good.healthy, good.facts["answer"]) == ("dns", True, "NOERROR")
    assert (good.facts["records"], good.facts["authoritative"]) == (["192.0.2.1", "192.0.2.2"], True)
    assert (good.readings["records"], good.readings["ttl_seconds"]) == (2.0, 60.0)
    for expect in (["192.0.2.1"], ["192.0.2.1", "192.0.2.2", "192.0.2.3"]):
        seen = asked(resolver, expect=expect).observe()
        assert (seen.healthy, seen.facts["answer"]) == (False, "NOERROR")
        assert seen.facts["error"].startswith("www.edye.test A is 192.0.2.1, 192.0.2.2 instead of 192.0.2.1")
    assert asked(resolver).observe().healthy is True


def test_an_alias_is_followed_to_its_records(resolver):
    assert asked(resolver, "alias.edye.test").observe().facts["records"] == ["192.0.2.1", "192.0.2.2"]
    alias = asked(resolver, "alias.edye.test", type="CNAME", expect=["www.edye.test."]).observe()
    assert alias.healthy is True


def test_a_cut_answer_is_asked_for_again_over_tcp(resolver):
    seen = asked(resolver, "large.edye.test").observe()
    assert (seen.healthy, seen.readings["records"], seen.facts["truncated"]) == (True, 199.0, True)


@pytest.mark.parametrize(
    ("name", "answer"),
    [
        ("none.edye.test", "NXDOMAIN"),
        ("broken.edye.test", "SERVFAIL"),
        ("private.edye.test", "REFUSED"),
        ("empty.edye.test", "NODATA"),
        ("garbage.edye.test", "MALFORMED"),
        ("silent.edye.test", "TIMEOUT"),
    ],
)
def test_failures_are_told_apart(resolver, name, answer, monkeypatch):
    monkeypatch.setattr(probes, "ANSWER_SECONDS", 0.3)
    seen = asked(resolver, name).observe()
    assert (seen.healthy, seen.facts["answer"], bool(seen.facts["error"])) == (False, answer, True)


def test_a_resolver_that_is_not_there_is_told(resolver, monkeypatch):
    monkeypatch.setattr(probes, "ANSWER_SECONDS", 0.3)
    seen = asked(free_port()).observe()
    assert seen.healthy is False
    assert seen.facts["answer"] in ("TIMEOUT", "UNREACHABLE")


@pytest.mark.parametrize(
    "facts",
    [
        {"name": ""},
        {"name": "a b"},
        {"name": "x..y"},
        {"name": "a" * 64},
        {"name": "é.test"},
        {"name": 5},
        {"resolver": "dns.test"},
        {"type": "NOPE"},
        {"type": 1},
        {"expect": []},
        {"expect": "192.0.2.1"},
        {"expect": [1]},
        {"port": 0},
    ],
)
def test_odd_questions_are_refused(facts):
    with pytest.raises(InvalidInput):
        DnsCheck({"name": "www.edye.test", "resolver": "127.0.0.1", **facts}, SecretStore())
