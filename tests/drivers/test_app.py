"""One service in two slots, on real PM2, Node.js and nginx."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import httpx
import pytest

from drivers import web
from drivers.acts import Call
from drivers.app import App
from drivers.base import InvalidInput, PermanentError, StaleFence
from drivers.connections import Connections
from drivers.secret import SecretStore
from tests.drivers import daemons
from tests.drivers.contract import Contract
from tests.drivers.daemons import until
from tests.drivers.load import Load
from tests.drivers.simulated.app import AppWorld, ServiceWorld

pytestmark = pytest.mark.long


class RealService(ServiceWorld):
    """The service of the fixture `service_facts`; where nothing answers, neither PM2 nor edge runs."""

    def __init__(self, known: Connections) -> None:
        self.known = known
        self.driver().start_slot("a", "1.0.0")

    def driver(self) -> App:
        app = self.known.driver("app")
        assert isinstance(app, App)
        return app

    def unreachable(self) -> App:
        app = self.driver()
        app.pm2.daemon.home = app.pm2.home / "none"
        app.nginx.host.prefix = app.nginx.prefix / "none"
        app.nginx.url = f"http://127.0.0.1:{daemons.free_port()}"
        app.ports = {slot: daemons.free_port() for slot in "ab"}
        return app


@contextmanager
def real_service(request: pytest.FixtureRequest):
    with request.getfixturevalue("services")() as known:
        yield RealService(known)


@contextmanager
def simulated_service(_: pytest.FixtureRequest):
    yield AppWorld()


class TestContract(Contract):
    declared = App
    worlds = {"real": real_service, "simulated": simulated_service}


def url(app: App) -> str:
    return f"{app.nginx.url}/api/"


def test_a_running_service_is_observed(app):
    nothing = app.observe()
    assert (nothing.healthy, nothing.version, nothing.facts["serving"]) == (False, None, "a")
    assert nothing.facts["slots"]["a"]["expected"] == 2
    app.start_slot("a", "1.0.0")
    seen = app.observe()
    slot = seen.facts["slots"]["a"]
    assert (seen.healthy, seen.version) == (True, "1.0.0")
    assert (slot["online"], slot["expected"], slot["weight"], slot["healthy"]) == (2, 2, 100, True)
    assert seen.facts["slots"]["b"]["expected"] == 0
    assert seen.readings["instances"] == 2
    assert 0 < seen.readings["latency_seconds"] < 5
    assert slot["memory_bytes"] == seen.readings["memory_bytes"] > 20_000_000


def test_a_slot_starts_once_and_starting_again_changes_nothing(app):
    first = app.start_slot("a", "1.0.0")
    again = app.start_slot("a", "1.0.0")
    assert [worker.pid for worker in again] == [worker.pid for worker in first]
    assert (app.version("a"), app.version("b"), app.health("a").ok) == ("1.0.0", None, True)


def test_a_slot_with_traffic_is_neither_replaced_nor_stopped(app):
    workers = app.start_slot("a", "1.0.0")
    with pytest.raises(PermanentError, match="takes traffic"):
        app.start_slot("a", "1.1.0")
    with pytest.raises(PermanentError, match="takes traffic"):
        app.stop_slot("a")
    assert [worker.pid for worker in app.workers("a")] == [worker.pid for worker in workers]


def test_a_canary_goes_up_and_the_old_slot_stops_without_a_failed_request(app):
    app.start_slot("a", "1.0.0")
    with Load(url(app), rate=50) as load:
        app.start_slot("b", "1.1.0")
        for step, weight in enumerate([10, 50, 100]):
            done = app.shift({"a": 100 - weight, "b": weight}, f"op:{step}", fence=1)
            time.sleep(0.7)
        assert app.stop_slot("a") is True
        assert app.stop_slot("a") is False
        time.sleep(0.3)
    assert load.failures == []
    assert set(load.results) == {"1.0.0", "1.1.0"}
    assert (app.weights(), app.serving(), done.changed) == ({"a": 0, "b": 100}, "b", True)
    assert app.observe().version == "1.1.0"


def test_a_rolling_reload_under_load_loses_nothing(app):
    before = app.start_slot("a", "1.0.0")
    with Load(url(app), rate=50) as load:
        for worker in before:
            fresh = app.reload_worker(worker.pm_id, old_pid=worker.pid)
            assert fresh.pid != worker.pid
            assert app.reload_worker(worker.pm_id, old_pid=worker.pid).pid == fresh.pid
        time.sleep(0.5)
    assert load.failures == []
    assert sum(load.results.values()) > 40
    assert not {worker.pid for worker in before} & {worker.pid for worker in app.workers("a")}


def test_the_errors_of_a_bad_version_are_seen_per_slot(app):
    app.start_slot("a", "1.0.0")
    app.start_slot("b", "1.6.0-failing")
    done = app.shift({"a": 50, "b": 50}, "op:1")
    with httpx.Client(trust_env=False) as client:
        for _ in range(80):
            client.get(url(app))
    since = datetime.now(UTC) - timedelta(minutes=1)
    seen = until(lambda: (t := app.traffic(since, done.generation))["a"].requests + t["b"].requests == 80 and t, 5)
    assert (seen["a"].requests, seen["a"].errors) == (40, 0)
    assert seen["b"].errors > 5
    assert 0 < seen["a"].p50 <= seen["a"].p95 < 5
    assert app.traffic(since, "none")["a"].requests == 0


def test_a_bad_version_never_stays(app):
    app.start_slot("a", "1.0.0")
    app.health_seconds = 0.3
    for version, reason in {
        "1.2.0-crash": "(?s)crashed while it started.*this build is broken",
        "1.3.0-sick": "/healthz answered 503",
        "1.4.0-liar": "it says it is version 9.9.9",
        "7.7.7": "has no release 7.7.7",
    }.items():
        with pytest.raises(PermanentError, match=reason):
            app.start_slot("b", version)
        assert app.workers("b") == []
    assert web.get(url(app)).body == "1.0.0"


def test_a_version_that_never_listens_is_given_up(app, monkeypatch):
    monkeypatch.setattr("drivers.pm2.driver.LISTEN_MILLISECONDS", 400)
    app.health_seconds = 0.2
    with pytest.raises(PermanentError, match="never became healthy in slot b"):
        app.start_slot("b", "1.5.0-mute")
    assert app.workers("b") == []


def test_an_idle_slot_is_replaced_by_another_version(app):
    app.start_slot("b", "1.0.0")
    assert [worker.version for worker in app.start_slot("b", "1.1.0")] == ["1.1.0", "1.1.0"]
    assert app.version("b") == "1.1.0"


def test_a_port_that_another_program_holds_is_said(app):
    with daemons.stub(b"other", port=app.ports["b"]), pytest.raises(PermanentError, match="held by another program"):
        app.start_slot("b", "1.0.0")


def test_traffic_never_goes_to_a_slot_that_is_not_healthy(app):
    app.start_slot("a", "1.0.0")
    app.health_seconds = 0.2
    with pytest.raises(PermanentError, match="slot b of api is not healthy"):
        app.shift({"a": 90, "b": 10}, "op:1")
    assert app.weights() == {"a": 100, "b": 0}
    assert app.probe_edge(5) == 0
    app.pm2.delete(app.process_names["a"])
    assert app.probe_edge(3) == 3
    os.kill(app.nginx.observe().facts["processes"][0]["pid"], signal.SIGTERM)
    until(lambda: not daemons.listening(int(app.nginx.url.rsplit(":", 1)[1])))
    assert app.probe_edge(2) == 2


def test_a_withdrawal_is_not_refused_because_a_slot_has_a_bad_moment(app):
    app.start_slot("a", "1.0.0")
    app.start_slot("b", "1.1.0")
    app.shift({"a": 50, "b": 50}, "op:1", fence=3)
    app.pm2.delete(app.process_names["a"])
    assert app.shift({"a": 100, "b": 0}, "op:1:undo", fence=3).changed is True
    with pytest.raises(StaleFence):
        app.shift({"a": 0, "b": 100}, "op:0", fence=2)


def test_workers_of_other_services_are_not_reloaded_here(app):
    app.start_slot("a", "1.0.0")
    with pytest.raises(PermanentError, match="api has no worker 99999"):
        app.reload_worker(99999)
    with pytest.raises(InvalidInput):
        app.reload_worker("0; id")


def test_a_reload_that_leaves_the_slot_unhealthy_fails(app, monkeypatch):
    (worker, _) = app.start_slot("a", "1.0.0")
    monkeypatch.setattr(app, "_becomes_healthy", lambda *_: False)
    with pytest.raises(PermanentError, match="not healthy after its reload"):
        app.reload_worker(worker.pm_id)


def test_draining_waits_for_open_connections_and_then_goes_on(app):
    app.start_slot("b", "1.7.0-brisk")
    app.drain_seconds = 0.5
    with httpx.Client(trust_env=False) as client:
        client.get(f"http://127.0.0.1:{app.ports['b']}/version")
        assert app.connections("b") == 1
        begun = time.monotonic()
        assert app.stop_slot("b") is True
        assert time.monotonic() - begun >= 0.5


def test_hostile_versions_and_slots_change_nothing(app):
    for version in ("../1.0.0", "1.0.0;id", "$(id)", "1.0.0\n", "", None, "1" * 1000, "-1.0.0", "1.0.0\0"):
        with pytest.raises(InvalidInput):
            app.start_slot("a", version)
        for act in (app.stop_slot, app.workers, app.health, lambda slot: app.start_slot(slot, "1.0.0")):
            with pytest.raises(InvalidInput):
                act(version or "c")
    assert app.pm2.processes(app.process_names["a"]) == []


def test_a_release_folder_that_leads_elsewhere_is_refused(app, place, releases):
    link = releases / "8.0.0"
    (place / "server.js").write_text("")
    link.symlink_to(place)
    with pytest.raises(PermanentError, match="has no release"):
        app.start_slot("b", "8.0.0")
    link.unlink()


def test_an_app_needs_its_relatives_and_two_slots(app):
    with pytest.raises(InvalidInput, match="needs a pm2 and an nginx"):
        App(app.facts, SecretStore())
    with pytest.raises(InvalidInput, match="slots a and b"):
        App({**app.facts, "slots": {"a": {}}}, SecretStore(), app.related)
    with pytest.raises(InvalidInput, match="needs the key of a pm2 connection"):
        Connections({"app": {**app.facts, "pm2": "app"}}).driver("app")


PAUSED = """
import json, os, signal, sys
from drivers.acts import Call
from drivers.connections import Connections
from drivers.errors import StaleFence

known, name, given, before, fence = json.load(sys.stdin)
app = Connections(known).driver("app")
act = next(act for act in app.acts if act.name == name)
os.kill(os.getpid(), signal.SIGSTOP)
try:
    act.do(app, act.parse(given), before, Call("paused", fence=fence))
except StaleFence:
    sys.exit(3)
"""


@pytest.mark.parametrize(
    ("name", "given", "other"),
    [
        ("shift", {"a": 0, "b": 100}, {"a": 90, "b": 10}),
        ("reload", {"slot": "a"}, None),
        ("stop-slot", {"slot": "b"}, None),
    ],
)
def test_a_paused_process_that_has_lost_its_claim_changes_nothing(service, name, given, other):
    """It held the claim, was stopped, and goes on after another one with a higher fence has acted."""
    world, known = service
    app = world.driver()
    app.start_slot("b", "1.0.0")
    act = next(act for act in App.acts if act.name == name)
    before, fence = act.before(app, act.parse(given)), next(FENCES)
    child = subprocess.Popen([sys.executable, "-c", PAUSED], stdin=subprocess.PIPE, cwd=daemons.ROOT)
    child.stdin.write(json.dumps([known, name, given, before, fence]).encode())
    child.stdin.close()
    _, status = os.waitpid(child.pid, os.WUNTRACED)
    assert os.WIFSTOPPED(status)
    claim = Call("other", fence=fence + 1)
    if other:
        act.do(app, act.parse(other), before, claim)
    elif name == "reload":
        app.reload_worker(before["workers"][0]["pm_id"], call=claim)
    else:
        app.stop_slot("b", claim)
        app.start_slot("b", "1.1.0", claim)
    once = world.picture()
    os.kill(child.pid, signal.SIGCONT)
    assert child.wait(30) == 3
    assert world.picture() == once
    app.shift({"a": 100, "b": 0}, "again")


FENCES = itertools.count(100, 10)


@pytest.fixture(scope="module")
def service(services):
    """A service whose slot a runs, and its connections as plain data."""
    with services() as known:
        yield RealService(known), {key: known.get(key) for key in ("app", "nginx", "pm2")}


def test_a_bad_release_is_left_by_one_switch(service):
    world, _ = service
    app, act = world.driver(), next(act for act in App.acts if act.name == "return-to-slot")
    app.start_slot("b", "1.6.0-failing")
    app.shift({"a": 0, "b": 100}, "bad")
    params = act.parse({"slot": "a"})
    before = act.before(app, params)
    assert [one for one in act.conditions(app, params) if not one.holds] == []
    act.do(app, params, before, Call("back"))
    assert (app.weights(), act.done(app, params, before)) == ({"a": 100, "b": 0}, True)
    assert {web.get(url(app)).body for _ in range(10)} == {"1.0.0"}


def test_conditions_say_what_is_missing(service):
    world, _ = service
    app = world.driver()
    app.shift({"a": 100, "b": 0}, "again")
    app.stop_slot("b")

    def failing(name: str, **given: object) -> list[str]:
        act = next(act for act in App.acts if act.name == name)
        return [one.text for one in act.conditions(app, act.parse(given)) if not one.holds]

    assert failing("stop-slot", slot="a") == ["slot a takes no traffic"]
    assert failing("start-slot", slot="a", version="7.7.7") == [
        "slot a takes no traffic",
        "the release 7.7.7 is on this host",
    ]
    assert failing("shift", a=50, b=50) == ["slot b answers well on its own port"]
    assert failing("reload", slot="b") == ["slot b runs all its instances"]
    assert failing("return-to-slot", slot="b") == [
        "slot b runs all its instances",
        "slot b answers well on its own port",
    ]
