"""`lab up --foreground`: what `make up` runs. It keeps the lab up and takes all of it down again."""

from __future__ import annotations

import os
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import psutil
import pytest

from drivers import web
from lab import estate, files
from lab.cache import Cache
from lab.daemon import COMMAND
from lab.edge import Edge
from lab.layout import REPOSITORY, Lab
from lab.unit import DOWN, UP
from tests.lab.conftest import Running, traces, until
from tests.ports import for_a_lab

pytestmark = pytest.mark.long

EDGE, CACHE = "staging/us-central/nginx", "staging/us-central/cache"


@dataclass
class Supervisor:
    """A running supervisor and what it says."""

    process: subprocess.Popen[str]
    lab: Running
    lines: list[str] = field(default_factory=list)

    def said(self, text: str) -> bool:
        return any(text in line for line in self.lines)

    def pid(self, name: str) -> int:
        return int(files.read_json(self.lab.lab.pids / f"{name.replace('/', '.')}.json", {})["pid"])


@pytest.fixture
def supervise(new_lab: Callable[[], Running]) -> Iterator[Callable[[Running], Supervisor]]:
    """Starts a supervisor of staging and waits until everything is ready."""
    started: list[Supervisor] = []

    def start(one: Running) -> Supervisor:
        words = ("up", "--foreground", "--only", "staging", "--base-port", str(one.base))
        process = subprocess.Popen(
            one.argv(*words),
            cwd=REPOSITORY,
            env=one.environment(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        started.append(Supervisor(process, one))
        threading.Thread(target=started[-1].lines.extend, args=(process.stdout,), daemon=True).start()
        until(lambda: started[-1].said("lab: ready"), 60)
        return started[-1]

    yield start
    for one in started:
        one.process.terminate()
        one.process.wait(15)
        one.process.stdout.close()


def test_what_dies_is_started_again_what_was_broken_is_not_and_the_end_is_complete(new_lab, supervise):
    one = new_lab()
    supervisor = supervise(one)
    url = one.connections()[EDGE]["url"]
    # Only the master of the edge: its workers live on, hold the port, and must go before the new one can listen.
    victims = {name: supervisor.pid(name) for name in (EDGE, CACHE)}
    for pid in victims.values():
        os.kill(pid, signal.SIGKILL)
    until(lambda: all(supervisor.pid(name) != pid for name, pid in victims.items()))
    until(lambda: supervisor.said(f"lab: {EDGE} is up again") and supervisor.said("lab: staging cache is up again"))
    assert web.get(f"{url}/api/").status == 200
    workers = [child.pid for child in psutil.Process(supervisor.pid(EDGE)).children()]
    assert len(workers) == 2

    one.run("break", "nginx", "staging/us-central")
    time.sleep(2.5)  # two looks of the supervisor
    assert one.rows(status=1)[EDGE]["state"] == "broken"
    one.run("heal")
    assert one.rows()[EDGE]["state"] == "up"

    begun = time.monotonic()
    supervisor.process.send_signal(signal.SIGINT)
    assert supervisor.process.wait(15) == 0
    assert time.monotonic() - begun < 10
    assert traces(one.state) == []
    assert not one.lab.supervisor.exists()


def test_a_killed_supervisor_is_succeeded_and_its_daemons_are_not_left_for_ever(new_lab, supervise):
    one = new_lab()
    first = supervise(one)
    first.process.kill()
    first.process.wait()
    edge = first.pid(EDGE)
    second = supervise(one)
    assert second.pid(EDGE) == edge
    one.run("down")
    assert second.process.wait(15) == 0
    assert traces(one.state) == []


def test_one_unit_that_fails_is_reported_and_the_others_start(tmp_path, programs_are_there, monkeypatch):
    monkeypatch.setattr("lab.programs.nginx", lambda: Path("/bin/false"))
    lab = Lab(tmp_path / "lab")
    here = estate.prepare(lab, ["staging"], for_a_lab())
    here.units = [*here.of(Edge), *here.of(Cache)]
    said: list[str] = []
    try:
        outcomes = {outcome.name: outcome for outcome in here.up(COMMAND, said.append, seconds=10)}
        assert outcomes["staging cache"].problem == ""
        assert outcomes[EDGE].problem == f"{EDGE} ended while starting: its log is empty"
        assert sorted(line.split("]")[1].split()[-1] for line in said if "ready" in line) == ["1"]
        assert {row.component: row.state for row in here.rows()} == {EDGE: DOWN, CACHE: UP}
    finally:
        here.down({COMMAND})
        lab.discard_runtime()
    assert traces(tmp_path) == []


def test_a_long_state_path_gets_a_short_folder_for_sockets(tmp_path):
    deep = tmp_path / ("a" * 60) / "lab"
    lab, other = Lab(deep), Lab(deep.parent / "other")
    try:
        assert len(str(lab.runtime)) < 60
        assert lab.runtime == Lab(deep).runtime != other.runtime
        assert lab.runtime.stat().st_mode & 0o777 == 0o700
    finally:
        before = lab.runtime
        lab.discard_runtime()
        other.discard_runtime()
    assert not before.exists()
