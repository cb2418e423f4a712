"""`manage.py up` from end to end, without the lab."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

import httpx
import psycopg
import pytest

from portal.embedded import ports, process, state
from portal.management.commands.up import Command
from tests.ports import free

pytestmark = pytest.mark.long

MANAGE = [sys.executable, str(state.REPOSITORY / "manage.py"), "up"]


@pytest.fixture
def environment():
    """The caller's environment with a state folder of this test's own and no servers."""
    named = {"DATABASE_URL", "CELERY_BROKER_URL", "PORT", "PORTAL_ADDRESS", "PORTAL_SECRET_KEY_FILE"}
    environment = {name: value for name, value in os.environ.items() if name not in named}
    with tempfile.TemporaryDirectory(prefix="edye-test-up-", dir="/tmp") as folder:
        Path(folder).chmod(0o711)
        yield {**environment, "PORTAL_STATE": f"{folder}/state", "LAB": "0"}


class Run:
    """One `manage.py up`, and what it printed so far."""

    def __init__(self, environment):
        self.child = subprocess.Popen(
            MANAGE, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        self.printed = ""

    def address(self):
        for line in self.child.stdout:
            self.printed += line
            if ready := re.fullmatch(r"READY (http://127\.0\.0\.1:\d+)\n", line):
                return ready[1]
        raise AssertionError(f"never ready:\n{self.printed}")

    def stop(self, signum=signal.SIGINT):
        if self.child.poll() is None:
            self.child.send_signal(signum)
        if not self.child.stdout.closed:
            self.printed += self.child.stdout.read()
            self.child.stdout.close()
        return self.child.wait(60)


@pytest.fixture
def up(environment):
    runs = []

    def start(**changes):
        runs.append(Run({**environment, **changes}))
        return runs[-1]

    yield start
    for run in runs:
        run.stop(signal.SIGTERM)


def once(environment, *arguments, **changes):
    """Run it where it is expected to end by itself."""
    return subprocess.run(
        [*MANAGE, *arguments], env={**environment, **changes}, capture_output=True, text=True, timeout=90
    )


def recorded(environment):
    """Start times of the processes that a run has recorded, by pid."""
    records = Path(environment["PORTAL_STATE"], "run").glob("*.json")
    return {
        pid: process.started_at(pid) for pid in (int(re.search(r'"pid": (\d+)', r.read_text())[1]) for r in records)
    }


@pytest.mark.timeout(240)
def test_one_run_from_start_to_clean(environment, up):
    first = up()
    address = first.address()
    assert httpx.get(f"{address}/readyz").status_code == 200
    assert int(address.rpartition(":")[2]) < ports.EPHEMERAL

    second = once(environment)
    assert second.returncode == 1
    assert f"A portal is already running at {address}" in second.stderr
    assert "Traceback" not in second.stderr
    assert "already running" in once(environment, "--clean").stderr

    deadline = time.monotonic() + 40
    while len(recorded(environment)) < 7 and time.monotonic() < deadline:
        time.sleep(0.2)
    processes = recorded(environment)
    assert len(processes) == 7  # PostgreSQL, Valkey, web, beat and a worker for each of three queues
    database = state.running(Path(environment["PORTAL_STATE"]))["DATABASE_URL"]
    with psycopg.connect(database, autocommit=True) as db:
        db.execute("CREATE TABLE kept AS SELECT 42 AS answer")

    first.child.kill()
    first.child.wait()
    again = up()
    address = again.address()
    assert [pid for pid, began in processes.items() if began and process.started_at(pid) == began] == []
    with psycopg.connect(state.running(Path(environment["PORTAL_STATE"]))["DATABASE_URL"]) as db:
        assert db.execute("SELECT answer FROM kept").fetchone() == (42,)

    processes = recorded(environment)
    assert again.stop() == 0
    assert re.search(rf"\nSIGN-IN {address}/\S+\n", again.printed)
    assert again.printed.endswith("Stopped.\n")
    assert [pid for pid in processes if process.started_at(pid)] == []
    assert once(environment, "--clean").returncode == 0
    assert Path(environment["PORTAL_STATE"]).exists() is False


def test_a_taken_port_is_named(environment):
    taken = free()
    with socket.create_server(("127.0.0.1", taken)):
        refused = once(environment, PORT=str(taken))
    assert refused.returncode == 1
    assert f"Port {taken} is taken." in refused.stderr
    assert "Traceback" not in refused.stderr


@pytest.mark.parametrize("port", ["http", "0", "65536", "-1"])
def test_what_is_no_port_is_refused(monkeypatch, port):
    monkeypatch.setenv("PORT", port)
    with pytest.raises(RuntimeError, match=f"PORT={port} is not a port number"):
        Command()._port()


@pytest.mark.parametrize("number", ["two", "0", "65", "-1", "1.5"])
def test_what_is_no_number_of_web_processes_is_refused(monkeypatch, number):
    monkeypatch.setenv("WEB_PROCESSES", number)
    with pytest.raises(RuntimeError, match=f"WEB_PROCESSES={number} is not a number from 1 to 64"):
        Command()._web_processes()


@pytest.mark.parametrize(("wanted", "processes"), [("", 1), ("2", 2), ("64", 64)])
def test_one_web_process_runs_unless_more_are_wanted(monkeypatch, wanted, processes):
    monkeypatch.setenv("WEB_PROCESSES", wanted)
    assert Command()._web_processes() == processes


def test_without_port_the_next_free_one_from_8400_upward_is_taken(monkeypatch):
    monkeypatch.delenv("PORT", raising=False)
    monkeypatch.setattr(ports, "is_free", lambda port: port > 8402)
    assert Command()._port() == 8403


def test_servers_named_by_the_environment_are_used_instead(tmp_path):
    command = Command()
    command.state = tmp_path
    named = {"DATABASE_URL": "postgresql://database.example/portal", "CELERY_BROKER_URL": "amqp://broker.example"}
    environment = dict(named)
    with ExitStack() as cleanup:
        assert command._servers(cleanup, environment) == []
    assert environment == named
    assert list(tmp_path.iterdir()) == []
