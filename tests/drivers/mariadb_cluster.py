"""Three real MariaDB servers with GTID for the tests: one data folder is installed, the others are copies of it."""

from __future__ import annotations

import ipaddress
import os
import shutil
import subprocess
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pymysql
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID
from pymysql.cursors import DictCursor

from drivers.mariadb import MariaDB
from drivers.secret import SecretStore
from tests.drivers import daemons
from tests.drivers.contract import World
from tests.drivers.daemons import free_port, running, until

PASSWORD = "database-password"
PORTAL = (
    "PROCESS, RELOAD, BINLOG MONITOR, SLAVE MONITOR, REPLICATION SLAVE ADMIN, REPLICATION MASTER ADMIN, "
    "READ ONLY ADMIN, CONNECTION ADMIN"
)
"""What docs/drivers/mariadb.md says the portal needs; nothing with which it could write data."""
_ACCOUNTS = {
    "portal": f"{PORTAL} ON *.*",
    "stranger": "USAGE ON *.*",
    "copy": "REPLICATION SLAVE ON *.*",
    "rebuild": "ALL ON *.*",
    "app": "ALL ON app.*",
}


def connect(port: int, user: str = "root", **more: Any) -> pymysql.Connection:
    password = "" if user == "root" else PASSWORD
    settings = {"autocommit": True, "ssl_disabled": True, **more}  # else each connection reads the system's authorities
    return pymysql.connect(host="127.0.0.1", port=port, user=user, password=password, **settings)


def sql(port: int, *statements: str, user: str = "root") -> list[dict[str, Any]]:
    """Run the statements; the rows of the last."""
    with connect(port, user, cursorclass=DictCursor) as link, link.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)
        return list(cursor.fetchall())


class Cluster:
    """Servers 1, 2 and 3. `fresh` makes 1 the primary of the others, with the same data and an empty past."""

    def __init__(self, folder: Path, ports: dict[int, int]) -> None:
        self.folder = folder
        self.ports = ports
        self.secret = f"file:{folder}/password"
        self.children: dict[int, subprocess.Popen[bytes]] = {}
        self.pristine: dict[int, dict[str, Any]] = {}

    def at(self, number: int) -> str:
        return f"127.0.0.1:{self.ports[number]}"

    def sql(self, number: int, *statements: str) -> list[dict[str, Any]]:
        return sql(self.ports[number], *statements)

    def facts(self, number: int, **more: Any) -> dict[str, Any]:
        return {
            "host": "127.0.0.1",
            "port": self.ports[number],
            "user": "portal",
            "password": self.secret,
            "peers": [self.at(other) for other in self.ports if other != number],
            "replication_user": "copy",
            "replication_password": self.secret,
            "rebuild_user": "rebuild",
            "rebuild_password": self.secret,
            **more,
        }

    def driver(self, number: int, **more: Any) -> MariaDB:
        return MariaDB(self.facts(number, **more), SecretStore())

    def fresh(self) -> None:
        """Begin anew, unless the last test has left everything as it was."""
        with suppress(pymysql.MySQLError):
            if self.pristine and self.pristine == self.places():
                return
        self._begin_anew()
        self.pristine = self.places()

    def places(self) -> dict[int, dict[str, Any]]:
        return {number: self.place(number) for number in self.ports}

    def _begin_anew(self) -> None:
        for number in self.ports:
            self.sql(number, "SET GLOBAL read_only=0", "SET sql_log_bin=0", "STOP SLAVE", "RESET SLAVE ALL")
            for row in self.sql(number, "SHOW DATABASES"):
                if row["Database"] not in ("mysql", "sys", "information_schema", "performance_schema"):
                    self.sql(number, "SET sql_log_bin=0", f"DROP DATABASE `{row['Database']}`")
            self.sql(
                number,
                "SET sql_log_bin=0",
                "CREATE DATABASE app",
                "CREATE TABLE app.writes (number BIGINT PRIMARY KEY, at TIMESTAMP(6) DEFAULT NOW(6))",
                "RESET MASTER",
                "SET GLOBAL gtid_slave_pos=''",
                "SET GLOBAL rpl_semi_sync_master_enabled=0, GLOBAL rpl_semi_sync_slave_enabled=0",
            )
        self.sql(1, "INSERT INTO app.writes (number) VALUES (0)")
        for number in (2, 3):
            self.point(number, 1)
        until(lambda: self.settled() and self.numbers(2) == self.numbers(3) == [0])

    def point(self, number: int, primary: int) -> None:
        self.sql(
            number,
            "SET GLOBAL read_only=1",
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={self.ports[primary]}, MASTER_USER='copy', "
            f"MASTER_PASSWORD='{PASSWORD}', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1",
            "START SLAVE",
        )

    def numbers(self, number: int) -> list[int]:
        return [row["number"] for row in self.sql(number, "SELECT number FROM app.writes ORDER BY number")]

    def channel(self, number: int) -> dict[str, Any] | None:
        return next(iter(self.sql(number, "SHOW ALL SLAVES STATUS")), None)

    def settled(self) -> bool:
        """No thread is on its way, and what runs has caught up."""
        for number in self.ports:
            if not (channel := self.channel(number)):
                continue
            if channel["Slave_IO_Running"] not in ("Yes", "No") or channel["Slave_IO_State"].startswith("Reconnecting"):
                return False
            source = next(one for one, port in self.ports.items() if port == channel["Master_Port"])
            if channel["Slave_IO_Running"] == channel["Slave_SQL_Running"] == "Yes":
                (there,) = self.sql(source, "SELECT @@gtid_binlog_pos AS at")
                (here,) = self.sql(number, "SELECT @@gtid_slave_pos AS at")
                if there["at"] and here["at"] != there["at"]:
                    return False
        return True

    def place(self, number: int) -> dict[str, Any]:
        """What the acts may touch on one server, asked as root."""
        channel = self.channel(number)
        (row,) = self.sql(
            number,
            "SELECT @@read_only AS read_only, @@gtid_binlog_state AS history, @@rpl_semi_sync_master_enabled AS sends, "
            "@@rpl_semi_sync_slave_enabled AS acknowledges, (SELECT GROUP_CONCAT(SCHEMA_NAME ORDER BY 1) FROM "
            "information_schema.SCHEMATA) AS data",
        )
        row["channel"] = channel and (channel["Master_Port"], channel["Slave_IO_Running"], channel["Slave_SQL_Running"])
        row["running"] = self.sql(
            number, "SELECT ID FROM information_schema.PROCESSLIST WHERE USER='app' AND COMMAND='Query'"
        )
        row["numbers"] = self.numbers(number)
        row["users"] = self.sql(number, "SELECT User, Host FROM mysql.user ORDER BY 1, 2")
        return row

    def writable(self) -> list[int]:
        return [number for number in self.ports if not self.sql(number, "SELECT @@read_only AS it")[0]["it"]]


def install(folder: Path) -> Path:
    """A data folder that no server has used."""
    template = folder / "template"
    argv = [daemons.MARIADB_INSTALL, "--no-defaults", f"--datadir={template}", *_account(), "--skip-name-resolve"]
    argv += ["--auth-root-authentication-method=normal", "--skip-test-db", "--innodb-log-file-size=8M"]
    # A server that starts removes the temporary tables of all that share its folder for them.
    argv.append(f"--tmpdir={folder}")
    subprocess.run(argv, check=True, capture_output=True, timeout=100)
    return template


def _account() -> list[str]:
    """As root mariadbd wants to be told so."""
    return ["--user=root"] if os.geteuid() == 0 else []


def certify(folder: Path, name: str) -> Path:
    """An authority of its own (`<name>-ca.pem`) and a certificate for 127.0.0.1 by it."""
    now, keys = datetime.now(UTC), [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    issuer, subject = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in (f"{name} ca", name))
    for who, key, is_ca in ((issuer, keys[0], True), (subject, keys[1], False)):
        builder = x509.CertificateBuilder(issuer, who, key.public_key(), x509.random_serial_number())
        builder = builder.not_valid_before(now - timedelta(days=1)).not_valid_after(now + timedelta(days=1))
        builder = builder.add_extension(x509.BasicConstraints(ca=is_ca, path_length=None), critical=True)
        authority = x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key())
        builder = builder.add_extension(authority, critical=False)
        if is_ca:
            usage = dict.fromkeys(("key_cert_sign", "crl_sign", "digital_signature"), True)
            others = ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only")
            usage |= dict.fromkeys((*others, "decipher_only"), False)
            builder = builder.add_extension(x509.KeyUsage(**usage), critical=True)
            identifier = x509.SubjectKeyIdentifier.from_public_key(key.public_key())
            builder = builder.add_extension(identifier, critical=False)
        else:
            address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
            builder = builder.add_extension(x509.SubjectAlternativeName([address]), critical=False)
        pem = builder.sign(keys[0], hashes.SHA256()).public_bytes(Encoding.PEM)
        (folder / f"{name}{'-ca' if is_ca else ''}.pem").write_bytes(pem)
    private = keys[1].private_bytes(Encoding.PEM, PrivateFormat.TraditionalOpenSSL, NoEncryption())
    (folder / f"{name}.key").write_bytes(private)
    return folder / f"{name}-ca.pem"


@contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    """Three servers in `folder`, with the accounts above."""
    folder.mkdir()
    (folder / "password").write_text(PASSWORD)
    certify(folder, "server")
    template = install(folder)
    made = Cluster(folder, {number: free_port() for number in (1, 2, 3)})
    with ExitStack() as stack:
        for number, port in made.ports.items():
            data = shutil.copytree(template, folder / str(number))
            (folder / f"{number}-temporary").mkdir()
            argv = [daemons.MARIADB, "--no-defaults", *_account(), f"--datadir={data}", f"--port={port}"]
            argv += [f"--socket={folder}/{number}.sock", f"--pid-file={folder}/{number}.pid", f"--server-id={number}"]
            argv += [f"--tmpdir={folder}/{number}-temporary"]
            argv += ["--bind-address=127.0.0.1", "--skip-name-resolve", "--log-bin=binlog", "--log-slave-updates"]
            argv += ["--gtid-strict-mode=1", "--innodb-buffer-pool-size=16M", "--innodb-log-file-size=8M"]
            argv += [f"--ssl-cert={folder}/server.pem", f"--ssl-key={folder}/server.key"]
            argv += ["--innodb-flush-log-at-trx-commit=2", "--key-buffer-size=1M", "--aria-pagecache-buffer-size=1M"]
            made.children[number] = stack.enter_context(running(argv, folder / f"{number}.log"))
        for port in made.ports.values():
            until(lambda port=port: sql(port, "SELECT 1"), 60)
            for user, rights in _ACCOUNTS.items():
                grant = f"GRANT {rights} TO {user}@'127.0.0.1' IDENTIFIED BY '{PASSWORD}' WITH GRANT OPTION"
                sql(port, "SET sql_log_bin=0", grant if user == "rebuild" else grant.removesuffix(" WITH GRANT OPTION"))
        yield made


class LongQuery:
    """A client whose query runs until somebody ends it."""

    def __init__(self, port: int, link: pymysql.Connection | None = None) -> None:
        self.link = link or connect(port, "app")
        self.connection = self.link.thread_id()
        self.error: Exception | None = None
        self.thread = threading.Thread(target=self._run, args=("SELECT SLEEP(600)",), daemon=True)
        self.thread.start()
        until(lambda: [row for row in sql(port, "SHOW PROCESSLIST") if row["Id"] == self.connection and row["Info"]])

    def _run(self, statement: str) -> None:
        try:
            with self.link.cursor() as cursor:
                cursor.execute(statement)
        except pymysql.MySQLError as error:
            self.error = error

    def end(self, port: int) -> None:
        with suppress(pymysql.MySQLError):
            sql(port, f"KILL CONNECTION {self.connection}")
        self.thread.join(10)
        self.link.close()


class RealWorld(World):
    """The cluster, over TLS; each act is tried on the server that it is meant for."""

    driver_class = MariaDB

    def __init__(self, servers: Cluster) -> None:
        self.servers = servers
        self.target = 3
        self.query: LongQuery | None = None
        self.examples = {
            "kill-query": {"connection": 1},
            "start-replication": {},
            "stop-replication": {},
            "set-read-only": {"state": "on", "stop_writers": True},
            "set-semi-sync": {"side": "replica", "state": "on"},
            "follow-primary": {"primary": servers.at(2)},
            "promote-replica": {},
            "rebuild-replica": {"primary": servers.at(1)},
        }

    def driver(self) -> MariaDB:
        return self.servers.driver(self.target, ca=f"{self.servers.folder}/server-ca.pem")

    def unreachable(self) -> MariaDB:
        return self.servers.driver(self.target, port=free_port())

    def prepare(self, act: Any) -> None:
        self.close()
        self.servers.fresh()
        self.target = {"set-read-only": 1, "promote-replica": 2}.get(act.name, 3)
        port = self.servers.ports[self.target]
        if act.name == "kill-query":
            self.query = LongQuery(port)
            self.examples["kill-query"] = {"connection": self.query.connection}
        if act.name == "start-replication":
            sql(port, "STOP SLAVE")
        if act.name == "promote-replica":
            self.servers.sql(1, "SET GLOBAL read_only=1")
        if act.name == "rebuild-replica":
            sql(port, "CREATE DATABASE stray", "INSERT INTO app.writes (number) VALUES (99)")

    def picture(self) -> Any:
        until(self.servers.settled)
        return self.servers.places()

    def close(self) -> None:
        if self.query:
            self.query.end(self.servers.ports[3])
            self.query = None
