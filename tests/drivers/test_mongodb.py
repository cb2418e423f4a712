"""The MongoDB driver on a simulated replica set, on SecantusDB, and on a real replica set where one is named."""

from __future__ import annotations

import os
import socket
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from types import SimpleNamespace

import pymongo
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from pymongo.uri_parser import parse_uri

from drivers.acts import Call
from drivers.base import InvalidInput, PermanentError, StaleFence, TransientError
from drivers.mongodb import MongoDB
from drivers.mongodb import acts as actions
from drivers.secret import SecretStore
from tests.drivers import daemons
from tests.drivers.contract import Contract, World, acts, call
from tests.drivers.daemons import free_port, running, stub, until
from tests.drivers.simulated.mongodb import ReplicaSetWorld, SimulatedMongoDB
from tests.drivers.simulated.mongodb_wire import ReplicaSet, listening
from tests.need import need

URL = os.environ.get("MONGODB_TEST_URL", "")
PASSWORD = "documents-password"


class WireMongoDB(ReplicaSetWorld):
    """The simulator behind real sockets: what pymongo itself makes of the answers is under test."""

    def unreachable(self):
        return MongoDB(self.facts(f"127.0.0.1:{free_port()}"), SecretStore())


class RealMongoDB(World):
    """The replica set that MONGODB_TEST_URL names. Its acts hold real elections."""

    driver_class = MongoDB
    examples = ReplicaSetWorld.examples
    patience_seconds = 30

    def __init__(self, url):
        self.parts, self.client = parse_uri(url), pymongo.MongoClient(url, serverSelectionTimeoutMS=20_000)
        self.member = self._members()[0][0]

    def _members(self):
        status = self.client.admin.command("replSetGetStatus")
        return [(each["name"], each["stateStr"]) for each in status["members"]]

    def _facts(self, member):
        os.environ["MONGODB_TEST_PASSWORD"] = self.parts["password"] or ""
        host, _, port = member.rpartition(":")
        options = self.parts["options"]
        return {
            "host": host,
            "port": int(port),
            "replica_set": options.get("replicaSet"),
            "user": self.parts["username"],
            "tls": bool(options.get("tls")),
            "ca": options.get("tlsCAFile"),
            "password": "env:MONGODB_TEST_PASSWORD" if self.parts["password"] else None,
        }

    def driver(self):
        return MongoDB(self._facts(self.member), SecretStore())

    def prepare(self, act):
        step_down = act.name == "step-down"

        def ready():
            wanted = "PRIMARY" if step_down else "SECONDARY"
            self.member = next(name for name, state in self._members() if state == wanted)
            params = act.parse(self.examples[act.name])
            return all(each.holds for each in act.conditions(self.driver(), params))

        until(ready, 120)

    def picture(self):
        return sorted(self._members())

    def unreachable(self):
        return MongoDB(self._facts(f"127.0.0.1:{free_port()}"), SecretStore())


@contextmanager
def wire(_):
    with listening(ReplicaSet([f"127.0.0.1:{free_port()}" for _ in range(3)])) as replica_set:
        yield WireMongoDB(replica_set)


@contextmanager
def in_memory(_):
    yield SimulatedMongoDB()


@contextmanager
def real(_):
    world = RealMongoDB(URL)
    yield world
    world.client.close()


class TestActs(Contract):
    declared = MongoDB
    worlds = {"wire": wire, "simulated": in_memory} | ({"real": real} if URL else {})


ACTS = acts(ReplicaSetWorld)


@pytest.fixture(scope="module")
def world():
    with wire(None) as made:
        yield made


@pytest.fixture
def rs(world, monkeypatch):
    """The simulated members as at the start: the first is primary, the others follow closely."""
    monkeypatch.setattr(actions, "PAUSE_SECONDS", 0.01)
    world.replica_set.__init__(list(world.replica_set.members))
    world.member = next(iter(world.replica_set.members))
    made = world.replica_set
    made.one, made.two, made.three = made.members.values()
    return made


def at(world, member, **more):
    return MongoDB({**world.facts(member.name), **more}, SecretStore())


def failing(name, driver, given):
    act = ACTS[name]
    return [each.text for each in act.conditions(driver, act.parse(given)) if not each.holds]


def test_a_primary_tells_its_members_lag_oplog_and_election(world, rs):
    rs.three.lag_seconds, rs.three.settings["priority"] = 42.0, 0.0
    seen = at(world, rs.one).observe()
    assert (seen.healthy, seen.version, seen.facts["role"], seen.facts["primary"]) == (
        *(True, "7.0.0", "primary"),
        rs.one.name,
    )
    assert (seen.facts["replica_set"], seen.facts["election_at"]) == ("rs0", "2026-03-01T12:00:00+00:00")
    assert seen.facts["members"] == [
        {"name": rs.one.name, "state": "PRIMARY", "up": True, "lag_seconds": 0.0, "source": None, "itself": True}
        | {"priority": 1.0, "votes": 1, "electable": True},
        {"name": rs.two.name, "state": "SECONDARY", "up": True, "lag_seconds": 0.0, "source": rs.one.name}
        | {"itself": False, "priority": 1.0, "votes": 1, "electable": True},
        {"name": rs.three.name, "state": "SECONDARY", "up": True, "lag_seconds": 42.0, "source": rs.one.name}
        | {"itself": False, "priority": 0.0, "votes": 1, "electable": False},
    ]
    latency = seen.readings.pop("latency_seconds")
    assert 0 < latency < 5
    assert seen.readings == {
        "connections": 7.0,
        "connections_available": 51193.0,
        "uptime_seconds": 3600.0,
        "lag_seconds": 42.0,
        "members": 3.0,
        "members_up": 3.0,
        "oplog_window_seconds": 172800.0,
    }


def test_a_secondary_tells_its_own_lag(world, rs):
    rs.two.lag_seconds, rs.three.lag_seconds = 3.0, 42.0
    seen = at(world, rs.two).observe()
    assert (seen.healthy, seen.facts["role"], seen.readings["lag_seconds"]) == (True, "secondary", 3.0)


def test_without_a_primary_every_member_is_unhealthy(world, rs):
    rs.one.state, rs.two.frozen_seconds, rs.three.frozen_seconds = "SECONDARY", 60, 60
    rs.one.frozen_seconds = 60
    seen = at(world, rs.two).observe()
    assert (seen.healthy, seen.facts["primary"], seen.facts["election_at"]) == (False, None, None)
    assert seen.facts["error"] == "the replica set has no primary: nothing can be written"


def test_a_member_that_does_no_work_is_unhealthy_and_one_that_is_lost_is_counted(world, rs):
    rs.two.state, rs.three.state = "RECOVERING", "(not reachable/healthy)"
    assert at(world, rs.two).observe().healthy is False
    seen = at(world, rs.one).observe()
    assert (seen.healthy, seen.readings["members_up"]) == (True, 2.0)
    assert [each["lag_seconds"] for each in seen.facts["members"]] == [0.0, 0.0, None]
    rs.two.state = "ARBITER"
    assert at(world, rs.two).observe().facts["role"] == "arbiter"


def test_a_member_of_another_replica_set_is_unhealthy(world, rs):
    seen = at(world, rs.one, replica_set="rs1").observe()
    assert (seen.healthy, seen.facts["error"]) == (False, "it belongs to the replica set rs0, not to rs1")


def test_what_the_account_may_not_read_is_named(world, rs):
    rs.forbidden = {"serverStatus", "replSetGetStatus", "replSetGetConfig", "find"}
    seen = at(world, rs.two).observe()
    assert (seen.healthy, seen.facts["role"], seen.facts["primary"]) == (True, "secondary", rs.one.name)
    assert seen.facts["unreadable"] == ["serverStatus", "replSetGetStatus", "config"]
    assert list(seen.readings) == ["latency_seconds"]
    with pytest.raises(PermanentError, match="not authorized"):
        failing("step-down", at(world, rs.one), {})
    rs.forbidden = {"replSetGetConfig"}
    assert "A secondary that can be elected is at most 10 seconds behind." in failing(
        "step-down", at(world, rs.one), {}
    )


def lost(member):
    member.state = "(not reachable/healthy)"


@pytest.mark.parametrize(
    ("spoil", "expected"),
    [
        (lambda rs: None, []),
        (lambda rs: lost(rs.three), []),
        (lambda rs: setattr(rs.three, "lag_seconds", 11), []),
        (lambda rs: (setattr(rs.two, "lag_seconds", 11), setattr(rs.three, "lag_seconds", 11)), ["behind"]),
        (lambda rs: (lost(rs.two), rs.three.settings.update(hidden=True)), ["behind"]),
        (lambda rs: (lost(rs.two), rs.three.settings.update(priority=0)), ["behind"]),
        (lambda rs: (lost(rs.two), rs.three.settings.update(secondaryDelaySecs=3600)), ["behind"]),
        (lambda rs: (lost(rs.two), setattr(rs.three, "state", "ARBITER")), ["behind"]),
        (lambda rs: (lost(rs.two), lost(rs.three)), ["behind", "up"]),
    ],
)
def test_a_primary_only_steps_down_for_a_successor(world, rs, spoil, expected):
    spoil(rs)
    found = failing("step-down", at(world, rs.one), {"lag_limit_seconds": 10})
    assert [text.rstrip(".").rpartition(" ")[2] for text in found] == expected


def test_only_the_primary_steps_down_and_only_a_secondary_is_frozen(world, rs):
    assert failing("step-down", at(world, rs.two), {}) == ["This member is the primary."]
    assert failing("freeze", at(world, rs.one), {"seconds": 60}) == ["This member is a secondary."]
    act, params = ACTS["freeze"], ACTS["freeze"].parse({"seconds": 60})
    with pytest.raises(PermanentError, match="cannot freeze node when primary"):
        act.do(at(world, rs.one), params, {"look": "x"}, call())
    # It was elected after it was frozen and unfrozen by time: there is nothing left to take back.
    assert act.undo(at(world, rs.one), params, {"look": "x"}, call()) == {"frozen_seconds": 0}


def test_a_step_down_is_sent_once_and_waits_for_the_election(world, rs):
    rs.looks = 4
    act, params, lines = ACTS["step-down"], ACTS["step-down"].parse({"stay_down_seconds": 60}), []
    driver = at(world, rs.one)
    before = act.before(driver, params)
    assert before == {
        "member": rs.one.name,
        "primary": rs.one.name,
        "returns": False,
        "members": [{"name": name, "lag_seconds": 0.0} for name in rs.members],
    }
    (line,) = act.sends(driver, params, before)
    assert line == f"{rs.one.name} db.adminCommand({{replSetStepDown: 60, secondaryCatchUpPeriodSecs: 10}})"
    assert act.do(driver, params, before, Call("op:1", log=lines.append)) == {"primary": rs.two.name}
    act.do(driver, params, before, Call("op:1", log=lines.append))
    assert [name for _, name in rs.seen].count("replSetStepDown") == 1
    assert lines == [f"{rs.one.name} stepped down", f"{rs.two.name} is primary", f"{rs.two.name} is primary"]


def test_during_the_election_it_is_neither_done_nor_failed(world, rs):
    """A worker was killed after the member had stepped down: the next one waits and does not send it again."""
    rs.looks = 3
    act, params = ACTS["step-down"], ACTS["step-down"].parse({})
    before = act.before(at(world, rs.one), params)
    rs.answer(rs.one.name, {"replSetStepDown": 60})
    with pytest.raises(TransientError, match="have not elected a primary yet"):
        act.done(at(world, rs.one), params, before)
    assert act.do(at(world, rs.one), params, before, call()) == {"primary": rs.two.name}
    assert act.done(at(world, rs.one), params, before) is True
    assert [name for _, name in rs.seen].count("replSetStepDown") == 1


def test_a_server_that_closes_all_connections_when_it_steps_down_is_understood(world, rs):
    rs.closes_on_step_down = True
    act, params, lines = ACTS["step-down"], ACTS["step-down"].parse({}), []
    before = act.before(at(world, rs.one), params)
    act.do(at(world, rs.one), params, before, Call("op:1", log=lines.append))
    assert "broke off" in lines[0]
    assert act.done(at(world, rs.one), params, before) is True


def test_an_election_without_result_and_secondaries_that_do_not_catch_up_are_asked_again(world, rs, monkeypatch):
    monkeypatch.setattr(actions, "ELECTION_SECONDS", 0.1)
    rs.looks = 1_000_000
    act, params = ACTS["step-down"], ACTS["step-down"].parse({})
    before = act.before(at(world, rs.one), params)
    with pytest.raises(TransientError, match="no other member became primary"):
        act.do(at(world, rs.one), params, before, call())
    rs.__init__(list(rs.members))
    for member in rs.members.values():
        member.lag_seconds = 60
    with pytest.raises(TransientError, match="No electable secondaries"):
        act.do(at(world, rs.one), params, before, call())


def test_who_takes_over_again_is_told(world, rs):
    rs.one.settings["priority"] = 2.0
    assert ACTS["step-down"].before(at(world, rs.one), ACTS["step-down"].parse({}))["returns"] is True


def test_a_caller_that_lost_its_claim_sends_nothing(world, rs):
    gone = Call("op:1", alive=lambda: False)
    for name, member, given in (("step-down", rs.one, {}), ("freeze", rs.two, {"seconds": 60})):
        act, driver = ACTS[name], at(world, member)
        params = act.parse(given)
        with pytest.raises(StaleFence):
            act.do(driver, params, act.before(driver, params), gone)
    assert (rs.primary(), rs.two.frozen_seconds) == (rs.one.name, 0)


def test_a_frozen_member_is_passed_over(world, rs):
    act, params = ACTS["freeze"], ACTS["freeze"].parse({"seconds": 600})
    before = act.before(at(world, rs.two), params)
    assert (before["primary"], before["other_candidates"]) == (rs.one.name, [rs.three.name])
    act.do(at(world, rs.two), params, before, call())
    down = ACTS["step-down"].parse({})
    kept = ACTS["step-down"].before(at(world, rs.one), down)
    assert ACTS["step-down"].do(at(world, rs.one), down, kept, call()) == {"primary": rs.three.name}
    assert act.undo(at(world, rs.two), params, before, call()) == {"frozen_seconds": 0}
    assert (rs.two.frozen_seconds, act.done(at(world, rs.two), params, before)) == (0, False)


@pytest.mark.parametrize("given", [{"seconds": 9}, {"seconds": 86_401}, {"seconds": "60"}, {"seconds": True}, {}])
def test_odd_times_are_refused(given):
    with pytest.raises(InvalidInput):
        ACTS["freeze"].parse(given)


@pytest.mark.parametrize(
    "wrong",
    [
        *({"host": "a;b"}, {"host": "-h"}, {"port": 0}, {"user": "a b"}, {"replica_set": "../x"}, {"tls": "no"}),
        *({"tls": True, "ca": "ca.pem"}, {"host": "127.0.0.1\n"}, {"port": "27017"}),
    ],
)
def test_odd_facts_are_refused(wrong):
    with pytest.raises(InvalidInput):
        MongoDB({"host": "127.0.0.1", "port": 1, **wrong}, SecretStore())


def test_what_is_no_mongodb_or_hangs_is_down(monkeypatch):
    monkeypatch.setattr("drivers.mongodb.client.CONNECT_SECONDS", 0.3)
    with stub(b"not a database") as other, socket.create_server(("127.0.0.1", 0)) as silent:
        for port in (other.server_port, silent.getsockname()[1]):
            seen = MongoDB({"host": "127.0.0.1", "port": port, "tls": False}, SecretStore()).observe()
            assert (seen.healthy, "does not answer" in seen.facts["error"]) == (False, True)


def test_no_thread_is_left_behind(world, rs):
    at(world, rs.one).observe()
    until(lambda: not [thread for thread in threading.enumerate() if "pymongo" in thread.name])
    assert at(world, rs.one).observe().healthy is True


@pytest.fixture(scope="module")
def certificates(ground):
    """An authority and a certificate for 127.0.0.1 that it has signed."""
    folder = ground / "mongodb-tls"
    folder.mkdir()
    now = datetime.now(UTC)
    ca_key, key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    issuer = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "test authority")])

    def builder(public, name):
        made = x509.CertificateBuilder().subject_name(name).issuer_name(issuer).public_key(public)
        return made.serial_number(x509.random_serial_number()).not_valid_before(now - timedelta(days=1))

    usage = x509.KeyUsage(*(False, False, False, False, False, True, True, False, False))
    ca = builder(ca_key.public_key(), issuer).not_valid_after(now + timedelta(days=2))
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=0), True).add_extension(usage, True)
    ski = x509.SubjectKeyIdentifier.from_public_key(ca_key.public_key())
    signed_ca = ca.add_extension(ski, False).sign(ca_key, hashes.SHA256())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "documents")])
    names = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    leaf = builder(key.public_key(), name).not_valid_after(now + timedelta(days=2)).add_extension(names, False)
    aki = x509.AuthorityKeyIdentifier.from_issuer_subject_key_identifier(ski)
    signed = leaf.add_extension(aki, False).sign(ca_key, hashes.SHA256())
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(signed_ca.public_bytes(pem))
    (folder / "cert.pem").write_bytes(signed.public_bytes(pem))
    private = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    (folder / "key.pem").write_bytes(key.private_bytes(pem, *private))
    return folder


@pytest.fixture(scope="module")
def secantus(ground, certificates):
    """SecantusDB with TLS, asking for a password. It is a program of its own; nothing of it is imported."""
    need(daemons.SECANTUSD, package="SecantusDB")
    folder, port = ground / "secantus", free_port()
    folder.mkdir()
    (folder / "password").write_text(PASSWORD)
    argv = [daemons.SECANTUSD, "--host", "127.0.0.1", "--port", str(port), "--storage-path", str(folder / "data")]
    argv += ["--cache-size", "64M"]
    options = {"cwd": folder, "env": {"HOME": str(folder), "PATH": "/usr/bin:/bin"}}
    with running(argv, folder / "log", **options), pymongo.MongoClient("127.0.0.1", port) as client:
        until(lambda: client.admin.command("ping"))
        roles = [{"role": "clusterMonitor", "db": "admin"}, {"role": "read", "db": "local"}]
        client.admin.command("createUser", "portal", pwd=PASSWORD, roles=roles)
        client.test.things.insert_one({"a": 1})
    argv += [
        "--auth",
        "--tls-cert-file",
        str(certificates / "cert.pem"),
        "--tls-key-file",
        str(certificates / "key.pem"),
    ]
    facts = {"host": "127.0.0.1", "port": port, "replica_set": "secantus", "user": "portal"}
    facts |= {"password": f"file:{folder}/password", "ca": str(certificates / "ca.pem")}
    with running(argv, folder / "log", **options):
        until(lambda: MongoDB(facts, SecretStore()).observe().healthy)
        yield SimpleNamespace(facts=facts, folder=folder)


def test_a_server_with_tls_and_users_is_observed(secantus):
    seen = MongoDB(secantus.facts, SecretStore()).observe()
    assert (seen.healthy, seen.facts["role"], seen.facts["replica_set"]) == (True, "primary", "secantus")
    assert seen.facts["primary"] == f"127.0.0.1:{secantus.facts['port']}"
    assert (seen.facts["storage_engine"], seen.version[:2]) == ("wiredTiger", "8.")
    assert [(each["state"], each["lag_seconds"], each["electable"]) for each in seen.facts["members"]] == [
        ("PRIMARY", 0.0, None)
    ]
    assert seen.facts["unreadable"] == ["config"]
    assert seen.readings["connections"] >= 1
    assert seen.readings["oplog_window_seconds"] >= 0
    assert PASSWORD not in repr(seen)


def test_wrong_credentials_are_permanent_and_an_unknown_authority_is_down(secantus, secret):
    for wrong in ({"password": secret("wrong-password")}, {"user": "nobody"}):
        with pytest.raises(PermanentError, match="refuses these credentials") as caught:
            MongoDB({**secantus.facts, **wrong}, SecretStore()).observe()
        assert not [word for word in ("wrong-password", PASSWORD) if word in str(caught.value)]
    untrusted = MongoDB({**secantus.facts, "ca": None}, SecretStore()).observe()
    assert (untrusted.healthy, "certificate" in untrusted.facts["error"].lower()) == (False, True)
    plain = MongoDB({**secantus.facts, "tls": False}, SecretStore()).observe()
    assert plain.healthy is False
    missing = secantus.folder / "none.pem"
    with pytest.raises(PermanentError, match="no file of certificates"):
        MongoDB({**secantus.facts, "ca": str(missing)}, SecretStore()).observe()


def test_without_credentials_only_the_greeting_is_known(secantus):
    stranger = MongoDB({**secantus.facts, "user": None, "password": None}, SecretStore())
    seen = stranger.observe()
    assert (seen.healthy, seen.facts["role"]) == (True, "primary")
    assert seen.facts["unreadable"] == ["serverStatus", "replSetGetStatus", "config"]
    with pytest.raises(PermanentError, match="requires authentication"):
        failing("step-down", stranger, {})


def test_a_member_alone_does_not_step_down(secantus):
    driver = MongoDB(secantus.facts, SecretStore())
    act, params = ACTS["step-down"], ACTS["step-down"].parse({})
    assert "A secondary that can be elected is at most 10 seconds behind." in failing("step-down", driver, {})
    with pytest.raises((TransientError, PermanentError), match="No electable secondaries"):
        act.do(driver, params, act.before(driver, params), call())
    assert driver.observe().facts["role"] == "primary"


def test_a_server_that_stands_alone_has_no_replica_set(ground):
    need(daemons.SECANTUSD, package="SecantusDB")
    port, folder = free_port(), ground / "alone"
    folder.mkdir()
    argv = [daemons.SECANTUSD, "--host", "127.0.0.1", "--port", str(port), "--storage-path", ":memory:", "--standalone"]
    alone = MongoDB({"host": "127.0.0.1", "port": port, "tls": False}, SecretStore())
    with running([*argv, "--cache-size", "64M"], folder / "log", cwd=folder):
        seen = until(lambda: (o := alone.observe()).healthy and o)
        assert (seen.facts["role"], seen.facts["replica_set"], seen.facts["unreadable"]) == ("standalone", None, [])
        declared = MongoDB({**alone.facts, "replica_set": "rs0"}, SecretStore()).observe()
        assert (declared.healthy, declared.facts["role"]) == (False, "standalone")
    assert alone.observe().healthy is False
