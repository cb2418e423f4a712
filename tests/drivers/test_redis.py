"""Redis and Sentinel drivers on real Valkey servers: a primary, a replica, three Sentinels."""

from __future__ import annotations

import os
import signal
from contextlib import ExitStack
from types import SimpleNamespace

import pytest
import redis

from drivers.base import InvalidInput, PermanentError, TransientError
from drivers.redis import Redis, Sentinel
from drivers.redis import sentinel as sentinel_module
from drivers.secret import SecretStore
from tests.drivers.daemons import free_port, listening, running, until

PASSWORD = "cache-password"


@pytest.fixture(scope="module")
def group(ground, valkey_argv):
    """A primary, its replica and three Sentinels of the group `edye`; all of them ask for a password."""
    primary, replica, *watchers = (free_port() for _ in range(5))
    reference = ground / "cache-password"
    reference.write_text(PASSWORD)
    auth = ["--requirepass", PASSWORD, "--masterauth", PASSWORD]
    with ExitStack() as stack:
        children = {}

        def start(port, argv):
            children[port] = stack.enter_context(running(argv, ground / f"{port}.log"))
            until(lambda: listening(port))

        start(primary, valkey_argv(primary, *auth))
        start(replica, valkey_argv(replica, *auth, "--replicaof", f"127.0.0.1 {primary}"))
        for port in watchers:
            path = ground / f"sentinel-{port}.conf"
            path.write_text(
                f"port {port}\nbind 127.0.0.1\ndir {ground}\nsentinel monitor edye 127.0.0.1 {primary} 2\n"
                f"sentinel auth-pass edye {PASSWORD}\nsentinel down-after-milliseconds edye 2000\n"
                f"requirepass {PASSWORD}\nsentinel sentinel-pass {PASSWORD}\n"
            )
            start(port, [valkey_argv(port)[0], str(path), "--sentinel"])
        made = SimpleNamespace(
            primary=primary, replica=replica, watchers=watchers, secret=f"file:{reference}", children=children
        )
        until(lambda: server(made, replica).observe().healthy)
        until(lambda: watch(made).observe().readings.get("replicas") == 1 and watch(made).observe().healthy)
        yield made


def server(group: SimpleNamespace, port: int, **more: object) -> Redis:
    return Redis({"host": "127.0.0.1", "port": port, "password": group.secret, **more}, SecretStore())


def watch(group: SimpleNamespace, sentinels: list | None = None, **more: object) -> Sentinel:
    where = sentinels or [["127.0.0.1", port] for port in group.watchers]
    return Sentinel({"sentinels": where, "master": "edye", "password": group.secret, **more}, SecretStore())


@pytest.fixture
def command(group):
    """`command(port, "CONFIG", …)` runs a command past the driver."""

    def run(port, *words):
        with redis.Redis(port=port, password=PASSWORD, decode_responses=True) as client:
            return client.execute_command(*words)

    return run


def test_a_primary_tells_its_memory_keys_and_replicas(group, command):
    command(group.primary, "SET", "greeting", "hello")
    seen = until(lambda: (o := server(group, group.primary).observe()).facts["replicas"] and o)
    assert (seen.kind, seen.healthy, seen.facts["role"], seen.facts["server"]) == ("redis", True, "primary", "valkey")
    assert seen.version.startswith("9.")
    assert [(r["address"], r["state"]) for r in seen.facts["replicas"]] == [(f"127.0.0.1:{group.replica}", "online")]
    assert (seen.readings["keys"], seen.readings["replicas"]) == (1.0, 1.0)
    assert seen.readings["memory_bytes"] > 100_000
    assert 0 < seen.readings["latency_seconds"] < 5
    assert seen.readings["lag_seconds"] < 5
    assert PASSWORD not in repr(seen)


def test_a_replica_tells_its_link_and_lag(group):
    seen = server(group, group.replica).observe()
    assert (seen.healthy, seen.facts["role"], seen.facts["link"]) == (True, "replica", "up")
    assert seen.facts["primary"] == f"127.0.0.1:{group.primary}"
    assert 0 <= seen.readings["lag_seconds"] < 60


def test_a_cut_replica_is_unhealthy(group, command):
    command(group.replica, "REPLICAOF", "127.0.0.1", free_port())
    try:
        seen = until(lambda: (o := server(group, group.replica).observe()).healthy is False and o)
        assert seen.facts["link"] == "down"
        assert "lag_seconds" not in seen.readings
        assert seen.readings["link_down_seconds"] >= -1
    finally:
        command(group.replica, "REPLICAOF", "127.0.0.1", group.primary)
        until(lambda: server(group, group.replica).observe().healthy)


def test_a_full_cache_is_unhealthy_only_when_it_refuses_writes(group, command):
    command(group.primary, "CONFIG", "SET", "maxmemory", "100kb")
    try:
        refusing = server(group, group.primary).observe()
        command(group.primary, "CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
        evicting = server(group, group.primary).observe()
    finally:
        command(group.primary, "CONFIG", "SET", "maxmemory", "0")
        command(group.primary, "CONFIG", "SET", "maxmemory-policy", "noeviction")
    assert (refusing.facts["full"], refusing.healthy) == (True, False)
    assert (evicting.facts["full"], evicting.healthy) == (True, True)
    assert refusing.readings["memory_max_bytes"] == 102400


def test_nothing_there_is_down_and_wrong_credentials_are_permanent(group, secret):
    gone = server(group, free_port()).observe()
    assert (gone.healthy, gone.readings) == (False, {})
    assert "does not answer" in gone.facts["error"]
    for password in (None, secret("wrong-password-here")):
        with pytest.raises(PermanentError, match="refuses these credentials") as caught:
            server(group, group.primary, password=password).observe()
        assert "wrong-password-here" not in str(caught.value)


def test_a_server_that_hangs_is_down_after_its_time(group, monkeypatch):
    monkeypatch.setattr("drivers.redis.client.READ_SECONDS", 0.3)
    os.kill(group.children[group.primary].pid, signal.SIGSTOP)
    try:
        assert server(group, group.primary).observe().healthy is False
    finally:
        os.kill(group.children[group.primary].pid, signal.SIGCONT)
    until(lambda: server(group, group.primary).observe().healthy)
    until(lambda: watch(group).observe().healthy)


def test_sentinels_agree_on_a_primary(group):
    seen = watch(group).observe()
    assert (seen.kind, seen.healthy) == ("sentinel", True)
    assert seen.facts["primary"] == watch(group).primary() == f"127.0.0.1:{group.primary}"
    assert (seen.facts["quorum"], seen.facts["quorum_ok"]) == (2, True)
    assert [(r["address"], r["flags"]) for r in seen.facts["replicas"]] == [(f"127.0.0.1:{group.replica}", "slave")]
    assert seen.readings == {"sentinels": 3.0, "replicas": 1.0}


def test_one_lost_sentinel_is_borne_and_two_are_not(group):
    one, two = group.watchers[:2]
    borne = watch(group, [["127.0.0.1", one], ["127.0.0.1", two], ["127.0.0.1", free_port()]]).observe()
    assert (borne.healthy, borne.readings["sentinels"]) == (True, 2.0)
    assert "does not answer" in borne.facts["sentinels"][2]["error"]
    lost = watch(group, [["127.0.0.1", one], ["127.0.0.1", free_port()], ["127.0.0.1", free_port()]])
    seen = lost.observe()
    assert (seen.healthy, seen.facts["error"]) == (False, "the Sentinels of edye do not agree on a primary")
    with pytest.raises(TransientError, match="do not agree"):
        lost.primary()


def test_no_sentinel_at_all_is_down(group):
    seen = watch(group, [["127.0.0.1", free_port()]]).observe()
    assert seen.healthy is False
    assert seen.facts["error"].startswith("no Sentinel answers")


def test_a_lost_quorum_is_unhealthy(group):
    with redis.Redis(port=group.watchers[0], password=PASSWORD, decode_responses=True) as client:
        client.execute_command("SENTINEL", "SET", "edye", "quorum", "9")
        try:
            seen = watch(group).observe()
        finally:
            client.execute_command("SENTINEL", "SET", "edye", "quorum", "2")
    assert (seen.healthy, seen.facts["quorum_ok"]) == (False, False)


def test_a_group_that_nobody_watches_and_a_missing_password_are_told(group):
    seen = watch(group, master="unknown").observe()
    assert seen.healthy is False
    assert "refuses" in seen.facts["error"]
    facts = {"sentinels": [["127.0.0.1", group.watchers[-1]]], "master": "edye"}
    assert "refuses these credentials" in Sentinel(facts, SecretStore()).observe().facts["error"]


def test_a_sentinel_without_a_password_is_not_offered_one(group, ground, valkey_argv):
    port = free_port()
    path = ground / "lone.conf"
    path.write_text(
        f"port {port}\nbind 127.0.0.1\nsentinel monitor lone 127.0.0.1 {group.primary} 1\n"
        f"sentinel auth-pass lone {PASSWORD}\n"
    )
    with running([valkey_argv(port)[0], str(path), "--sentinel"], ground / "lone.log"):
        lone = watch(group, [["127.0.0.1", port]], master="lone")
        seen = until(lambda: (o := lone.observe()).healthy and o)
    assert seen.facts["primary"] == f"127.0.0.1:{group.primary}"


@pytest.mark.parametrize("sentinels", [[], "x", [["127.0.0.1"]], [["a b", 1]], [["127.0.0.1", "1"]], 5, [5]])
def test_odd_sentinel_facts_are_refused(sentinels):
    with pytest.raises(InvalidInput):
        Sentinel({"sentinels": sentinels, "master": "edye"}, SecretStore())


def test_a_primary_that_all_believe_down_is_unhealthy(group, monkeypatch):
    believed = sentinel_module.View("s:1", "127.0.0.1:1", "master,o_down", 2, True, (), None)
    monkeypatch.setattr(Sentinel, "views", lambda _: [believed])
    assert watch(group).observe().healthy is False


@pytest.mark.parametrize(("host", "port"), [("a;b", 1), ("-h", 1), ("", 1), ("127.0.0.1", 0), ("127.0.0.1\n", 1)])
def test_hostile_addresses_are_refused(host, port):
    with pytest.raises(InvalidInput):
        Redis({"host": host, "port": port}, SecretStore())
