"""What the engine's measurements stand on: a PostgreSQL and a Valkey of their own, Celery workers as real processes.

Unlike ``bench.portal`` nothing is hidden behind ``make up``: each process can be killed and each server restarted.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from portal.embedded import ports, process, state
from portal.embedded.postgres import Postgres, place
from portal.embedded.valkey import Valkey

FIRST_PORT = 24400
QUEUES = "us-central,default"
CONNECTIONS = 120
READY_SECONDS = 90


class Nursery:
    """The process that worker processes are forked from (``bench.nursery``)."""

    def __init__(self, log: Path) -> None:
        with log.open("ab") as said:
            self.process = subprocess.Popen(
                [sys.executable, "-m", "bench.nursery"],
                cwd=state.REPOSITORY,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                text=True,
                start_new_session=True,
            )
        self._answer()

    def fork(self, log: Path, argv: list[str]) -> int:
        """Start a Celery program; its process number, which is its group's as well."""
        assert self.process.stdin is not None
        self.process.stdin.write(json.dumps({"log": str(log), "argv": argv}) + "\n")
        self.process.stdin.flush()
        return int(self._answer())

    def _answer(self) -> str:
        assert self.process.stdout is not None
        if not (line := self.process.stdout.readline()):
            raise RuntimeError("The nursery ended; see its log.")
        return line.strip()

    def close(self) -> None:
        self.process.kill()
        self.process.communicate()


class Worker:
    """One real Celery worker in a process group of its own; ``beat`` makes it the timer instead."""

    def __init__(self, name: str, nursery: Nursery, folder: Path, threads: int = 4, *, beat: bool = False) -> None:
        self.log = folder / f"{name}.log"
        self.nursery = nursery
        self.pid = 0
        role = ["beat", "-s", str(folder / "beat"), "--pidfile="]
        if not beat:
            role = ["worker", "-n", f"{name}@bench", "-P", "threads", "-c", str(threads), "-Q", QUEUES]
            role += ["--without-gossip", "--without-mingle", "--without-heartbeat"]
        self.argv = [*role, "-l", "WARNING"]

    def start(self) -> None:
        self.pid = self.nursery.fork(self.log, self.argv)

    @property
    def alive(self) -> bool:
        return process.started_at(self.pid) is not None

    def kill(self) -> None:
        """SIGKILL for the worker and every process it started; returns when it is gone."""
        if self.pid:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, signal.SIGKILL)
            wait_until(lambda: not self.alive, f"process {self.pid} survived SIGKILL", 30, pause=0.01)
            self.pid = 0


class Stage:
    """The servers, in one scratch folder. Django of this process and of all workers looks at them."""

    def __init__(self, folder: Path, *, preload: bool = False) -> None:
        self.folder = folder
        preloaded = {"shared_preload_libraries": "pg_stat_statements"} if preload else {}
        account = process.unprivileged()
        self.database = Postgres(
            place(folder / "postgres", account),
            secrets.token_urlsafe(24),
            secrets.token_urlsafe(24),
            folder / "postgres.log",
            {"max_connections": str(CONNECTIONS), **preloaded},
        )
        (folder / "broker").mkdir()
        self.broker = Valkey(folder / "broker", secrets.token_urlsafe(16), folder / "broker.log")
        self.workers: list[Worker] = []
        # What a thread has started ends with that thread (PR_SET_PDEATHSIG), so this one lives as long as the servers.
        self.aside = ThreadPoolExecutor(1, thread_name_prefix="aside")
        self.nursery: Nursery | None = None

    @property
    def superuser(self) -> str:
        """The address of the same database for who may read what others ask."""
        password = self.database.superuser_password
        return f"postgresql://postgres:{password}@127.0.0.1:{self.database.port}/portal"

    def start(self, **environment: str) -> None:
        """Both servers, migrated, and Django set up in this process. ``environment`` is for the workers too."""
        self.database.log.touch(mode=0o666)
        self.database.initialize()
        ports.start_on_free(self.database, FIRST_PORT)
        ports.start_on_free(self.broker, FIRST_PORT + 50)
        os.environ |= {
            "DATABASE_URL": self.database.url,
            "CELERY_BROKER_URL": self.broker.url,
            "DJANGO_SETTINGS_MODULE": "bench.settings",
            "PORTAL_STATE": str(self.folder / "state"),
            "PORTAL_SECRET_KEY": secrets.token_hex(32),
            "PORTAL_LOG_LEVEL": "WARNING",
            **environment,
        }
        import django
        from django.core.management import call_command

        django.setup()
        call_command("migrate", verbosity=0, interactive=False)

    def employ(self, count: int, threads: int) -> list[Worker]:
        """Start ``count`` workers and one timer; returns the workers when each has said that it is there."""
        from operations.models import Worker as Present

        Present.objects.all().delete()
        self.nursery = nursery = Nursery(self.folder / "nursery.log")
        crew = [Worker(f"worker-{number}", nursery, self.folder, threads) for number in range(1, count + 1)]
        self.workers += [*crew, Worker("timer", nursery, self.folder, beat=True)]
        for worker in self.workers:
            worker.start()
        wait_until(lambda: Present.objects.count() >= count, "the workers never came up", READY_SECONDS)
        return crew

    def dismiss(self) -> None:
        """Kill every worker, and forget that they were there."""
        for worker in self.workers:
            worker.kill()
        self.workers = []
        if self.nursery is not None:
            self.nursery.close()
            self.nursery = None

    def restart_broker(self, *, forgetting: bool) -> None:
        """Stop and start it; ``forgetting`` loses every message it held."""
        self.broker.stop()
        if forgetting:
            for path in self.broker.folder.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
        self.broker.start()

    def crash_database(self) -> None:
        """SIGQUIT: it ends at once without writing anything down, and recovers from its log at the next start."""
        assert self.database.child is not None
        self.database.child.send_signal(signal.SIGQUIT)
        self.database.child.wait()
        self.database.child = None
        self.database.start()

    def stop(self) -> None:
        self.dismiss()
        self.broker.stop()
        self.database.stop()
        self.aside.shutdown()
        real = (self.folder / "postgres").resolve()
        shutil.rmtree(real, ignore_errors=True)


@contextlib.contextmanager
def stage(*, preload: bool = False, **environment: str) -> Iterator[Stage]:
    """A started ``Stage`` for the block; ``preload`` has it count its statements."""
    with tempfile.TemporaryDirectory(prefix="edye-bench-", ignore_cleanup_errors=True) as scratch:
        Path(scratch).chmod(0o711)  # PostgreSQL's own account passes through
        it = Stage(Path(scratch), preload=preload)
        try:
            it.start(**environment)
            yield it
        finally:
            it.stop()


def wait_until(holds: Callable[[], Any], otherwise: str, seconds: float, pause: float = 0.1) -> None:
    """Return as soon as ``holds()``; ``TimeoutError`` after ``seconds``."""
    deadline = time.monotonic() + seconds
    while not holds():
        if time.monotonic() > deadline:
            raise TimeoutError(otherwise)
        time.sleep(pause)
