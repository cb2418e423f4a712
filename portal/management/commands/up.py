"""Start the whole portal in the foreground: servers, migrations, catalog, accounts, processes and the lab."""

import os
import signal
import subprocess
import sys
import time
from argparse import ArgumentParser
from collections.abc import Callable
from contextlib import ExitStack
from shutil import rmtree
from typing import Any

import httpx
from django.core.management.base import BaseCommand, CommandError

from portal.embedded import ports, postgres, process, state
from portal.embedded.postgres import Postgres
from portal.embedded.supervisor import Supervisor
from portal.embedded.valkey import Valkey

# One worker per data center, whose queue has its name, and one for everything that belongs to none.
# Threads per queue. A target that hangs keeps one for seconds, and some must be left for all others.
QUEUES = {"us-central": 12, "us-east": 12, "default": 8}


class Command(BaseCommand):
    """`manage.py up`: what `make up` runs once the environment is installed.

    manage.py starts it without Django's set-up, whose settings need the addresses of servers that are started here.
    """

    help = "Start everything and keep it running until Ctrl-C."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--clean", action="store_true", help="stop leftovers and remove the state folder")

    def handle(self, *args: Any, clean: bool, **options: Any) -> None:
        self.state = state.folder()
        self.began = time.monotonic()
        # SIGTERM ends the preparations like Ctrl-C does; later the supervisor handles both.
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        with ExitStack() as cleanup:
            try:
                self._hold(cleanup)
                self._clean() if clean else self._run(cleanup)
            except (RuntimeError, state.Busy) as error:
                raise CommandError(str(error)) from error
            except KeyboardInterrupt:
                self._say("Stopping")

    def _say(self, text: str) -> None:
        self.stdout.write(f"{time.monotonic() - self.began:6.1f} s  {text}")
        self.stdout.flush()

    def _hold(self, cleanup: ExitStack) -> None:
        """Lock the state folder; wait for a run that is about to end; stop what a killed one left."""
        state.prepare(self.state)
        deadline = time.monotonic() + 30
        while True:
            try:
                cleanup.enter_context(state.lock(self.state))
                break
            except state.Busy as busy:
                if busy.address or time.monotonic() > deadline:
                    where = f" at {busy.address}" if busy.address else ""
                    raise RuntimeError(
                        f"A portal is already running{where} with the state folder {self.state}. Stop it with Ctrl-C "
                        f"first, or choose another folder with PORTAL_STATE."
                    ) from busy
                time.sleep(0.2)
        state.withdraw(self.state)
        run = self.state / "run"
        if left := process.stop_recorded(run):
            self._say(f"Stopped what an earlier run had left behind: {', '.join(left)}")
        cleanup.callback(process.stop_recorded, run)  # the last net, and no record is left of what has ended

    def _clean(self) -> None:
        if (self.state / "lab").exists():
            subprocess.run([*self._manage, "lab", "down"], check=False, env=self._environment(0))
        data = self.state / "postgres"
        if data.is_symlink():
            rmtree(data.resolve(), ignore_errors=True)
        rmtree(self.state)
        self.stdout.write(f"Removed {self.state}.")

    @property
    def _manage(self) -> list[str]:
        return [sys.executable, str(state.REPOSITORY / "manage.py")]

    def _environment(self, port: int) -> dict[str, str]:
        """What every child gets, besides the caller's environment."""
        state.secret(self.state, "django.key", size=48)
        return {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PORTAL_STATE": str(self.state),
            "PORTAL_SECRET_KEY_FILE": str(self.state / "secrets" / "django.key"),
            "PORT": str(port),
            "PYTHONUNBUFFERED": "1",
        }

    def _run(self, cleanup: ExitStack) -> None:
        port, web_processes = self._port(), self._web_processes()
        address = f"http://{ports.LOOPBACK}:{port}"
        environment = self._environment(port)
        cleanup.callback(self._say, "Stopped.")
        servers = self._servers(cleanup, environment)
        published = {"PORTAL_ADDRESS": address, "PORT": str(port)}
        published |= {name: environment[name] for name in ("DATABASE_URL", "CELERY_BROKER_URL")}
        cleanup.callback(state.withdraw, self.state)
        state.publish(self.state, published)
        accounts = self._prepared(environment)
        self._say("Starting the web server, the workers and beat" + (" and the lab" if self._lab else ""))
        supervisor = Supervisor(
            self.state, ready=lambda: self._announce(address, accounts, supervisor), servers=servers
        )
        self._add_programs(supervisor, environment, port, web_processes)
        supervisor.loop()
        self._say("All processes have ended")
        if supervisor.returncode not in (130, 143):  # honcho's codes for SIGINT and SIGTERM
            raise RuntimeError(f"A process ended that must not; its log is in {self.state / 'log'}")

    @property
    def _lab(self) -> bool:
        return os.environ.get("LAB") != "0"

    def _web_processes(self) -> int:
        """WEB_PROCESSES when given, else one: each takes some 140 MB."""
        wanted = os.environ.get("WEB_PROCESSES") or "1"
        if not wanted.isdigit() or not 0 < int(wanted) <= 64:
            raise RuntimeError(f"WEB_PROCESSES={wanted} is not a number from 1 to 64.")
        return int(wanted)

    def _port(self) -> int:
        """PORT when given, else the first free one from 8400 upward."""
        wanted = os.environ.get("PORT")
        if not wanted:
            return ports.first_free(8400)
        if not wanted.isdigit() or not 0 < int(wanted) < 65536:
            raise RuntimeError(f"PORT={wanted} is not a port number.")
        if not ports.is_free(int(wanted)):
            raise RuntimeError(f"Port {wanted} is taken. Leave PORT out for the next free one, or name another.")
        return int(wanted)

    def _servers(self, cleanup: ExitStack, environment: dict[str, str]) -> list[Callable[[], bool]]:
        """Start the embedded servers that the environment does not replace, and add their addresses to it."""
        alive: list[Callable[[], bool]] = []
        if not environment.get("DATABASE_URL"):
            account = process.unprivileged()
            folder = postgres.place(self.state / "postgres", account)
            if folder != (self.state / "postgres").resolve() or (self.state / "postgres").is_symlink():
                self._say(
                    f"The account {account.pw_name if account else ''} cannot reach {self.state}: data in {folder}"
                )
            secret = state.secret(self.state, "postgres-superuser"), state.secret(self.state, "postgres")
            log = self.state / "log" / "postgres.log"
            self._say("Starting PostgreSQL")
            database = Postgres(folder, *secret, log)
            database.initialize()
            cleanup.callback(database.stop)
            ports.start_on_free(database, 8440)
            self._started("postgres", database.child, signal.SIGINT, alive)
            environment["DATABASE_URL"] = database.url
        if not environment.get("CELERY_BROKER_URL"):
            self._say("Starting Valkey")
            log = self.state / "log" / "valkey.log"
            broker = Valkey(self.state / "valkey", state.secret(self.state, "valkey"), log)
            cleanup.callback(broker.stop)
            ports.start_on_free(broker, 8470)
            self._started("valkey", broker.child, signal.SIGTERM, alive)
            environment["CELERY_BROKER_URL"] = broker.url
        return alive

    def _started(
        self, name: str, child: subprocess.Popen[bytes] | None, stop: int, alive: list[Callable[[], bool]]
    ) -> None:
        assert child is not None
        process.record(self.state / "run", name, child.pid, stop)
        alive.append(lambda: child.poll() is None)

    def _prepared(self, environment: dict[str, str]) -> str:
        """Bring the database to the code, in a process that has it; returns how to sign in."""
        command = [*self._manage, "prepare", f"--began={self.began}"]
        if subprocess.run(command, env=environment, cwd=state.REPOSITORY, check=False).returncode:
            raise RuntimeError("The database could not be prepared; the reason is above.")
        return (self.state / "secrets" / "sign-in").read_text()

    def _add_programs(self, supervisor: Supervisor, environment: dict[str, str], port: int, web_processes: int) -> None:
        python = sys.executable
        web = ["-m", "uvicorn", "portal.asgi:application", "--host", ports.LOOPBACK, "--port", str(port)]
        web += ["--lifespan", "off", "--no-access-log", "--timeout-graceful-shutdown", "3"]
        web += ["--http", "portal.web:Connection", "--workers", str(web_processes)]
        supervisor.add("web", [python, *web], env=environment, first=True)
        celery = [python, "-m", "celery", "--app", "portal"]
        for queue, threads in QUEUES.items():
            # Steps wait for other machines rather than compute, so threads do; a process more per queue costs memory.
            options = [
                "--queues",
                queue,
                "--hostname",
                f"{queue}@%h",
                "--pool",
                "threads",
                "--concurrency",
                str(threads),
            ]
            options += ["--without-gossip", "--without-mingle", "--loglevel", "INFO"]
            supervisor.add(f"worker-{queue}", [*celery, "worker", *options], env=environment)
        supervisor.add("beat", [*celery, "beat", "--loglevel", "INFO"], env=environment)
        if self._lab:
            supervisor.add("lab", [*self._manage, "lab", "up", "--foreground"], env=environment, optional=True)

    def _announce(self, address: str, accounts: str, supervisor: Supervisor) -> None:
        """Print the READY line when the portal answers, and every half minute what is still missing."""
        warned = time.monotonic()
        while (answer := self._readiness(address, supervisor)) and not supervisor.stopping.is_set():
            if time.monotonic() - warned > 30:
                warned = time.monotonic()
                self._say(f"Still waiting for {address}/readyz: {answer}")
            time.sleep(0.2)
        if not supervisor.stopping.is_set():
            self._say("The portal answers")
            self.stdout.write(f"READY {address}\n{accounts}\nCtrl-C stops everything. Logs: {self.state / 'log'}")
            self.stdout.flush()
        supervisor.stopping.wait()
        state.withdraw(self.state)  # a run that starts now waits for this one to end

    def _readiness(self, address: str, supervisor: Supervisor) -> str:
        """What keeps the portal from being ready; empty when nothing does."""
        try:
            response = httpx.get(f"{address}/readyz", timeout=5, trust_env=False)
        except httpx.HTTPError as error:
            return str(error)
        supervisor.release()  # whatever the answer is, the web server has started
        return "" if response.status_code == 200 else response.text
