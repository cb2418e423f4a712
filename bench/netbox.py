"""NetBox as the peer of ``bench.inventory``: made ready in a folder of its own, started, and kept up until Ctrl-C.

The first time takes long: installing, several minutes of processor for its migrations, then the estate. Each size is
kept as a database of its own, from which every start makes a fresh copy: what the last measurement wrote is gone. How
to reach the peer stands in ``<folder>/peer.json``, which is what ``BENCH_NETBOX`` names.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from importlib.metadata import Distribution
from pathlib import Path
from typing import Any

import psycopg

from bench import estate
from bench.stage import wait_until
from portal.embedded import ports, process, state
from portal.embedded.postgres import ROLE, Postgres, place
from portal.embedded.valkey import Valkey

VERSION = "4.7.3"
SIZE = 100_000
FIRST_PORT = 24600
INSIDE = Path(__file__).with_name("netbox_inside.py")
WEB = ("--workers", "2", "--threads", "3", "--timeout", "120", "--max-requests", "5000", "--max-requests-jitter", "500")
"""As NetBox's example for gunicorn has it, but with two processes instead of five."""
SETTINGS = """\
# Written anew at each start.
ALLOWED_HOSTS = ["127.0.0.1"]
DATABASES = {{"default": {{"ENGINE": "django.db.backends.postgresql", "CONN_MAX_AGE": 300, **{database!r}}}}}
REDIS = {{"tasks": {{**{broker!r}, "DATABASE": 0}}, "caching": {{**{broker!r}, "DATABASE": 1}}}}
SECRET_KEY = {secret!r}
API_TOKEN_PEPPERS = {{1: {pepper!r}}}
# Nothing leaves this machine.
CENSUS_REPORTING_ENABLED = False
ISOLATED_DEPLOYMENT = True
"""


def main(options: argparse.Namespace) -> None:
    folder, size = Path(options.folder).absolute(), (options.size or [SIZE])[0]
    with running(folder, size) as said:
        print(f"NetBox {VERSION} with {size:,} devices answers at {said['base']}. Measure it with\n\n  "
              f'BENCH_NETBOX={folder / "peer.json"} make bench ARGS="inventory --system portal --system netbox"\n\n'
              "Ctrl-C stops it.", flush=True)  # fmt: skip
        with suppress(KeyboardInterrupt):
            signal.pause()


@contextmanager
def running(folder: Path, size: int) -> Iterator[dict[str, Any]]:
    """A started NetBox with ``size`` devices, and what ``peer.json`` says meanwhile."""
    folder.mkdir(parents=True, exist_ok=True)
    peer = Peer(folder)
    try:
        yield peer.start(size)
    finally:
        peer.stop()


class Peer:
    """NetBox with its PostgreSQL and its Valkey, everything in ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bin = folder, folder / "venv" / "bin"
        for name in ("secrets", "log", "conf", "valkey"):
            (folder / name).mkdir(mode=0o700, exist_ok=True)
        account = process.unprivileged()
        folder.chmod(0o711)  # PostgreSQL's own account passes through
        self.database = Postgres(
            place(folder / "postgres", account), self._secret("superuser"), self._secret("database"),
            folder / "log" / "postgres.log", {"shared_preload_libraries": "pg_stat_statements"},
        )  # fmt: skip
        self.broker = Valkey(folder / "valkey", self._secret("broker"), folder / "log" / "valkey.log")
        self.children: list[subprocess.Popen[bytes]] = []

    def start(self, size: int) -> dict[str, Any]:
        """Make ready what is missing, then start everything; what ``peer.json`` says."""
        self._install()
        self._serve()
        if not self._has("estate_0"):
            self._make("estate_0", lambda: self._inside("migrate"))
        if not self._has(f"estate_{size}"):
            self._make(f"estate_{size}", lambda: self._fill(size), begin="estate_0")
        self._copy(f"estate_{size}")
        said = json.loads(self._inside("people", *estate.TEAMS[: len(estate.TEAMS) // 2]))
        jobs = self._spawn("jobs", "netbox", "rqworker", "high", "default", "low")
        port = ports.first_free(FIRST_PORT + 20)
        web = self._spawn("web", "gunicorn", "netbox.wsgi", "--bind", f"127.0.0.1:{port}", *WEB)
        wait_until(lambda: not ports.is_free(port), f"NetBox never answered; see {self.folder}/log", 120)
        assert self.database.child is not None
        said |= {
            "base": f"http://127.0.0.1:{port}", "database": self._url(ROLE), "size": size,
            "app": web.pid, "db": self.database.child.pid, "jobs": jobs.pid,
        }  # fmt: skip
        self._write(self.folder / "peer.json", json.dumps(said, indent=1))
        return dict(said)

    def stop(self) -> None:
        (self.folder / "peer.json").unlink(missing_ok=True)
        for child in self.children:
            process.stop(child.pid, signal.SIGTERM, patience=20)
            child.wait()
        self.broker.stop()
        self.database.stop()

    def _install(self) -> None:
        """Its wheel from ``folder`` when one lies there, else from pip's index, in an environment of its own."""
        if (self.folder / "installed").exists():
            return
        subprocess.run([sys.executable, "-m", "venv", self.folder / "venv"], check=True)
        pip = [self.bin / "python", "-m", "pip", "install", "--quiet", "--find-links", self.folder]
        subprocess.run([*pip, "--no-deps", f"netbox=={VERSION}"], check=True)
        (facts,) = (self.folder / "venv").glob(f"lib/*/site-packages/netbox-{VERSION}.dist-info")
        needs = [need for need in Distribution.at(facts).requires or () if "extra ==" not in need]
        # The driver as the portal has it: with its own libpq, so that nothing has to be compiled.
        subprocess.run([*pip, *(need.replace("psycopg[c,", "psycopg[binary,") for need in needs)], check=True)
        (self.folder / "installed").touch()

    def _serve(self) -> None:
        """Both servers; jobs that an earlier run left belong to a database that is gone."""
        shutil.rmtree(self.broker.folder)
        self.broker.folder.mkdir(mode=0o700)
        self.database.log.touch(mode=0o666)
        self.database.initialize()
        ports.start_on_free(self.database, FIRST_PORT)
        ports.start_on_free(self.broker, FIRST_PORT + 10)
        database = {"NAME": ROLE, "USER": ROLE, "PASSWORD": self.database.password}
        broker = {"HOST": "127.0.0.1", "PORT": self.broker.port, "PASSWORD": self.broker.password, "SSL": False}
        text = SETTINGS.format(
            database={**database, "HOST": "127.0.0.1", "PORT": self.database.port}, broker=broker,
            secret=self._secret("django"), pepper=self._secret("pepper"),
        )  # fmt: skip
        self._write(self.folder / "conf" / "configuration.py", text)

    def _make(self, name: str, work: Any, begin: str = "template0") -> None:
        """A database that ``work`` fills; it gets its name when it is complete."""
        print(f"Making {name}; see {self.folder}/log.", file=sys.stderr, flush=True)
        self._copy(begin)
        work()
        with psycopg.connect(self._url(ROLE), autocommit=True) as link:
            link.execute("VACUUM (ANALYZE)")
        self._sql(f"ALTER DATABASE {ROLE} RENAME TO {name}")

    def _copy(self, name: str) -> None:
        self._sql(f"DROP DATABASE IF EXISTS {ROLE} WITH (FORCE)")
        self._sql(f"CREATE DATABASE {ROLE} OWNER {ROLE} TEMPLATE {name} STRATEGY file_copy")

    def _has(self, name: str) -> bool:
        return bool(self._sql(f"SELECT 1 FROM pg_database WHERE datname = '{name}'"))

    def _sql(self, statement: str) -> bool:
        """Whether it found something; as superuser, outside the database that NetBox uses."""
        with psycopg.connect(self._url("postgres"), autocommit=True) as link:
            return link.execute(statement).rowcount > 0

    def _url(self, name: str) -> str:
        return f"postgresql://postgres:{self.database.superuser_password}@127.0.0.1:{self.database.port}/{name}"

    def _fill(self, size: int) -> None:
        self._inside("fill", lines=(json.dumps(estate.record(number)) for number in range(1, size + 1)))

    def _inside(self, *words: str, lines: Iterable[str] = ()) -> str:
        """Run ``netbox_inside``; what it printed. -P: our modules' names must not hide those of the library."""
        command = [self.bin / "python", "-P", INSIDE, *words]
        with (self.folder / "log" / "inside.log").open("ab") as log:
            child = subprocess.Popen(command, env=self._environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                     stderr=log, text=True)  # fmt: skip
            assert child.stdin is not None
            with suppress(BrokenPipeError):
                child.stdin.writelines(f"{line}\n" for line in lines)
            said, _ = child.communicate()
        if child.returncode:
            raise RuntimeError(f"NetBox could not {words[0]}; see {self.folder}/log/inside.log")
        return said

    def _spawn(self, name: str, program: str, *words: str) -> subprocess.Popen[bytes]:
        log = self.folder / "log" / f"{name}.log"
        self.children.append(process.spawn([self.bin / program, *words], log=log, env=self._environment()))
        return self.children[-1]

    def _environment(self) -> dict[str, str]:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("DJANGO_", "PORTAL_"))}
        return kept | {"NETBOX_ROOT": str(self.folder), "PYTHONUNBUFFERED": "1"}

    def _secret(self, name: str) -> str:
        return state.secret(self.folder, name, size=48)

    def _write(self, path: Path, text: str) -> None:
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(text)
