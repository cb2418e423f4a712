"""The database: a MariaDB primary and a replica that follows it by GTID, where Debian's mariadb-server is installed."""

from __future__ import annotations

import contextlib
import os
import shutil
import socket
import subprocess
from collections.abc import Iterator
from typing import Any

import pymysql
from pymysql.cursors import DictCursor

from lab import broken, programs
from lab.daemon import Daemon, clean_environment, until
from lab.errors import NotReady
from lab.layout import Lab
from lab.ports import DATABASES
from lab.unit import BROKEN, DOWN, Row, Unit, require

PORTAL = "portal"
REPLICATION = "replication"
# What the portal needs to switch over. READ ONLY ADMIN also lets an account write to a replica, unnoticed, and leave a
# transaction there that the primary never saw: so this account may write nothing at all.
_SERVER_RIGHTS = (
    "PROCESS, RELOAD, BINLOG MONITOR, SLAVE MONITOR, REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN, "
    "READ ONLY ADMIN, CONNECTION ADMIN"
)


class Database(Unit):
    """MariaDB of production, keys `production/us-central/database` (primary) and `…/us-east/database` (replica)."""

    def __init__(self, lab: Lab, numbers: dict[str, int]) -> None:
        super().__init__(lab, "production database", {"production"})
        self.numbers = {name: numbers[name] for name in DATABASES}
        self.primary, self.replica = DATABASES
        self.install = programs.mariadb_install_db()
        self.stages = [[self._daemon(number, name) for number, name in enumerate(DATABASES, 1)]]

    def _socket(self, name: str) -> str:
        return str(self.lab.runtime / f"mariadb-{name.split('/')[1]}.sock")

    def _account(self) -> list[str]:
        # MariaDB refuses to run as root unless told so; another account could not enter a private state folder.
        return ["--user=root"] if os.geteuid() == 0 else []

    def _daemon(self, number: int, name: str) -> Daemon:
        folder = self.lab.of(name)
        argv = [
            *(str(programs.mariadbd()), "--no-defaults", *self._account()),
            f"--datadir={folder / 'data'}",
            f"--socket={self._socket(name)}",
            f"--pid-file={folder / 'mariadbd.pid'}",
            *("--bind-address=127.0.0.1", f"--port={self.numbers[name]}", "--skip-name-resolve"),
            *(f"--server-id={number}", "--log-bin=binlog", "--log-slave-updates", "--gtid-strict-mode=1"),
            *("--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M", "--key-buffer-size=1M"),
            *("--performance-schema=off", "--max-connections=40", "--local-infile=0"),
            f"--secure-file-priv={folder / 'files'}",
            # One that starts removes the temporary tables of all that share its folder, also of those that run.
            f"--tmpdir={folder / 'temporary'}",
            # Nobody takes writes by itself after a start: who leads is found out in `finish`.
            *("--read-only=1", f"--report-port={self.numbers[name]}"),
        ]
        return Daemon(self.lab, name, argv, lambda: self.check(name), prepare=lambda: self._prepare(name), grace=7)

    def _prepare(self, name: str) -> None:
        """Make the data folder at the first start; the replica's is a copy of one that never ran."""
        folder = self.lab.of(name)
        for own in ("files", "temporary"):
            (folder / own).mkdir(parents=True, exist_ok=True)
        if (folder / "data" / "mysql").is_dir():
            return
        fresh = self.lab.of("production") / ".database-template"
        if not (fresh / "mysql").is_dir():
            self._install(fresh)
        shutil.rmtree(folder / "data", ignore_errors=True)
        shutil.copytree(fresh, folder / "data.new", dirs_exist_ok=True)
        (folder / "data.new").rename(folder / "data")
        if all((self.lab.of(one) / "data").is_dir() for one in DATABASES):
            shutil.rmtree(fresh)

    def _install(self, folder: Any) -> None:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        argv = [
            *(str(self.install), "--no-defaults", *self._account(), f"--datadir={folder}"),
            *("--auth-root-authentication-method=normal", "--skip-test-db", "--skip-name-resolve"),
            *("--innodb-log-file-size=8M", f"--tmpdir={folder.parent}"),
        ]
        environment = clean_environment(self.lab)
        done = subprocess.run(argv, capture_output=True, text=True, env=environment, timeout=120, check=False)
        if done.returncode != 0:
            raise NotReady(f"mariadb-install-db failed: {(done.stderr or done.stdout).strip()[-300:]}")

    def _connect(self, name: str, password: str) -> pymysql.Connection[DictCursor]:
        link = pymysql.connect(
            user="root",
            password=password,
            read_timeout=10,
            autocommit=True,
            cursorclass=DictCursor,
            defer_connect=True,
        )
        # Left to itself pymysql does not close a socket that finds nobody listening, as during each start.
        end = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            end.settimeout(3)
            end.connect(self._socket(name))
            link.connect(end)
        except BaseException:
            end.close()
            raise
        return link

    @contextlib.contextmanager
    def root(self, name: str) -> Iterator[DictCursor]:
        """A cursor of the server's own root, over its socket."""
        password = self.lab.value("database-root")
        try:
            link = self._connect(name, password)
        except pymysql.err.OperationalError as error:
            if error.args[0] != 1045:
                raise
            # A fresh server: root has no password yet. It gets one here, and not by way of the binary log.
            link = self._connect(name, "")
            with link.cursor() as cursor:
                cursor.execute("SET SESSION sql_log_bin=0")
                cursor.execute("ALTER USER root@localhost IDENTIFIED BY %s", (password,))
                cursor.execute("SET SESSION sql_log_bin=1")
        with contextlib.closing(link), link.cursor() as cursor:
            yield cursor

    def check(self, name: str) -> str:
        """Ready when it answers; the replica, once told whom to follow, must follow."""
        with self.root(name) as cursor:
            cursor.execute("SELECT @@version AS version, @@read_only AS read_only, @@gtid_current_pos AS gtid")
            facts = cursor.fetchone() or {}
            cursor.execute("SHOW SLAVE STATUS")
            status = cursor.fetchone()
        about = f"{facts['version'].split('-')[0]}, GTID {facts['gtid'] or 'none'}"
        if status is None:
            return f"replica, not told whom to follow, {about}" if facts["read_only"] else f"primary, {about}"
        threads = {part: status[f"Slave_{part}_Running"] for part in ("IO", "SQL")}
        stopped = [part for part, state in threads.items() if state != "Yes"]
        trouble = status["Last_IO_Error"] or status["Last_SQL_Error"]
        require(not stopped, f"replica, stopped threads: {', '.join(stopped)} {trouble}".strip())
        return f"replica, {status['Seconds_Behind_Master']} s behind, {about}"

    def finish(self, seconds: float) -> None:
        """Accounts and the database on the primary, then the other follows it from the first transaction on.

        The primary is who follows nobody: after a switchover that is another one than at the beginning.
        """
        other = self.following()
        leading = next(name for name in DATABASES if name != other)
        with self.root(leading) as cursor:
            cursor.execute("SET GLOBAL read_only = 0")
            for statement, values in self._statements():
                cursor.execute(statement, values)
        with self.root(other) as cursor:
            cursor.execute("SHOW SLAVE STATUS")
            if cursor.fetchone() is None:
                self._follow(cursor, self.numbers[leading])
        until(lambda: self.check(other), seconds, other)

    def following(self) -> str:
        """Who is the replica now: whoever follows, and at the very beginning the second."""
        with self.root(self.primary) as cursor:
            cursor.execute("SHOW SLAVE STATUS")
            return self.replica if cursor.fetchone() is None else self.primary

    def _statements(self) -> list[tuple[str, tuple[str, ...]]]:
        portal, replication = self.lab.value("database-portal"), self.lab.value("database-replication")
        return [
            ("CREATE DATABASE IF NOT EXISTS edye", ()),
            (f"CREATE USER IF NOT EXISTS {PORTAL}@'127.0.0.1' IDENTIFIED BY %s", (portal,)),
            (f"GRANT {_SERVER_RIGHTS} ON *.* TO {PORTAL}@'127.0.0.1'", ()),
            (f"GRANT SELECT ON edye.* TO {PORTAL}@'127.0.0.1'", ()),
            (f"CREATE USER IF NOT EXISTS {REPLICATION}@'127.0.0.1' IDENTIFIED BY %s", (replication,)),
            (f"GRANT REPLICATION SLAVE ON *.* TO {REPLICATION}@'127.0.0.1'", ()),
        ]

    def _follow(self, cursor: DictCursor, port: int) -> None:
        cursor.execute("STOP SLAVE")
        cursor.execute(
            "CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT=%s, MASTER_USER=%s, MASTER_PASSWORD=%s,"
            " MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1",
            (port, REPLICATION, self.lab.value("database-replication")),
        )
        cursor.execute("START SLAVE")

    def connections(self) -> dict[str, dict[str, Any]]:
        common = {"driver": "mariadb", "host": "127.0.0.1", "user": PORTAL, "replication_user": REPLICATION}
        for fact, secret in (("password", "database-portal"), ("replication_password", "database-replication")):
            common[fact] = f"file:{self.lab.secret(secret)}"
        peers = {name: [f"127.0.0.1:{port}" for one, port in self.numbers.items() if one != name] for name in DATABASES}
        return {name: {**common, "port": port, "peers": peers[name]} for name, port in self.numbers.items()}

    def rows(self) -> list[Row]:
        stopped = broken.daemons(self.lab)
        cut = {entry["target"] for entry in broken.entries(self.lab)}
        rows = []
        for daemon in self.daemons:
            address = f"127.0.0.1:{self.numbers[daemon.name]}"
            row = self.probe(daemon.name, "mariadb", address, daemon, stopped)
            if row.state == DOWN and daemon.name in cut:
                row = Row(row.component, row.driver, row.address, BROKEN, row.detail)
            rows.append(row)
        return rows
