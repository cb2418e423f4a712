"""Worker processes stopped by SIGSTOP beyond their lease, between the look and the effect: they do not act any more.

Another has taken the operation over by then. An act on a host that keeps a fence is refused by the host itself, even
when the worker was stopped after its last question; any other asks immediately before its effect, and is told.
"""

from __future__ import annotations

import json
import os
import secrets
import signal
import time
from pathlib import Path

import pytest
import redis

from operations import actions
from operations.models import Operation
from operations.plan import registry
from portal import events
from portal.embedded import ports
from portal.embedded.valkey import Valkey
from tests import world
from tests.operations.fenced import KIND, Fenced
from tests.operations.test_sigkill import Worker, _drop_other_sessions, broker, until_ended  # noqa: F401 (a fixture)
from tests.ports import somewhere

# What a claim that was taken over is told, test_leases proves without processes.
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180), pytest.mark.long]
PATIENCE = 60
SLUG = "production/us-central/cache"
PLACES = ("fence", "asking")


@pytest.fixture
def target(tmp_path, monkeypatch, settings):
    """A Valkey that stands in the connections file, and a client that looks at it."""
    folder = tmp_path / "target"
    folder.mkdir()
    server = Valkey(folder, secrets.token_urlsafe(16), tmp_path / "target.log")
    ports.start_on_free(server, somewhere())
    monkeypatch.setenv("CACHE_PASSWORD", server.password)
    settings.CONNECTIONS_FILE = folder / "connections.json"
    facts = {"driver": "redis", "host": "127.0.0.1", "port": server.port, "password": "env:CACHE_PASSWORD"}
    settings.CONNECTIONS_FILE.write_text(json.dumps({"version": 1, "connections": {SLUG: facts}}))
    settings.CONNECTIONS_FILE.chmod(0o600)
    client = redis.Redis(port=server.port, password=server.password, decode_responses=True)
    yield client
    client.close()
    server.stop()


@pytest.fixture
def stops(tmp_path):
    """Where stopped processes leave their ids; all of them go on in the end."""
    folder = tmp_path / "stops"
    folder.mkdir()
    yield folder
    for path in folder.iterdir():
        os.kill(int(path.read_text()), signal.SIGCONT)


@pytest.fixture
def worker(broker, target, stops, tmp_path, settings, monkeypatch):  # noqa: F811
    monkeypatch.setitem(registry, (KIND, 1), Fenced())
    folder = tmp_path / "worker"
    folder.mkdir()
    it = Worker(broker, folder, STOPS=str(stops), PORTAL_CONNECTIONS=str(settings.CONNECTIONS_FILE))
    it.application, it.queues = "stale_worker", "default,us-central"
    yield it
    it.kill()
    _drop_other_sessions()


def until(probe, worker: Worker) -> None:
    deadline = time.monotonic() + PATIENCE
    while not probe():
        assert time.monotonic() < deadline, said(worker)[-3000:]
        time.sleep(0.05)


def said(worker: Worker) -> str:
    return (worker.folder / "worker.log").read_text()


def stopped(pid: int) -> bool:
    """Whether the kernel has all of it stopped (proc_pid_stat(5): state T)."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "T"


def sets(target: redis.Redis) -> int:
    """How often CONFIG SET was called."""
    return target.info("commandstats").get("cmdstat_config|set", {}).get("calls", 0)


def test_a_worker_stopped_beyond_its_lease_does_not_act_any_more(worker, target, stops, tmp_path):
    page = world.component("production/us-central/page", service="api")
    cache = world.component(SLUG, kind="cache", service="api")
    parameter = {"name": "maxmemory-policy", "value": "allkeys-lru"}
    asked = [
        actions.request(KIND, page, by=events.SYSTEM, params={"folder": str(tmp_path)}),
        actions.request("redis.set-parameter", cache, by=events.SYSTEM, params=parameter),
    ]
    worker.start()
    until(lambda: all((stops / place).exists() and (stops / place).read_text() for place in PLACES), worker)
    pids = [int((stops / place).read_text()) for place in PLACES]
    until(lambda: all(stopped(pid) for pid in pids), worker)
    first = {it.pk: Operation.objects.get(pk=it.pk).fence for it in asked}

    # Another process takes both over and ends them, while the first stand where they were stopped.
    assert set(until_ended(asked, worker).values()) == {"done"}
    assert [stopped(pid) for pid in pids] == [True, True]
    assert (tmp_path / "page").read_text() == "try 2\n"
    assert (target.config_get("maxmemory-policy"), sets(target)) == ({"maxmemory-policy": "allkeys-lru"}, 1)
    # Since then the world has moved on.
    target.config_set("maxmemory-policy", "volatile-ttl")

    for pid in pids:
        os.kill(pid, signal.SIGCONT)
    until(lambda: said(worker).count('"event": "lease_lost"') == len(asked), worker)
    assert (tmp_path / "page").read_text() == "try 2\n"
    assert (target.config_get("maxmemory-policy"), sets(target)) == ({"maxmemory-policy": "volatile-ttl"}, 2)
    for operation in asked:
        operation.refresh_from_db()
        step = operation.steps.get()
        assert (operation.state, step.state, step.attempts, step.error) == ("done", "done", 2, "")
        assert operation.fence > first[operation.pk]
