"""PM2, for real: what it says, and acts that may be repeated."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import socket
import threading
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from drivers import commands, web
from drivers.acts import Call
from drivers.base import InvalidInput, PermanentError, StaleFence, TransientError
from drivers.locks import Ledger, exclusive
from drivers.pm2 import Pm2
from drivers.pm2 import driver as pm2_driver
from drivers.pm2.processes import parse
from drivers.pm2.rpc import Rpc, encode
from drivers.secret import SecretStore
from tests.drivers import daemons
from tests.drivers.contract import Contract
from tests.drivers.daemons import free_port, until
from tests.drivers.load import Load
from tests.drivers.simulated.pm2 import Pm2World, ProcessesWorld

pytestmark = pytest.mark.long


class RealProcesses(ProcessesWorld):
    """`api-a` of this run's own PM2 home, beside whatever else runs there."""

    def __init__(self, pm2: Pm2, releases: Path) -> None:
        self.pm2 = pm2
        start(pm2, "api-a", free_port(), releases / "1.0.0", instances=2)

    def driver(self) -> Pm2:
        return Pm2(self.pm2.facts, SecretStore())

    def unreachable(self) -> Pm2:
        return Pm2({**self.pm2.facts, "home": str(self.pm2.home / "none")}, SecretStore())


@contextmanager
def real_processes(request: pytest.FixtureRequest):
    pm2: Pm2 = request.getfixturevalue("pm2")
    yield RealProcesses(pm2, request.getfixturevalue("releases"))
    pm2.delete("api-a")


@contextmanager
def simulated_processes(_: pytest.FixtureRequest):
    yield Pm2World()


class TestContract(Contract):
    declared = Pm2
    worlds = {"real": real_processes, "simulated": simulated_processes}


@pytest.fixture
def started(pm2, releases, place):
    """One worker of 1.0.0 under a name of this test's own."""
    name, port = place.name.lower(), free_port()
    folder = releases / "1.0.0"
    pm2.start(name, folder / "server.js", folder, 1, {"VERSION": "1.0.0"}, port)
    yield name, port
    pm2.delete(name)


def start(pm2: Pm2, name: str, port: int, folder: Path, version: str = "1.0.0", instances: int = 1):
    return pm2.start(name, folder / "server.js", folder, instances, {"VERSION": version}, port)


def test_observation_tells_what_runs(pm2, started):
    name, port = started
    seen = pm2.observe()
    shown = [process for process in seen.facts["processes"] if process["name"] == name]
    assert (seen.kind, seen.version, seen.healthy) == ("pm2", "7.0.4", True)
    assert [(p["status"], p["version"], p["port"], p["restarts"]) for p in shown] == [("online", "1.0.0", port, 0)]
    assert psutil.pid_exists(shown[0]["pid"])
    assert seen.readings["online"] == seen.readings["processes"]
    assert seen.readings["memory_bytes"] > 10_000_000
    assert "title" not in json.dumps(seen.facts)


def test_starting_what_runs_changes_nothing_and_something_else_is_refused(pm2, started, releases):
    name, port = started
    before = [process.pid for process in pm2.processes(name)]
    assert [process.pid for process in start(pm2, name, port, releases / "1.0.0")] == before
    with pytest.raises(PermanentError, match="already runs something else"):
        start(pm2, name, port, releases / "1.1.0", "1.1.0")
    assert [process.pid for process in pm2.processes(name)] == before


def test_the_process_sees_only_the_environment_it_was_given(pm2, started, monkeypatch):
    assert "PORTAL_SECRET" not in json.loads(web.get(f"http://127.0.0.1:{started[1]}/environment").body)
    monkeypatch.setenv("PORTAL_SECRET", "leaked")
    (process,) = pm2.processes(started[0])
    pm2.reload(process.pm_id)
    environment = json.loads(web.get(f"http://127.0.0.1:{started[1]}/environment").body)
    assert "PORTAL_SECRET" not in environment
    assert environment["VERSION"] == "1.0.0"


def test_a_reload_replaces_the_worker_quickly_and_only_once(pm2, started):
    (before,) = pm2.processes(started[0])
    fresh = pm2.reload(before.pm_id, old_pid=before.pid)
    assert (fresh.pm_id, fresh.online) == (before.pm_id, True)
    assert fresh.pid != before.pid
    assert pm2.reload(before.pm_id, old_pid=before.pid).pid == fresh.pid
    assert not psutil.pid_exists(before.pid)


def test_a_killed_worker_comes_back_and_is_counted(pm2, started):
    (before,) = pm2.processes(started[0])
    os.kill(before.pid, signal.SIGKILL)
    after = until(lambda: [p for p in pm2.processes(started[0]) if p.online and p.pid != before.pid], 15)
    assert after[0].restarts == 1


def test_a_build_that_crashes_at_start_leaves_nothing_and_its_reason(pm2, releases, place):
    with pytest.raises(PermanentError, match=r"(?s)crashed while it started: .*this build is broken"):
        start(pm2, place.name.lower(), free_port(), releases / "1.2.0-crash", "1.2.0-crash", 2)
    assert pm2.processes(place.name.lower()) == []


def test_a_reload_into_a_crash_is_reported(pm2, place, monkeypatch):
    monkeypatch.setattr(pm2_driver, "LISTEN_MILLISECONDS", 2000)
    folder = place / "release"
    folder.mkdir()
    (folder / "server.js").write_text((Path(__file__).parent / "app" / "server.js").read_text())
    name = place.name.lower()
    (process,) = start(pm2, name, free_port(), folder)
    (folder / "server.js").write_text('throw new Error("now it is broken");')
    with pytest.raises(PermanentError, match=r"(?s)crashes: .*now it is broken"):
        pm2.reload(process.pm_id)
    assert pm2.observe().healthy is False
    assert pm2.delete(name) is True


def test_deleting_is_repeatable(pm2, started):
    assert pm2.delete(started[0]) is True
    assert pm2.delete(started[0]) is False
    assert pm2.processes(started[0]) == []
    with pytest.raises(PermanentError, match="pm2 has no process"):
        pm2.process(99999)


def test_the_saved_list_holds_the_process(pm2, started):
    pm2.save()
    assert started[0] in (pm2.home / "dump.pm2").read_text()


def test_a_linked_release_is_resolved_before_pm2_sees_it(pm2, releases, place):
    (place / "current").symlink_to(releases / "1.0.0")
    (process,) = start(pm2, place.name.lower(), free_port(), place / "current")
    assert process.script == str(releases / "1.0.0" / "server.js")
    assert pm2.delete(place.name.lower()) is True


def no_effects(pm2: Pm2, monkeypatch: pytest.MonkeyPatch) -> None:
    for effect in ("run", "call", "calls"):
        monkeypatch.setattr(pm2.daemon, effect, lambda *_, **__: pytest.fail("the daemon was asked"))


def test_hostile_names_reach_no_command(pm2, releases, monkeypatch):
    no_effects(pm2, monkeypatch)
    for name in ("a;id", "-rf", "all;", "a b", "$(id)", "x" * 1000, "a\nb", "a\0b", 'a"b', "../a", "", 7):
        for act in (pm2.delete, pm2.processes, lambda name: start(pm2, name, 20000, releases / "1.0.0")):
            with pytest.raises(InvalidInput):
                act(name)


def test_hostile_values_reach_no_command(pm2, releases, monkeypatch):
    no_effects(pm2, monkeypatch)
    folder = releases / "1.0.0"
    script = folder / "server.js"
    for env in ({"lower": "x"}, {"A B": "x"}, {"A": "x\ny"}, {"A": "x" * 2000}, {"A": 5}, {"A": "\0"}):
        with pytest.raises(InvalidInput):
            pm2.start("good", script, folder, 1, env, 20000)
    for instances, port in ((0, 20000), (65, 20000), ("2", 20000), (1, 0), (1, "80")):
        with pytest.raises(InvalidInput):
            pm2.start("good", script, folder, instances, {}, port)
    for pm_id in ("0; id", -1, True, "all", None):
        with pytest.raises(InvalidInput):
            pm2.reload(pm_id)
    with pytest.raises(PermanentError, match="there is no program"):
        pm2.start("good", folder / "none.js", folder, 1, {}, 20000)


@pytest.fixture
def idle(place):
    """A home without a daemon."""
    return Pm2({"home": str(place / "home"), "node": daemons.NODE, "pm2": daemons.PM2}, SecretStore())


def test_without_a_daemon_nothing_is_started_by_asking(idle):
    seen = idle.observe()
    assert (seen.healthy, seen.facts["error"]) == (False, f"no pm2 daemon runs in {idle.home}")
    assert (idle.processes(), idle.delete("api-a"), idle.kill()) == ([], False, False)
    for act in (idle.save, lambda: idle.reload(0)):
        with pytest.raises(TransientError, match="no pm2 daemon"):
            act()
    assert not idle.home.exists()


def test_a_pid_file_that_names_another_process_is_not_believed(idle):
    idle.home.mkdir()
    (idle.home / "pm2.pid").write_text(str(os.getpid()))
    assert idle.daemon_pid() is None


def test_a_daemon_without_processes_is_neither_healthy_nor_not(idle, releases, place):
    start(idle, "short", free_port(), releases / "1.0.0")
    idle.delete("short")
    assert idle.observe().healthy is None
    daemon = idle.daemon_pid()
    assert idle.kill() is True
    assert daemon is not None
    assert idle.daemon_pid() is None


def test_a_home_too_deep_for_sockets_and_missing_facts_are_refused():
    with pytest.raises(InvalidInput, match="at most 90 characters"):
        Pm2({"home": "/tmp/" + "x" * 90, "node": "/n", "pm2": "/p"}, SecretStore())
    with pytest.raises(InvalidInput, match="lacks home, pm2"):
        Pm2({"node": "/n"}, SecretStore())
    assert Pm2({"home": "/tmp/x", "node": "/n", "pm2": "/p/bin/pm2"}, SecretStore()).version() is None


def test_a_busy_and_a_failing_pm2_are_told_apart(pm2, started, monkeypatch):
    for said, kind in (("Reload already in progress", TransientError), ("boom", PermanentError)):
        finished = commands.Finished(1, "", said)
        with monkeypatch.context() as patch:
            patch.setattr(commands, "run", lambda *_, answer=finished, **__: answer)
            with pytest.raises(kind):
                pm2.daemon.run("start", "x", seconds=1)


def test_what_never_comes_is_reported_after_its_time(pm2):
    with pytest.raises(PermanentError, match="it never came within 0 seconds"):
        pm2._until(lambda: None, 0, "it never came")
    assert pm2._log_tail("nobody") == "it left no error log"


def test_leaving_workers_are_left_out_and_what_is_no_list_is_asked_for_again():
    entry = {"name": "api", "pm_id": 3, "pid": 7, "pm2_env": {"status": "stopped"}, "monit": {}}
    (process,) = parse([entry, {**entry, "pm_id": "_old_3"}, "odd"])
    assert (process.pm_id, process.online, process.uptime_seconds, process.port) == (3, False, 0.0, None)
    for listed in (None, "", {"a": 1}):
        with pytest.raises(TransientError, match="no list"):
            parse(listed)


ACTS = {act.name: act for act in Pm2.acts}


def perform(pm2: Pm2, act_name: str, claim: Call, **given: object) -> None:
    """One act as a plan runs it: look, do, and see that it is done."""
    act = ACTS[act_name]
    params = act.parse(given)
    before = act.before(pm2, params)
    act.do(pm2, params, before, claim)
    assert act.done(pm2, params, before) is True


def test_nothing_fails_while_processes_are_reloaded_added_and_removed(app):
    pm2, name = app.pm2, app.process_names["a"]
    app.start_slot("a", "1.0.0")
    with Load(f"{app.nginx.url}/api/", rate=50) as load:
        load.seen("1.0.0")
        perform(pm2, "reload", Call("t:1"), process=name)
        perform(pm2, "scale", Call("t:2"), process=name, instances=3)
        load.seen("1.0.0")
        perform(pm2, "scale", Call("t:3"), process=name, instances=1)
        perform(pm2, "reload", Call("t:4"), process=name)
        load.seen("1.0.0")
    assert load.failures == []
    assert [one.online for one in pm2.processes(name)] == [True]
    assert len(json.loads((pm2.home / "dump.pm2").read_text())) == 1


@pytest.fixture
def own(pm2, place):
    """Two workers of a release of this test's own, and a way to change what the next worker runs."""
    folder, name = place / "release", place.name.lower()
    folder.mkdir()
    good = (Path(__file__).parent / "app" / "server.js").read_text()
    (folder / "server.js").write_text(good)
    driver = Pm2(pm2.facts, SecretStore())
    driver.health_seconds = 0.3
    start(driver, name, free_port(), folder, instances=2)

    def becomes(old: str, new: str) -> None:
        (folder / "server.js").write_text(good.replace(old, new))

    yield driver, name, becomes
    pm2.delete(name)


SICK = ('version.includes("sick")', "true")
BROKEN = ('"use strict";', 'throw new Error("now it is broken");')
SLOWLY_BROKEN = (
    '"use strict";',
    'for (const to = Date.now() + 900; Date.now() < to; ); throw new Error("broken late");',
)

DOES_NOT_SERVE = [(SICK, "healthz answered 503"), (BROKEN, "now it is broken"), (SLOWLY_BROKEN, "broken late")]


def test_a_rolling_reload_stops_at_the_first_worker_that_does_not_serve(own):
    pm2, name, becomes = own
    first, second = pm2.processes(name)
    becomes(*SICK)
    with pytest.raises(PermanentError, match=f"after its worker {first.pm_id}: .*healthz answered 503"):
        perform(pm2, "reload", Call("t"), process=name)
    now = pm2.processes(name)
    assert (now[0].pid == first.pid, now[1].pid == second.pid) == (False, True)
    assert [one.online for one in now] == [True, True], "online proves nothing"


@pytest.mark.parametrize(("change", "reason"), DOES_NOT_SERVE)
def test_what_is_added_and_does_not_serve_is_removed_again(own, change, reason):
    pm2, name, becomes = own
    before = [one.pid for one in pm2.processes(name)]
    becomes(*change)
    with pytest.raises(PermanentError, match=f"(?s)does not serve with more processes: .*{reason}"):
        pm2.scale(name, 3)
    assert [one.pid for one in pm2.processes(name)] == before


@pytest.mark.parametrize(("change", "reason"), DOES_NOT_SERVE)
def test_what_is_started_and_does_not_serve_is_stopped_again(own, change, reason):
    pm2, name, becomes = own
    pm2.stop(name)
    becomes(*change)
    with pytest.raises(PermanentError, match=f"(?s)does not serve after its start: .*{reason}"):
        pm2.resume(name)
    assert [one.status for one in pm2.processes(name)] == ["stopped", "stopped"]


def test_a_stale_claim_is_refused_by_the_host_without_effect(pm2, started):
    name, port = started
    for fence, (act_name, act) in enumerate(ACTS.items(), start=10):
        given = {"process": name, **({"instances": 2} if act_name == "scale" else {})}
        if act_name == "start":
            pm2.stop(name)
        before, params = act.before(pm2, act.parse(given)), act.parse(given)
        original = [(one.pid, one.status) for one in pm2.processes(name)]
        with exclusive(pm2.home / "portal-act.lock"):
            Ledger(pm2.home / "portal-fences.json").raise_fence([name], fence)
        with pytest.raises(StaleFence):
            act.do(pm2, params, before, Call("stale", fence=fence - 1))
        with pytest.raises(StaleFence):
            act.do(pm2, params, before, Call("lost", fence=fence, alive=lambda: False))
        assert [(one.pid, one.status) for one in pm2.processes(name)] == original, act_name
        pm2.resume(name)
    claim = Call("stale", fence=1)
    (process,) = pm2.processes(name)
    for act in (
        lambda: pm2.delete(name, claim),
        lambda: pm2.reload(process.pm_id, call=claim),
        lambda: pm2.start(name, process.script, process.cwd, 1, {"VERSION": "1.0.0"}, port, claim),
    ):
        with pytest.raises(StaleFence):
            act()


def test_conditions_say_what_is_missing(own):
    pm2, name, _ = own

    def failing(act_name: str, process: str, **more: object) -> list[str]:
        act = ACTS[act_name]
        return [one.text for one in act.conditions(pm2, act.parse({"process": process, **more})) if not one.holds]

    for act_name in ("start", "stop", "restart"):
        assert failing(act_name, "nobody") == ["PM2 knows a process nobody"]
    assert failing("reload", name) == []
    pm2.stop(name, only=[pm2.processes(name)[0].pm_id])
    assert failing("reload", name) == failing("scale", name, instances=3) == ["all its processes are online"]
    with pytest.raises(PermanentError, match="pm2 knows no process nobody"):
        pm2.known("nobody")


def test_a_probe_may_be_named_and_a_process_may_have_none(pm2, started):
    name, _ = started
    found = pm2.processes(name)
    with daemons.stub() as other:
        named = Pm2({**pm2.facts, "probes": {name: {"port": other.server_port, "path": "/ready"}}}, SecretStore())
        assert (named.probe(found), named.unwell(found)) == (f"http://127.0.0.1:{other.server_port}/ready", None)
        other.status = 500
        assert named.unwell(found) == f"http://127.0.0.1:{other.server_port}/ready answered 500"
    assert "does not answer" in named.unwell(found)
    consumer = [dataclasses.replace(one, port=None) for one in found]
    assert (pm2.probe(consumer), pm2.unwell(consumer)) == (None, None)
    assert pm2.unwell([]) == "no process is there"
    for probes in ([], {"api": 5}, {"a b": {"port": 1}}, {"api": {}}, {"api": {"port": 1, "path": "x"}}):
        with pytest.raises(InvalidInput):
            Pm2({**pm2.facts, "probes": probes}, SecretStore())


def answer(body: object, number: str = "0") -> bytes:
    return encode([body, number])


@pytest.mark.parametrize(
    ("said", "kind", "sentence"),
    [
        (b"", TransientError, "has just ended"),
        (answer({"args": [1]})[:-1], TransientError, "has just ended"),
        (b"\x12\xff\xff\xff\xff", TransientError, "too large"),
        (encode([{"args": [1]}]), TransientError, "an answer that is none"),
        (b"\x12\x00\x00\x00\x03j:{\x00\x00\x00\x03s:0", TransientError, "an answer that is none"),
        (answer("text"), TransientError, "an answer that is none"),
        (answer({"error": "Reload already in progress for process id 3"}), TransientError, "busy"),
        (answer({"error": "PM2 ID unknown", "stack": "…"}), PermanentError, "pm2 refused: PM2 ID unknown"),
        (None, TransientError, "did not answer in time|does not answer"),
    ],
)
def test_a_daemon_that_answers_by_halves_is_not_believed(place, said, kind, sentence):
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(place / "rpc.sock"))
        server.listen()

        def speak() -> None:
            link, _ = server.accept()
            with link:
                link.recv(65536)
                if said is None:
                    link.recv(1)  # until the caller goes
                else:
                    link.sendall(said)

        thread = threading.Thread(target=speak)
        thread.start()
        with pytest.raises(kind, match=sentence):
            Rpc(place).call("getMonitorData", {}, seconds=0.2 if said is None else 10)
        thread.join()


def test_a_daemon_that_is_gone_is_transient_and_seen_as_down(pm2, place, monkeypatch):
    with pytest.raises(TransientError, match="does not answer"):
        Rpc(place / "none").call("ping", seconds=1)
    driver = Pm2(pm2.facts, SecretStore())
    monkeypatch.setattr(driver.daemon, "rpc", Rpc(place / "none"))
    monkeypatch.setattr(driver.daemon, "pid", lambda: 1)
    assert driver.observe().healthy is False
    assert Rpc(pm2.home).calls([("ping", [{}]), ("ping", [{}])], seconds=5) == [{"msg": "pong"}, {"msg": "pong"}]
