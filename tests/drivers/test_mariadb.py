"""The MariaDB driver on a real primary and replica with GTID."""

from __future__ import annotations

import os
import subprocess
from contextlib import suppress
from types import SimpleNamespace

import pymysql
import pytest

from drivers.base import InvalidInput, PermanentError
from drivers.mariadb import MariaDB
from drivers.secret import SecretStore
from tests.drivers import daemons
from tests.drivers.daemons import free_port, running, until
from tests.need import need

PASSWORD = "database-password"


def sql(port: int, *statements: str) -> None:
    with pymysql.connect(host="127.0.0.1", port=port, user="root", autocommit=True) as link, link.cursor() as cursor:
        for statement in statements:
            cursor.execute(statement)


def database(folder, number: int, port: int):
    """A server of its own in `folder`; as root mariadbd wants to be told so."""
    data = folder / f"data{number}"
    user = ["--user=root"] if os.geteuid() == 0 else []
    subprocess.run(
        [
            daemons.MARIADB_INSTALL,
            "--no-defaults",
            f"--datadir={data}",
            "--auth-root-authentication-method=normal",
            *user,
        ],
        check=True,
        capture_output=True,
        timeout=100,
    )
    argv = [daemons.MARIADB, "--no-defaults", *user, f"--datadir={data}", f"--socket={folder}/{number}.sock"]
    argv += [f"--port={port}", "--bind-address=127.0.0.1", f"--server-id={number}", "--log-bin", "--gtid-strict-mode=1"]
    argv += ["--skip-name-resolve", "--innodb-buffer-pool-size=16M", f"--pid-file={folder}/{number}.pid"]
    return running(argv, folder / f"{number}.log")


@pytest.fixture(scope="module")
def pair(ground):
    need(daemons.MARIADB and daemons.MARIADB_INSTALL, package="mariadb-server")
    folder = ground / "db"
    folder.mkdir()
    (folder / "password").write_text(PASSWORD)
    primary, replica = free_port(), free_port()
    with database(folder, 1, primary), database(folder, 2, replica):
        for port in (primary, replica):
            until(lambda port=port: sql(port, "SELECT 1") is None, 60)
        sql(
            primary,
            f"CREATE USER portal@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
            "GRANT SLAVE MONITOR ON *.* TO portal@'127.0.0.1'",
            f"CREATE USER stranger@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
            f"CREATE USER copy@'127.0.0.1' IDENTIFIED BY '{PASSWORD}'",
            "GRANT REPLICATION SLAVE ON *.* TO copy@'127.0.0.1'",
        )
        sql(
            replica,
            "SET GLOBAL read_only=1",
            f"CHANGE MASTER TO MASTER_HOST='127.0.0.1', MASTER_PORT={primary}, MASTER_USER='copy', "
            f"MASTER_PASSWORD='{PASSWORD}', MASTER_USE_GTID=slave_pos, MASTER_CONNECT_RETRY=1",
            "START SLAVE",
        )
        made = SimpleNamespace(primary=primary, replica=replica, secret=f"file:{folder}/password")
        until(lambda: driver(made, replica).observe().healthy, 30)
        yield made


def driver(pair: SimpleNamespace, port: int, **more: object) -> MariaDB:
    facts = {"host": "127.0.0.1", "port": port, "user": "portal", "password": pair.secret}
    return MariaDB({**facts, **more}, SecretStore())


def test_a_primary_is_observed(pair):
    seen = driver(pair, pair.primary).observe()
    assert (seen.kind, seen.healthy, seen.facts["role"], seen.facts["read_only"]) == ("mariadb", True, "primary", False)
    assert "MariaDB" in seen.version
    assert seen.facts["gtid_binlog"].startswith("0-1-")
    assert (seen.facts["server_id"], seen.facts["gtid_strict"], seen.facts["channels"]) == (1, True, [])
    assert seen.readings["clients"] >= 1
    assert 0 < seen.readings["latency_seconds"] < 5
    assert PASSWORD not in repr(seen)


def test_a_replica_tells_threads_and_lag(pair):
    seen = driver(pair, pair.replica).observe()
    assert (seen.healthy, seen.facts["role"], seen.facts["read_only"]) == (True, "replica", True)
    (channel,) = seen.facts["channels"]
    assert (channel["primary"], channel["running"], channel["error"]) == (f"127.0.0.1:{pair.primary}", True, None)
    assert 0 <= seen.readings["lag_seconds"] < 60


def test_a_stopped_thread_is_unhealthy_and_its_lag_unknown(pair):
    sql(pair.replica, "STOP SLAVE SQL_THREAD")
    try:
        seen = driver(pair, pair.replica).observe()
    finally:
        sql(pair.replica, "START SLAVE")
    assert seen.healthy is False
    assert seen.facts["channels"][0]["lag_seconds"] is None
    assert "lag_seconds" not in seen.readings
    until(lambda: driver(pair, pair.replica).observe().healthy)


def test_an_account_that_may_not_see_replication_makes_health_unknown(pair):
    seen = driver(pair, pair.replica, user="stranger").observe()
    assert (seen.healthy, seen.facts["role"]) == (None, "unknown")


def test_a_server_that_is_full_or_gone_is_down(pair):
    gone = driver(pair, free_port()).observe()
    assert (gone.healthy, gone.readings) == (False, {})
    sql(pair.primary, "SET GLOBAL max_connections=10")
    links = []
    try:
        with suppress(pymysql.OperationalError):
            while len(links) < 30:
                links += [pymysql.connect(host="127.0.0.1", port=pair.primary, user="copy", password=PASSWORD)]
        full = driver(pair, pair.primary).observe()
    finally:
        for link in links:
            link.close()
        until(lambda: sql(pair.primary, "SET GLOBAL max_connections=151") is None)
    assert full.healthy is False
    assert "Too many connections" in full.facts["error"]


def test_refused_credentials_are_permanent_and_not_repeated(pair, secret):
    with pytest.raises(PermanentError, match=r"refuses portal \(error 1045\)") as caught:
        driver(pair, pair.primary, password=secret("wrong-password")).observe()
    assert "wrong-password" not in str(caught.value)


def test_an_unexpected_refusal_inside_a_reading_is_down(pair, monkeypatch):
    monkeypatch.setattr(MariaDB, "_rows", lambda *_: (_ for _ in ()).throw(pymysql.OperationalError(2013, "lost")))
    assert driver(pair, pair.primary).observe().facts["error"].endswith("does not answer: lost")
    monkeypatch.undo()
    rows = MariaDB._rows

    def lose(cursor, statement):
        if "SLAVES" in statement:
            raise pymysql.OperationalError(2013, "lost later")
        return rows(cursor, statement)

    monkeypatch.setattr(MariaDB, "_rows", staticmethod(lose))
    assert driver(pair, pair.primary).observe().facts["error"].endswith("lost later")


@pytest.mark.parametrize("wrong", [{"user": "a';--"}, {"host": "$(id)"}, {"port": 0}, {"password": "plain"}])
def test_odd_facts_are_refused(wrong):
    facts = {"host": "127.0.0.1", "port": 1, "user": "portal", "password": "env:X", **wrong}
    with pytest.raises(InvalidInput):
        MariaDB(facts, SecretStore()).observe()
