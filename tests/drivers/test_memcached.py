"""The Memcached driver on real servers: plain, with passwords, with flush_all switched off, behind TLS."""

from __future__ import annotations

import socket
from contextlib import closing, contextmanager

import pytest
from pymemcache.client.base import Client

from drivers import memcached
from drivers.acts import Call
from drivers.base import InvalidInput, PermanentError, StaleFence, TransientError
from drivers.memcached import Flush, Memcached, SetMemoryLimit
from drivers.secret import SecretStore
from tests.drivers import daemons
from tests.drivers.contract import Contract, World, call
from tests.drivers.daemons import free_port, listening, running, until
from tests.drivers.simulated.memcached import EXAMPLES, MemcachedWorld
from tests.drivers.tls_front import certified, cut_off, tls_front
from tests.need import need

PASSWORD = "cache-password"


@contextmanager
def started(ground, *options, port=None):
    """The port of a real server in the foreground; a root must name the user that it becomes."""
    need(daemons.MEMCACHED, package="memcached")
    port = port or free_port()
    fixed = ["-l", "127.0.0.1", "-p", port, "-u", "nobody", "-m", 64, "-t", 1]
    with running([daemons.MEMCACHED, *fixed, *options], ground / f"memcached-{port}.log"):
        until(lambda: listening(port))
        yield port


class RealServer(World):
    driver_class = Memcached
    examples = EXAMPLES

    def __init__(self, port):
        self.port = port
        self.client = Client(("127.0.0.1", port), default_noreply=False)

    def driver(self):
        return Memcached({"driver": "memcached", "host": "127.0.0.1", "port": self.port}, SecretStore())

    def unreachable(self):
        return Memcached({"driver": "memcached", "host": "127.0.0.1", "port": free_port()}, SecretStore())

    def picture(self):
        stats = self.client.stats()
        return self.client.get("page"), stats[b"limit_maxbytes"], stats[b"cmd_flush"]

    def prepare(self, act):
        self.client.set("page", "x")
        self.client.cache_memlimit(64)


@contextmanager
def real(request):
    with started(request.getfixturevalue("ground")) as port:
        world = RealServer(port)
        yield world
        world.client.close()


@contextmanager
def simulated(_):
    yield MemcachedWorld()


class TestContract(Contract):
    declared = Memcached
    worlds = {"real": real, "simulated": simulated}


@pytest.fixture(scope="module")
def port(ground):
    with started(ground) as port:
        yield port


@pytest.fixture
def client(port):
    with closing(Client(("127.0.0.1", port), default_noreply=False)) as made:
        yield made


def at(port, **more):
    return Memcached({"host": "127.0.0.1", "port": port, **more}, SecretStore())


def begun(act, driver, given):
    params = act.parse(given)
    return act, driver, params, act.before(driver, params)


def test_it_tells_its_hit_rate_memory_and_connections(port, client):
    client.set("page", "x" * 1000)
    for key in ("page", "page", "page", "none"):
        client.get(key)
    seen = at(port).observe()
    assert (seen.kind, seen.healthy, seen.version) == ("memcached", True, client.version().decode())
    assert (seen.facts["accepting"], seen.facts["hit_ratio"]) == (True, 0.75)
    assert (seen.readings["items"], seen.readings["memory_max_bytes"]) == (1.0, 64.0 * 2**20)
    assert seen.readings["memory_bytes"] > 1000
    assert (seen.readings["hits"], seen.readings["misses"]) == (3.0, 1.0)


def test_nobody_has_read_is_no_hit_rate(ground):
    with started(ground) as port:
        assert at(port).observe().facts["hit_ratio"] is None


def test_a_flush_is_known_again_after_a_crash_and_not_repeated(port, client):
    """The item count does not tell: it stays until the items are asked for."""
    client.set("page", "x")
    act, driver, params, before = begun(Flush(), at(port), {})
    assert act.do(driver, params, before, call()) == {"flushed": True}
    assert client.stats()[b"curr_items"] >= before["items"]
    client.set("page", "fresh")
    assert act.done(driver, params, before) is True
    assert act.do(driver, params, before, call())["flushed"] is False
    assert client.get("page") == b"fresh"


def test_a_restart_is_as_good_as_a_flush(ground, monkeypatch):
    monkeypatch.setattr(memcached, "_RESTART_SECONDS", 0)
    with started(ground) as port:
        act, driver, params, before = begun(Flush(), at(port), {})
        before["started"] -= 1
    with started(ground, port=port):
        assert act.done(driver, params, before) is True
    act, driver, params, before = Flush(), at(port), params, {**before, "flushes": 3, "started": 2**40}
    with started(ground, port=port):
        assert act.done(driver, params, before) is True


def test_where_flushing_is_switched_off_it_is_declined_though_the_counter_rises(ground):
    with started(ground, "-F") as port:
        act, driver, params, before = begun(Flush(), at(port), {})
        assert [each.holds for each in act.conditions(driver, params)] == [False]
        with pytest.raises(PermanentError, match="flush_all not allowed"):
            act.do(driver, params, before, call())
        assert driver.stats()["cmd_flush"] == before["flushes"] + 1
        assert act.done(driver, params, before) is False


def test_a_caller_without_its_claim_flushes_nothing(port, client):
    client.set("page", "x")
    lost = Call("t", alive=lambda: False)
    for act, given in ((Flush(), {}), (SetMemoryLimit(), {"megabytes": 99})):
        with pytest.raises(StaleFence):
            act.do(*begun(act, at(port), given)[1:], lost)
    assert (client.get("page"), client.stats()[b"limit_maxbytes"]) == (b"x", 64 << 20)


def test_a_limit_below_what_is_in_use_is_declined_and_anothers_is_left(port, client):
    for number in range(12):
        client.set(f"big{number}", b"x" * 900_000)
    act, driver, params, before = begun(SetMemoryLimit(), at(port), {"megabytes": 8})
    assert [each.holds for each in act.conditions(driver, params)] == [False]
    client.cache_memlimit(200)
    assert act.undo(driver, params, before, call()) == {"megabytes": 200, "changed_by_another": True}
    client.cache_memlimit(64)
    client.flush_all()


@pytest.mark.parametrize("megabytes", [7, -1, 2**21, "64", 64.5, True])
def test_odd_limits_are_refused(megabytes):
    with pytest.raises(InvalidInput):
        SetMemoryLimit().parse({"megabytes": megabytes})


def test_a_password_is_sent_only_to_a_server_that_asks_for_it(ground, secret, port, client):
    known = ground / "memcached-auth"
    known.write_text(f"portal:{PASSWORD}\n")
    known.chmod(0o644)
    sign_in = {"user": "portal", "password": secret(PASSWORD)}
    with started(ground, "-Y", known) as guarded:
        assert at(guarded, **sign_in).observe().healthy is True
        for facts in ({}, {"user": "portal", "password": secret("wrong-password-here")}):
            with pytest.raises(PermanentError, match=r"refuses: (unauthenticated|authentication failure)") as caught:
                at(guarded, **facts).observe()
            assert "wrong-password-here" not in str(caught.value)
    seen = at(port, **sign_in).observe()
    assert (seen.healthy, PASSWORD in repr(seen), client.get("auth")) == (True, False, None)


def test_tls_is_verified_against_the_given_authority(port, place):
    certificate, authority = certified(place)
    with tls_front(certificate, port) as front:
        assert at(front, ca=str(authority)).observe().healthy is True
        seen = at(front, tls=True).observe()
        assert (seen.healthy, "certificate verify failed" in seen.facts["error"]) == (False, True)
    with pytest.raises(PermanentError, match="cannot be read"):
        at(front, ca=str(place / "none.pem")).observe()


@pytest.mark.parametrize("answer", [b"", b"STAT pid 1\r\nSTAT upt", b"STAT pid 1\r\nEND\r\n", b"SERVER_ERROR busy\r\n"])
def test_half_an_answer_is_none(answer):
    with cut_off(answer) as port:
        assert at(port).observe().healthy is False
        with pytest.raises(TransientError):
            Flush().do(at(port), Flush().parse({}), {"flushes": 0, "started": 0}, call())


def test_another_kind_of_server_is_told_from_a_memcached():
    with cut_off(b"HTTP/1.1 400 Bad Request\r\n\r\n") as port, pytest.raises(PermanentError, match="refuses: HTTP"):
        at(port).observe()


def test_a_server_that_hangs_is_down_after_its_time(monkeypatch):
    monkeypatch.setattr(memcached, "READ_SECONDS", 0.2)
    with socket.create_server(("127.0.0.1", free_port())) as silent:
        seen = at(silent.getsockname()[1]).observe()
    assert (seen.healthy, "timed out" in seen.facts["error"]) == (False, True)


@pytest.mark.parametrize(
    "facts",
    [
        *({"host": "a;b"}, {"port": 0}, {"user": "portal"}, {"password": "env:X"}, {"tls": "yes"}),
        *({"user": "a b", "password": "env:X"}, {"ca": "x"}, {"ca": "/x", "tls": False}),
    ],
)
def test_odd_facts_are_refused(facts):
    with pytest.raises(InvalidInput):
        at(**{"port": 11211, **facts}) if "host" not in facts else Memcached({"port": 1, **facts}, SecretStore())
