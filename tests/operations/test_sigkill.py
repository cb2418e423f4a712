"""Workers killed with SIGKILL, brokers lost: every operation ends done or undone, never half, never twice."""

from __future__ import annotations

import os
import random
import secrets
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest
from django.conf import settings
from django.db import connection
from kombu import pools

from operations import actions
from operations.models import Operation, Step, StepLog
from operations.plan import registry
from portal import clock, dispatch, events
from portal.celery import app
from portal.embedded import ports
from portal.embedded.valkey import Valkey
from tests import world
from tests.operations.counting import DONE, KIND, STEPS, UNDONE, Counting, found
from tests.ports import somewhere

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180), pytest.mark.long]
PATIENCE = 90
"""Seconds until a test gives up on its operations."""
# As in worker_settings, less what passes between writing a lease and reading it.
LEASE = timedelta(seconds=1.5)
PLACES = range(1, STEPS + 1)


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Valkey]:
    """A Valkey of this test's own, and the portal's messages go there."""
    folder = tmp_path / "broker"
    folder.mkdir()
    server = Valkey(folder, secrets.token_urlsafe(16), tmp_path / "broker.log")
    ports.start_on_free(server, somewhere())
    before = app.conf.broker_url
    _send_to(server.url)
    yield server
    _send_to(before)
    server.stop()


def _send_to(url: str) -> None:
    pools.reset()  # kombu keeps one pool per address, also a closed one
    app._pool = app.amqp._producer_pool = None
    app.conf.broker_url = app.conf.broker_write_url = app.conf.broker_read_url = url
    dispatch._away_until = 0.0  # another broker was away


class Worker:
    """A real Celery worker with its own beat, in a process group of its own.

    ``package`` holds its application (``worker``, unless another is named) and its settings (``worker_settings``).
    """

    package = "tests.operations"
    application = "worker"
    pool = "prefork"
    processes = 3
    queues = "default"
    patience = PATIENCE

    def __init__(self, broker: Valkey, folder: Path, **environment: str) -> None:
        self.folder = folder
        database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
        self.env = os.environ | {
            "DATABASE_URL": database,
            "CELERY_BROKER_URL": broker.url,
            "DJANGO_SETTINGS_MODULE": f"{self.package}.worker_settings",
            "PORTAL_STATE": str(folder),
            **environment,
        }
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        command = [
            sys.executable,
            "-m",
            "celery",
            "-A",
            f"{self.package}.{self.application}",
            "worker",
            "-l",
            "WARNING",
        ]
        command += [
            "-B",
            "-s",
            str(self.folder / "beat"),
            "-P",
            self.pool,
            "-c",
            str(self.processes),
            "-Q",
            self.queues,
        ]
        command += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        with (self.folder / "worker.log").open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=settings.BASE_DIR, env=self.env, stdout=log, stderr=log, start_new_session=True
            )

    def kill(self) -> None:
        """SIGKILL for the worker and everything it started."""
        if self.process is not None:
            os.killpg(self.process.pid, signal.SIGKILL)
            self.process.wait()
            self.process = None


@pytest.fixture
def worker(broker: Valkey, tmp_path: Path) -> Iterator[Worker]:
    folder = tmp_path / "worker"
    folder.mkdir()
    it = Worker(broker, folder)
    yield it
    it.kill()
    _drop_other_sessions()


def _drop_other_sessions() -> None:
    """Killed workers leave sessions behind that would keep the test database from being emptied."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND application_name = ''"
            " AND backend_start > now() - interval '10 minutes'"
        )


@pytest.fixture
def counting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry, (KIND, 1), Counting())


def count(folder: Path, name: str, **params: Any) -> Operation:
    """An operation on a component of its own, in a folder of its own."""
    place = folder / name
    place.mkdir()
    component = world.component(f"production/us-central/{name}", service="api")
    return actions.request(KIND, component, by=events.SYSTEM, params={"folder": str(place), **params})


def until_ended(operations: list[Operation], worker: Worker) -> dict[str, str]:
    """Their states by target's last part, when all have ended; what the worker said when they do not."""
    deadline = time.monotonic() + worker.patience
    while Operation.objects.active().exists():
        if time.monotonic() > deadline or worker.process is None or worker.process.poll() is not None:
            states = list(Operation.objects.active().values("target", "state", "waiting_for", "lease_until"))
            raise AssertionError(f"{states}\n{(worker.folder / 'worker.log').read_text()[-3000:]}")
        time.sleep(0.2)
    return {
        it.target.rpartition("/")[2]: it.state for it in Operation.objects.filter(pk__in=[o.pk for o in operations])
    }


def until_busy() -> None:
    """Return when a worker that lives holds an operation, or nothing is left to be done."""
    since, deadline = clock.now(), time.monotonic() + PATIENCE
    while Operation.objects.active().exists() and not Operation.objects.filter(lease_until__gt=since + LEASE).exists():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def test_a_worker_killed_at_any_step_leaves_it_done_or_undone(counting, worker, tmp_path):
    """Killed before and after each effect, doing and undoing: all at once, each on a target of its own."""
    asked = {}
    for verb in ("do", "undo"):
        for moment in ("before", "after"):
            for place in PLACES:
                name = f"{moment}-{verb}-{place}"
                asked[name] = count(tmp_path, name, die=f"{moment} {verb} {place}", fails=verb == "undo")
    worker.start()
    states = until_ended(list(asked.values()), worker)
    assert states == {name: "undone" if "undo" in name else "done" for name in asked}
    assert {name: found(tmp_path / name) for name in asked} == {
        name: UNDONE if "undo" in name else DONE for name in asked
    }
    assert [name for name in asked if not (tmp_path / name / "died").exists()] == []
    # Each was tried once more where its worker died, and nowhere else.
    tries = {name: list(asked[name].steps.values_list("attempts", flat=True)) for name in asked if "undo" not in name}
    assert tries == {name: [2 if str(place) == name[-1] else 1 for place in PLACES] + [1] for name in tries}
    assert StepLog.objects.filter(step__operation=asked["before-do-1"], text="counting").count() == STEPS


def test_workers_killed_at_random_and_a_restarted_broker_lose_nothing(counting, worker, broker, tmp_path):
    asked = [count(tmp_path, f"random-{number}", fails=number % 2 == 1) for number in range(12)]
    dice = random.Random(20)
    for _ in range(3):
        worker.start()
        until_busy()
        time.sleep(dice.random())
        worker.kill()
    broker.stop()
    broker.start()
    worker.start()
    states = until_ended(asked, worker)
    assert set(states.values()) <= {"done", "undone"}
    for operation in asked:
        operation.refresh_from_db()
        seen = found(Path(operation.params["folder"]))
        assert seen == (DONE if operation.state == "done" else UNDONE), (operation.target, operation.failure)
    assert Step.objects.filter(state__in=["running", "undoing"]).count() == 0


def test_a_broker_that_is_down_or_forgot_everything_costs_time_only(counting, worker, broker, tmp_path):
    asked = [count(tmp_path, f"forgotten-{number}") for number in range(3)]
    broker.stop()
    for path in broker.folder.rglob("*"):
        if path.is_file():
            path.unlink()
    asked.append(count(tmp_path, "no-broker"))
    assert asked[-1].state == "queued"
    broker.start()
    worker.start()
    assert set(until_ended(asked, worker).values()) == {"done"}
    assert {tuple(found(Path(it.params["folder"]))) for it in asked} == {tuple(DONE)}


def test_the_test_database_is_the_workers(worker):
    """Otherwise the proofs above would prove nothing."""
    with psycopg.connect(worker.env["DATABASE_URL"]) as link:
        assert link.execute("SELECT current_database()").fetchone() == (connection.settings_dict["NAME"],)
