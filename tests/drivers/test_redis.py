"""Redis and Sentinel drivers on real Valkey servers: a primary, a replica, three Sentinels."""

from __future__ import annotations

import os
import signal
import threading
from contextlib import ExitStack, contextmanager
from types import SimpleNamespace
from typing import get_args

import pytest
import redis

from drivers.acts import Call
from drivers.base import InvalidInput, PermanentError, StaleFence, TransientError
from drivers.redis import Redis, Sentinel, failover
from drivers.redis import sentinel as sentinel_module
from drivers.redis.acts import MARK, FlushPrefixAct, SetParameterAct, escaped
from drivers.redis.failover import FailoverAct
from drivers.redis.settings import SETTINGS, Name, canonical
from drivers.secret import SecretStore
from tests.drivers.contract import Contract, World, call
from tests.drivers.daemons import free_port, listening, running, until
from tests.drivers.simulated.redis import EXAMPLES, RedisWorld, SentinelWorld
from tests.drivers.tls_front import certified, cut_off, tls_front

PASSWORD = "cache-password"


@contextmanager
def watched(ground, valkey_argv):
    """A primary, its replica and three Sentinels of the group `edye`; all of them ask for a password."""
    primary, replica, *watchers = (free_port() for _ in range(5))
    reference = ground / "cache-password"
    reference.write_text(PASSWORD)
    auth = ["--requirepass", PASSWORD, "--masterauth", PASSWORD, "--repl-diskless-sync-delay", 0]
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
            # Not faster: four publish periods after a failover a Sentinel turns a returning primary into a replica, and
            # one that has not yet heard of the failover would turn the new primary into one.
            run(port, "SENTINEL", "DEBUG", "info-period", 300, "publish-period", 1000, "ask-period", 300)
        made = SimpleNamespace(
            primary=primary, replica=replica, watchers=watchers, secret=f"file:{reference}", children=children
        )
        until(lambda: server(made, replica).observe().healthy)
        until(lambda: settled(made))
        yield made


def settled(group):
    """Whether all three Sentinels know each other, and a replica that could take over."""
    views = watch(group).views()
    known = [view for view in views if view.quorum_ok and not view.failing_over and any(r.ready for r in view.replicas)]
    meet = [run(port, "SENTINEL", "MASTER", "edye")["num-other-sentinels"] for port in group.watchers]
    return len(known) == 3 and meet == [2, 2, 2]


def run(port, *words):
    """A command past the driver."""
    with redis.Redis(port=port, password=PASSWORD, decode_responses=True) as client:
        return client.execute_command(*(" ".join(words[:2]), *words[2:]) if words[1:2] == ("MASTER",) else words)


@pytest.fixture(scope="module")
def group(ground, valkey_argv):
    with watched(ground, valkey_argv) as made:
        yield made


def server(group: SimpleNamespace, port: int, **more: object) -> Redis:
    return Redis({"host": "127.0.0.1", "port": port, "password": group.secret, **more}, SecretStore())


def watch(group: SimpleNamespace, sentinels: list | None = None, **more: object) -> Sentinel:
    where = sentinels or [["127.0.0.1", port] for port in group.watchers]
    return Sentinel({"sentinels": where, "master": "edye", "password": group.secret, **more}, SecretStore())


@pytest.fixture
def command(group):
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


class LoneServer(World):
    """A real server with nobody beside it."""

    driver_class = Redis
    examples = EXAMPLES

    def __init__(self, port):
        self.port = port
        self.client = redis.Redis(port=port)

    def driver(self):
        return Redis({"driver": "redis", "host": "127.0.0.1", "port": self.port, "password": "env:PATH"}, Passwords())

    def unreachable(self):
        return Redis({"driver": "redis", "host": "127.0.0.1", "port": free_port()}, SecretStore())

    def picture(self):
        keys = {key: self.client.get(key) for key in self.client.scan_iter() if not key.startswith(MARK.encode())}
        return keys, self.client.config_get("*")

    def prepare(self, act):
        self.client.config_set("maxmemory-policy", "noeviction")
        self.client.mset({"page:1": "x", "page:2": "x", "page*": "x", "session:1": "x"})


class Passwords(SecretStore):
    """The lone server has no password; a default user without one takes any."""

    def optional(self, reference):
        return None


class WatchedGroup(World):
    """A real primary, replica and three Sentinels, apart from those of the other tests."""

    driver_class = Sentinel
    examples = SentinelWorld.examples

    def __init__(self, group):
        self.group = group

    def driver(self):
        return watch(self.group, driver="sentinel", server_password=self.group.secret)

    def unreachable(self):
        return watch(self.group, [["127.0.0.1", free_port()]])

    def picture(self):
        return [run(port, "ROLE")[0] for port in (self.group.primary, self.group.replica)], epochs(self.group)

    def prepare(self, act):
        until(lambda: settled(self.group))


def epochs(group):
    """How many failovers each Sentinel has seen."""
    return [run(port, "SENTINEL", "MASTER", "edye")["config-epoch"] for port in group.watchers]


@contextmanager
def lone_server(request):
    ground, valkey_argv, port = *map(request.getfixturevalue, ("ground", "valkey_argv")), free_port()
    with running(valkey_argv(port), ground / f"{port}.log"):
        until(lambda: listening(port))
        yield LoneServer(port)


@contextmanager
def watched_group(request):
    with watched(*map(request.getfixturevalue, ("ground", "valkey_argv"))) as made:
        yield WatchedGroup(made)


@contextmanager
def simulated(world):
    yield world()


@pytest.fixture(autouse=True)
def impatient(monkeypatch):
    monkeypatch.setattr(failover, "POLL_SECONDS", 0.05)


class TestRedisContract(Contract):
    declared = Redis
    worlds = {"real": lone_server, "simulated": lambda _: simulated(RedisWorld)}


class TestSentinelContract(Contract):
    declared = Sentinel
    worlds = {"real": watched_group, "simulated": lambda _: simulated(SentinelWorld)}


def test_the_simulated_server_keeps_what_has_another_prefix():
    world = RedisWorld()
    act = FlushPrefixAct()
    params = act.parse(EXAMPLES["flush-prefix"])
    act.do(world.driver(), params, act.before(world.driver(), params), call())
    assert world.picture()[0] == {b"page*": b"x", b"session:1": b"x"}


@pytest.fixture(scope="module")
def lone(ground, valkey_argv):
    """A server without a password, its driver and a client of its second database."""
    port = free_port()
    with running(valkey_argv(port), ground / f"{port}.log"), redis.Redis(port=port, db=1) as client:
        until(lambda: listening(port))
        driver = Redis({"host": "127.0.0.1", "port": port, "database": 1}, SecretStore())
        yield SimpleNamespace(port=port, driver=driver, client=client)


def unmet(act, driver, given):
    return [each.seen for each in act.conditions(driver, act.parse(given)) if not each.holds]


VALUES = {
    "appendfsync": "always",
    "lazyfree-lazy-eviction": "no",
    "lazyfree-lazy-expire": "no",
    "maxclients": "700",
    "maxmemory": "64mb",
    "maxmemory-policy": "volatile-ttl",
    "repl-backlog-size": "1m",
}


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_every_parameter_of_the_list_is_set_and_set_back(lone, name):
    """The server answers in the very form that is compared with, or `done` would never be true."""
    act = SetParameterAct()
    params = act.parse({"name": name, "value": VALUES.get(name, "7")})
    before = act.before(lone.driver, params)
    assert act.done(lone.driver, params, before) is False
    act.do(lone.driver, params, before, call())
    assert act.done(lone.driver, params, before) is True
    act.undo(lone.driver, params, before, call())
    assert lone.driver.setting(name) == before["value"]


def test_the_list_of_the_form_is_the_list_of_the_checks():
    assert sorted(get_args(Name)) == sorted(SETTINGS)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        *(("maxmemory", "512mb", "536870912"), ("maxmemory", "2GB", "2147483648"), ("maxmemory", "0", "0")),
        *(("maxmemory", "3000000", "3000000"), ("timeout", "007", "7"), ("slowlog-log-slower-than", "-1", "-1")),
    ],
)
def test_values_are_brought_into_the_form_of_the_server(name, value, expected):
    assert canonical(name, value) == expected


@pytest.mark.parametrize(
    "given",
    [
        *(
            {"name": name, "value": "1"}
            for name in ("dir", "port", "requirepass", "dbfilename", "maxmemory\n", "MAXMEMORY")
        ),
        *({"name": "maxmemory", "value": value} for value in ("1", "5zb", "-1", "1mbx", "99999999gb", " 64mb", "٣mb")),
        *({"name": "hz", "value": value} for value in ("0", "501", "1.5", "0x10", "٣")),
        *({"name": "maxmemory-policy", "value": value} for value in ("lru", "allkeys-ttl", "noeviction ")),
    ],
)
def test_what_is_not_on_the_list_or_out_of_range_is_refused(given):
    with pytest.raises(InvalidInput):
        SetParameterAct().parse(given)


def test_limits_that_would_hurt_at_once_are_declined(lone, group):
    act = SetParameterAct()
    lone.client.set("big", "x" * 2_000_000)
    (seen,) = unmet(act, lone.driver, {"name": "maxmemory", "value": "1048576"})
    assert seen.startswith("used_memory is ")
    assert unmet(act, lone.driver, {"name": "maxmemory", "value": "0"}) == []
    assert unmet(act, lone.driver, {"name": "maxmemory", "value": "1gb"}) == []
    replicas = {"name": "min-replicas-to-write", "value": "2"}
    assert unmet(act, server(group, group.primary), replicas) == ["connected_slaves is 1"]
    assert unmet(act, server(group, group.primary), {**replicas, "value": "1"}) == []
    assert unmet(act, server(group, group.replica), replicas) == []
    lone.client.delete("big")


def test_what_somebody_else_has_set_since_is_not_taken_back(lone):
    act, lines = SetParameterAct(), []
    params = act.parse({"name": "timeout", "value": "30"})
    before = act.before(lone.driver, params)
    act.do(lone.driver, params, before, call())
    lone.client.config_set("timeout", 90)
    assert act.undo(lone.driver, params, before, Call("t", log=lines.append))["changed_by_another"] is True
    assert (lone.driver.setting("timeout"), len(lines)) == ("90", 1)
    lone.client.config_set("timeout", 0)


def test_a_caller_without_its_claim_sets_and_deletes_nothing(lone):
    lone.client.flushdb()
    lone.client.set("page:1", "x")
    lost = Call("t", alive=lambda: False)
    for act, given in (
        (SetParameterAct(), {"name": "timeout", "value": "5"}),
        (FlushPrefixAct(), EXAMPLES["flush-prefix"]),
    ):
        params = act.parse(given)
        with pytest.raises(StaleFence):
            act.do(lone.driver, params, act.before(lone.driver, params), lost)
    assert (lone.driver.setting("timeout"), lone.client.keys()) == ("0", [b"page:1"])


@pytest.mark.parametrize("prefix", ["a*", "a?", "[ab]", "a\\", "^a", "é", "a b", "-rf"])
def test_a_prefix_is_taken_literally(lone, prefix):
    lone.client.flushdb()
    others = [b"a", b"ab", b"axe", b"b", "è".encode(), b"\xff\xfe binary", MARK.encode() + b"another"]
    mine = [prefix.encode(), prefix.encode() + b"1", prefix.encode() + b"\xff", prefix.encode() + b"*"]
    lone.client.mset(dict.fromkeys([*others, *mine], "x"))
    act = FlushPrefixAct()
    params = act.parse({"prefix": prefix, "confirm": prefix})
    before = act.before(lone.driver, params)
    assert (before["matching"], before["keys"]) == (len(mine), len(mine) + len(others))
    assert act.do(lone.driver, params, before, call()) == {"deleted": len(mine)}
    left = [key for key in lone.client.scan_iter() if not key.endswith(before["mark"].encode())]
    assert sorted(left) == sorted(others)
    assert escaped("a") == b"a*"


def test_a_deletion_that_was_killed_goes_on_and_spares_what_came_later(lone):
    """Five batches; the worker loses its claim after two; another one finishes; the application refills the cache."""
    lone.client.flushdb()
    lone.client.mset({f"page:{number}": "x" for number in range(2400)})
    act, asked, told = FlushPrefixAct(), iter([True, True, True, False]), []
    params = act.parse(EXAMPLES["flush-prefix"])
    before = act.before(lone.driver, params)
    with pytest.raises(StaleFence):
        act.do(lone.driver, params, before, Call("t", alive=lambda: next(asked), progress=lambda *n: told.append(n)))
    left = lone.client.dbsize()
    assert 0 < left < 2400
    assert (len(told), {whole for _, whole in told}) == (2, {2400})
    assert act.done(lone.driver, params, before) is False
    assert act.do(lone.driver, params, before, call()) == {"deleted": left - 1}  # one is the mark
    lone.client.set("page:fresh", "x")
    assert act.done(lone.driver, params, before) is True
    assert act.do(lone.driver, params, before, call()) == {"deleted": left - 1}
    assert lone.client.exists("page:fresh") == 1
    assert 0 < lone.client.ttl(MARK + before["mark"]) <= 86_400


def test_keys_are_not_deleted_on_a_replica_or_by_a_user_who_may_not(group, lone, command):
    act = FlushPrefixAct()
    assert unmet(act, server(group, group.replica), EXAMPLES["flush-prefix"]) == ["its role is slave"]
    lone.client.execute_command("ACL", "SETUSER", "reader", "on", "nopass", "+@read", "+@connection", "+info", "~*")
    reader = Redis({**lone.driver.facts, "user": "reader", "password": "env:PATH"}, SecretStore())
    lone.client.set("page:1", "x")
    params = act.parse(EXAMPLES["flush-prefix"])
    with pytest.raises(PermanentError, match="refuses these credentials"):
        act.do(reader, params, act.before(reader, params), call())
    assert lone.client.exists("page:1") == 1
    seen = reader.observe()
    assert (seen.healthy, seen.facts["settings"]) == (True, None)


def test_advice_is_given_where_a_split_network_would_lose_writes(group, command):
    def first():
        return server(group, group.primary).observe().facts["advice"][0]

    assert first().startswith("min-replicas-to-write is 0")
    command(group.primary, "CONFIG", "SET", "min-replicas-to-write", "1")
    try:
        assert first().startswith("There is no memory limit")
    finally:
        command(group.primary, "CONFIG", "SET", "min-replicas-to-write", "0")


def test_tls_is_verified_against_the_given_authority(lone, place):
    certificate, authority = certified(place)
    (place / "other").mkdir()
    _, stranger = certified(place / "other")
    with tls_front(certificate, lone.port) as port:
        facts = {"host": "127.0.0.1", "port": port}
        assert Redis({**facts, "ca": str(authority)}, SecretStore()).observe().healthy is True
        for more in ({"ca": str(stranger)}, {"tls": True}):
            seen = Redis({**facts, **more}, SecretStore()).observe()
            assert (seen.healthy, "certificate verify failed" in seen.facts["error"]) == (False, True)
    with pytest.raises(PermanentError, match="cannot be read"):
        Redis({**facts, "ca": str(place / "none.pem")}, SecretStore()).observe()
    with pytest.raises(InvalidInput):
        Redis({**facts, "ca": str(authority), "tls": False}, SecretStore())


@pytest.mark.parametrize("answer", [b"", b"$100\r\nhalf", b"*2\r\n$1\r\n", b"HTTP/1.1 400 Bad Request\r\n\r\n"])
def test_half_an_answer_is_none(answer):
    with cut_off(answer) as port:
        driver = Redis({"host": "127.0.0.1", "port": port}, SecretStore())
        assert driver.observe().healthy is False
        act = SetParameterAct()
        with pytest.raises(TransientError):
            act.do(driver, act.parse(EXAMPLES["set-parameter"]), {"value": "noeviction"}, call())


def test_a_sentinel_that_has_not_heard_of_the_failover_is_not_asked_for_another(monkeypatch):
    """The one that led it is through and names the new primary; the first of the list still names the old one."""
    old, new = "10.0.0.7:6379", "10.0.0.8:6379"

    def views(*named, flags="master"):
        follower = sentinel_module.Replica(old, "slave", "slave", "ok", 100, 1)
        return [
            sentinel_module.View(f"10.0.0.{n}:1", one, flags, 2, True, (follower,), None) for n, one in enumerate(named)
        ]

    told = iter([views(old, old, old, flags="master,failover_in_progress"), views(old, old, new), views(new, new, new)])
    asked = []
    monkeypatch.setattr(Sentinel, "views", lambda _: next(told))
    monkeypatch.setattr(Sentinel, "failover", lambda *each, **_: asked.append(each))
    act, driver = FailoverAct(), Sentinel({"sentinels": [["10.0.0.0", 1]], "master": "edye"}, SecretStore())
    assert act.do(driver, act.parse({}), {"primary": old}, call()) == {"primary": new, "former": old}
    assert asked == []


class TestFailover:
    """One group fails over to and fro; each test leaves it settled."""

    @pytest.fixture(scope="class")
    @classmethod
    def moving(cls, ground, valkey_argv):
        with watched(ground, valkey_argv) as made:
            yield made

    @pytest.fixture
    def ready(self, moving):
        until(lambda: settled(moving))
        act = FailoverAct()
        driver = watch(moving, server_password=moving.secret)
        forced, coordinated = (act.parse({"mode": mode}) for mode in ("forced", "coordinated"))
        before = act.before(driver, forced)
        return SimpleNamespace(
            group=moving,
            act=act,
            driver=driver,
            before=before,
            epochs=epochs(moving),
            forced=forced,
            coordinated=coordinated,
        )

    def test_the_coordinated_way_loses_no_write(self, ready):
        """A writer that follows the group keeps what was acknowledged; all of it is there afterwards."""
        stop, kept = threading.Event(), []

        def write():
            client, number = redis.Redis(port=int(ready.before["primary"].split(":")[1]), password=PASSWORD), 0
            while not stop.is_set():
                try:
                    client.set(f"order:{number}", "x")
                    kept.append(number)
                    number += 1
                except redis.RedisError:
                    client = redis.Redis(port=int(until(ready.driver.primary).split(":")[1]), password=PASSWORD)

        writer = threading.Thread(target=write)
        writer.start()
        until(lambda: len(kept) > 50)
        result = ready.act.do(ready.driver, ready.coordinated, ready.before, call())
        mark = len(kept)
        until(lambda: len(kept) > mark + 50)
        stop.set()
        writer.join()
        assert (result["former"], result["primary"] == ready.driver.primary()) == (ready.before["primary"], True)
        with redis.Redis(port=int(result["primary"].split(":")[1]), password=PASSWORD) as client:
            assert [number for number in kept if not client.exists(f"order:{number}")] == []

    def test_a_worker_that_died_after_asking_is_followed_by_one_that_waits(self, ready, monkeypatch):
        def die(_):
            raise KeyboardInterrupt

        monkeypatch.setattr(failover.time, "sleep", die)
        with pytest.raises(KeyboardInterrupt):
            ready.act.do(ready.driver, ready.forced, ready.before, call())
        monkeypatch.undo()
        assert unmet(ready.act, ready.driver, {"mode": "forced"}) == []
        result = ready.act.do(ready.driver, ready.forced, ready.before, call())
        assert ready.act.done(ready.driver, ready.forced, ready.before) is True
        assert until(lambda: (now := epochs(ready.group)) != ready.epochs and now) == [ready.epochs[0] + 1] * 3
        ports = [int(result[which].split(":")[1]) for which in ("primary", "former")]
        assert [run(port, "ROLE")[0] for port in ports] == ["master", "slave"]

    def test_a_failover_that_another_sentinel_is_at_is_not_begun_again(self, ready):
        run(ready.group.watchers[-1], "SENTINEL", "FAILOVER", "edye")
        ready.act.do(ready.driver, ready.forced, ready.before, call())
        assert epochs(ready.group) == [ready.epochs[0] + 1] * 3

    def test_one_that_is_at_it_says_so_and_is_believed(self, ready):
        first = ready.group.watchers[0]
        run(first, "SENTINEL", "FAILOVER", "edye")
        assert ready.driver.failover(f"127.0.0.1:{first}", coordinated=False) is False
        ready.act.do(ready.driver, ready.forced, ready.before, call())

    def test_without_a_fit_replica_it_is_declined_and_can_be_asked_again(self, ready):
        follower = next(
            port for port in (ready.group.primary, ready.group.replica) if str(port) not in ready.before["primary"]
        )
        run(follower, "CONFIG", "SET", "replica-priority", "0")
        try:
            until(lambda: unmet(ready.act, ready.driver, {"mode": "forced"}))
            with pytest.raises(TransientError, match="NOGOODSLAVE"):
                ready.act.do(ready.driver, ready.forced, ready.before, call())
        finally:
            run(follower, "CONFIG", "SET", "replica-priority", "100")
        assert epochs(ready.group) == ready.epochs

    def test_a_caller_without_its_claim_asks_for_nothing(self, ready):
        with pytest.raises(StaleFence):
            ready.act.do(ready.driver, ready.forced, ready.before, Call("t", alive=lambda: False))
        assert not any(view.failing_over for view in ready.driver.views())

    def test_servers_that_refuse_the_password_are_told(self, ready, secret):
        odd = watch(ready.group, server_password=secret("wrong-password-here"))
        with pytest.raises(PermanentError, match="refuses these credentials") as caught:
            odd.role_of(ready.before["primary"])
        assert "wrong-password-here" not in str(caught.value)
        assert watch(ready.group).role_of(ready.before["primary"]) is None
