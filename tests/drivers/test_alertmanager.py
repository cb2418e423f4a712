"""The Alertmanager driver on a real server that is told of alerts."""

from __future__ import annotations

import json
import os
import signal
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from drivers import prometheus_api
from drivers.acts import Call
from drivers.alertmanager import Alertmanager, parsed
from drivers.base import InvalidInput, PermanentError, StaleFence, TransientError
from drivers.secret import SecretStore
from tests.drivers import daemons
from tests.drivers.contract import Contract, World, acts, call
from tests.drivers.daemons import free_port, running, until
from tests.drivers.simulated import alertmanager as simulation
from tests.drivers.simulated.prometheus import AnySecret
from tests.need import need

CONFIG = "route: {receiver: nobody}\nreceivers: [{name: nobody}]\n"


@pytest.fixture(scope="module")
def server(ground):
    need(daemons.ALERTMANAGER, package="prometheus-alertmanager")
    port = free_port()
    folder = ground / f"alertmanager-{port}"
    folder.mkdir()
    (folder / "config.yml").write_text(CONFIG)
    argv = [daemons.ALERTMANAGER, f"--config.file={folder}/config.yml", f"--storage.path={folder}/data"]
    argv += [f"--web.listen-address=127.0.0.1:{port}", "--cluster.listen-address=", "--log.level=error"]
    with running(argv, folder / "log") as child:
        url = f"http://127.0.0.1:{port}"
        until(lambda: httpx.get(f"{url}/-/ready", trust_env=False).status_code == 200)
        yield Server(url, child)


class Server:
    """Reads and writes past the driver."""

    def __init__(self, url, child):
        self.url = url
        self.child = child

    def ask(self, method, path, **sent):
        answer = httpx.request(method, f"{self.url}/api/v2/{path}", trust_env=False, **sent).raise_for_status()
        return answer.json() if answer.content else None

    def silences(self):
        return self.ask("GET", "silences")

    def fire(self, name, **labels):
        self.ask("POST", "alerts", json=[{"labels": {"alertname": name, **labels}}])

    def place(self, name="Slow", comment="night", minutes=60):
        now = datetime.now(UTC)
        matchers = [{"name": "alertname", "value": name, "isRegex": False, "isEqual": True}]
        times = {"startsAt": now.isoformat(), "endsAt": (now + timedelta(minutes=minutes)).isoformat()}
        body = {"matchers": matchers, "createdBy": "bob", "comment": comment, **times}
        return self.ask("POST", "silences", json=body)["silenceID"]


class RealWorld(World):
    driver_class = Alertmanager
    free_text = simulation.AlertmanagerWorld.free_text

    def __init__(self, server):
        self.server = server
        self.examples = {"silence": simulation.SILENCE, "expire-silence": {"silence": ""}}

    def driver(self):
        return Alertmanager({"url": self.server.url}, AnySecret())

    def unreachable(self):
        return Alertmanager({"url": f"http://127.0.0.1:{free_port()}"}, AnySecret())

    def picture(self):
        return simulation.running(self.server.silences())

    def prepare(self, act):
        if act.name == "expire-silence":
            self.examples["expire-silence"] = {"silence": self.server.place()}


@contextmanager
def real(request):
    yield RealWorld(request.getfixturevalue("server"))


@contextmanager
def simulated(request):
    yield simulation.AlertmanagerWorld()


class TestAlertmanager(Contract):
    worlds = {"real": real, "simulated": simulated}
    declared = Alertmanager


SILENCE, EXPIRE = Alertmanager.acts


@pytest.fixture
def driver(server):
    return Alertmanager({"url": server.url}, SecretStore())


def asked(**changed):
    return SILENCE.parse({**simulation.SILENCE, **changed})


def test_a_silence_holds_back_what_fits_and_nothing_else(driver, server):
    server.fire("Down", site="us-east")
    server.fire("Down", site="eu-west")
    params = asked()
    before = SILENCE.before(driver, params)
    assert (before["fits_now"], before["alerts"]) == (1, ["Down"])
    SILENCE.do(driver, params, before, call())
    seen = until(lambda: (o := driver.observe()).readings["alerts_suppressed"] and o)
    assert (seen.kind, seen.healthy, seen.version.partition("+")[0]) == ("alertmanager", True, "0.25.0")
    assert (seen.facts["cluster"], seen.facts["peers"]) == ("disabled", [])
    states = {
        one["labels"]["site"]: one["state"] for one in seen.facts["alerts"] if one["labels"]["alertname"] == "Down"
    }
    assert states == {"us-east": "suppressed", "eu-west": "active"}
    (shown,) = [one for one in seen.facts["silences"] if before["mark"] in one["comment"]]
    assert (shown["matchers"], shown["createdBy"]) == (['alertname="Down"', 'site=~"us-.*"'], "ann")
    SILENCE.undo(driver, params, before, call())
    until(lambda: driver.observe().readings["alerts_suppressed"] == 0)


def test_undo_expires_exactly_the_silence_that_was_placed(driver, server):
    other = server.place("Down", "somebody else's")
    params = asked()
    first, second = SILENCE.before(driver, params), SILENCE.before(driver, params)
    for before in (first, second):
        SILENCE.do(driver, params, before, call())
    SILENCE.undo(driver, params, first, call())
    states = {one["id"]: one["status"]["state"] for one in server.silences()}
    assert [states[driver.marked(one["mark"])[0]["id"]] for one in (first, second)] == ["expired", "active"]
    assert states[other] == "active"
    SILENCE.undo(driver, params, second, call())
    driver.expire(other)


def test_what_a_killed_worker_placed_is_found_again(driver, server):
    """The request was sent, its answer never arrived: the next worker must not place a second one."""
    params = asked()
    before = SILENCE.before(driver, params)

    def lost(request):
        answer = httpx.request(
            request.method, str(request.url), content=request.content, headers=dict(request.headers), trust_env=False
        )
        if request.method == "POST":
            raise httpx.ReadError("connection reset", request=request)
        return httpx.Response(answer.status_code, content=answer.content)

    cut = type("Alertmanager", (Alertmanager,), {"transport": httpx.MockTransport(lost)})
    with pytest.raises(TransientError):
        SILENCE.do(cut({"url": server.url}, SecretStore()), params, before, call())
    SILENCE.do(driver, params, before, call(2))
    assert len([one for one in server.silences() if before["mark"] in one["comment"]]) == 1
    SILENCE.undo(driver, params, before, call())


def test_an_expired_silence_is_neither_expired_nor_placed_again(driver, server):
    identifier = server.place()
    params = EXPIRE.parse({"silence": identifier})
    driver.expire(identifier)
    (condition,) = EXPIRE.conditions(driver, params)
    assert (condition.holds, condition.seen) == (False, "it is expired")
    before = EXPIRE.before(driver, params)
    assert EXPIRE.done(driver, params, before) is True
    assert EXPIRE.undo(driver, params, before, call()) == {"placed": None}


def test_a_silence_whose_time_is_over_is_not_placed_again(driver, server):
    params = EXPIRE.parse({"silence": server.place()})
    before = EXPIRE.before(driver, params)
    EXPIRE.do(driver, params, before, call())
    before["silence"]["endsAt"] = datetime.now(UTC).isoformat()
    assert EXPIRE.undo(driver, params, before, call()) == {"placed": None}


def test_an_unknown_silence_is_refused(driver):
    params = EXPIRE.parse({"silence": simulation.KNOWN})
    for ask in (EXPIRE.conditions, EXPIRE.before):
        with pytest.raises(InvalidInput, match="knows no silence"):
            ask(driver, params)


def test_a_silence_for_everything_is_refused_by_alertmanager(driver):
    params = asked(matchers=["site=~.*"])
    with pytest.raises(PermanentError, match="400"):
        SILENCE.do(driver, params, SILENCE.before(driver, params), call())


def test_who_lost_its_claim_places_and_expires_nothing(driver, server):
    stale = Call("t", alive=lambda: False)
    params = asked()
    before = SILENCE.before(driver, params)
    with pytest.raises(StaleFence):
        SILENCE.do(driver, params, before, stale)
    assert driver.marked(before["mark"]) == []
    identifier = server.place()
    with pytest.raises(StaleFence):
        EXPIRE.do(driver, EXPIRE.parse({"silence": identifier}), {}, stale)
    assert driver.silence(identifier)["status"]["state"] == "active"
    driver.expire(identifier)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=b", ("a", "b", False, True)),
        ('a="b c"', ("a", "b c", False, True)),
        ("a!=b", ("a", "b", False, False)),
        ("a=~b|c", ("a", "b|c", True, True)),
        ("a!~b=~c", ("a", "b=~c", True, False)),
    ],
)
def test_matchers_are_read_as_people_write_them(text, expected):
    matcher = parsed(text)
    assert tuple(matcher[name] for name in ("name", "value", "isRegex", "isEqual")) == expected


@pytest.mark.parametrize(
    "changed",
    [
        {"matchers": []},
        {"matchers": ["=x"]},
        {"matchers": ["a"]},
        {"matchers": ['a=""']},
        {"matchers": ["a=b\nc"]},
        {"matchers": ["1a=b"]},
        {"matchers": ["a=b"] * 21},
        {"minutes": 0},
        {"minutes": 10081},
        {"comment": ""},
        {"creator": " x"},
    ],
)
def test_odd_silences_are_refused(changed):
    with pytest.raises(InvalidInput):
        asked(**changed)


def test_a_cluster_that_has_not_settled_is_unhealthy():
    def answer(request):
        if request.url.path.endswith("/status"):
            cluster = {"status": "settling", "peers": [{"name": "x", "address": "10.0.0.1:9094"}]}
            return httpx.Response(200, json={"cluster": cluster, "versionInfo": {"version": "0.25.0"}})
        return httpx.Response(200, json=[])

    kind = type("Alertmanager", (Alertmanager,), {"transport": httpx.MockTransport(answer)})
    seen = kind({"url": "http://alertmanager.test"}, SecretStore()).observe()
    assert (seen.healthy, seen.facts["cluster"], seen.facts["peers"]) == (False, "settling", ["10.0.0.1:9094"])


def test_a_delete_that_has_no_effect_is_not_taken_for_one():
    world = simulation.AlertmanagerWorld()
    world.prepare(acts(simulation.AlertmanagerWorld)["expire-silence"])

    def deaf(request):
        return httpx.Response(200) if request.method == "DELETE" else world.answer(request)

    driver = world._over(deaf)
    params = EXPIRE.parse({"silence": simulation.KNOWN})
    with pytest.raises(TransientError, match="did not end"):
        EXPIRE.do(driver, params, EXPIRE.before(driver, params), call())


def test_a_server_that_hangs_is_down(server, driver, monkeypatch):
    monkeypatch.setattr(prometheus_api, "READ_SECONDS", 0.3)
    os.kill(server.child.pid, signal.SIGSTOP)
    try:
        assert driver.observe().healthy is False
    finally:
        os.kill(server.child.pid, signal.SIGCONT)
    until(lambda: driver.observe().healthy)


def test_what_will_be_sent_names_the_matchers(driver):
    params = asked()
    before = SILENCE.before(driver, params)
    (line,) = SILENCE.sends(driver, params, before)
    sent = json.loads(line.removeprefix("POST /api/v2/silences "))
    assert (sent["endsAt"], sent["comment"]) == ("in 30 minutes", f"planned [{before['mark']}]")
    assert [one["name"] for one in sent["matchers"]] == ["alertname", "site"]
