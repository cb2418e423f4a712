"""Making a replica anew from a copy of another member."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

import msgspec

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.errors import DriverError, PermanentError, TransientError
from drivers.mariadb import copying, gtid, replication
from drivers.mariadb import state as states
from drivers.mariadb.client import Session
from drivers.mariadb.node import Node, address
from drivers.mariadb.state import State
from drivers.mariadb.topology import ADDRESS

MAX_BYTES = 2 * 1024**3
"""What a logical copy is sure to finish within the time limit of an act."""
DATABASES = "SELECT SCHEMA_NAME AS name FROM information_schema.SCHEMATA \
WHERE SCHEMA_NAME NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys') ORDER BY SCHEMA_NAME"
SIZE = "SELECT GREATEST((SELECT COALESCE(SUM(DATA_LENGTH), 0) FROM information_schema.TABLES \
WHERE TABLE_SCHEMA NOT IN ('mysql', 'information_schema', 'performance_schema', 'sys')), \
(SELECT COALESCE(SUM(FILE_SIZE), 0) FROM information_schema.INNODB_SYS_TABLESPACES \
WHERE NAME NOT LIKE 'mysql/%' AND NAME NOT LIKE 'sys/%' AND NAME LIKE '%/%')) AS size"
"""Statistics lag behind after a large change, and files hold indexes, too: the larger of both, in bytes."""
CLAIM = "SELECT GET_LOCK('edye.rebuild', 10)"
"""Held by the session that copies, so two callers never copy at once, and dropped by the server when that one dies."""
ACCOUNTS = ("global_priv", "db", "tables_priv", "columns_priv", "procs_priv", "roles_mapping", "proxies_priv")
_STATEMENT_SECONDS = 240.0
_EMPTY = ("STOP SLAVE", "RESET SLAVE ALL", "RESET MASTER", "SET GLOBAL gtid_slave_pos = ''")


def quoted(name: str) -> str:
    """An identifier of SQL."""
    return "`" + name.replace("`", "``") + "`"


class Source(Parameters):
    primary: Annotated[
        str,
        msgspec.Meta(pattern=ADDRESS, max_length=260, title="Copy from", description="host:port of another member."),
    ]


class RebuildReplica(Act[Node, Source]):
    """While it is under way the server has no GTID position, so it can be neither promoted nor made to follow."""

    name: ClassVar[str] = "rebuild-replica"
    title: ClassVar[str] = "Rebuild from {primary}"
    summary: ClassVar[str] = (
        "All databases and accounts of this replica are deleted and copied from the given member, which it follows"
        " afterwards. The member keeps working and is slower meanwhile; readers of this replica find nothing until it"
        " is over. It is refused for a replica that works. When it is cut off, it begins anew."
    )
    risk: ClassVar[Risk] = Risk.HIGH
    Parameters: ClassVar[type[Parameters]] = Source
    why_no_undo: ClassVar[str] = "The replica's former data are gone; the cluster's data are on the other members."
    timeout_seconds: ClassVar[float] = 600

    def check(self, params: Source) -> None:
        address(params.primary)

    def conditions(self, driver: Node, params: Source) -> list[Condition]:
        known = Condition("The source is a member of this cluster.", params.primary in driver.peers, params.primary)
        if not known.holds:
            return [known]
        here, there = driver.state(), driver.peer(params.primary).state()
        below = [
            where for where, other in driver.others().items() if isinstance(other, State) and _under(other, driver)
        ]
        missing = [role for role in ("replication", "rebuild") if not driver.knows(role)]
        versions = [one.variables["version"] for one in (here, there)]
        same = states.release(versions[0]) == states.release(versions[1])
        keeps = there.on("log_bin") and (there.follows is None or there.on("log_slave_updates"))
        works = _copied(driver, here, params.primary)
        conditions = [
            known,
            Condition("It is read-only.", here.read_only, "it takes writes"),
            Condition("No other member follows it.", not below, ", ".join(below)),
            Condition("It does not replicate as it should.", not works, "it does; stop it first if its data are wrong"),
            Condition("Both run the same release.", same, " and ".join(versions)),
            Condition("The source keeps a binary log.", keeps, "log_bin or log_slave_updates is off"),
            Condition("The accounts to copy and to follow with are known.", not missing, ", ".join(missing)),
        ]
        return conditions if missing else [*conditions, *_copyable(driver, params)]

    def before(self, driver: Node, params: Source) -> Report:
        state = driver.state()
        with driver.session() as session:
            databases = [row["name"] for row in session.rows(DATABASES)]
        return {"position": state.position, "history": gtid.shown(state.history), "databases": databases}

    def sends(self, driver: Node, params: Source, before: Facts) -> list[str]:
        host, _, port = params.primary.rpartition(":")
        return [
            *_EMPTY[:3],
            *(f"DROP DATABASE {quoted(name)}" for name in before["databases"]),
            f"mariadb-dump -h {host} -P {port} --single-transaction --gtid --master-data=2 … --databases …",
            "every statement of the dump, with sql_log_bin = 0",
            f"CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}, …, MASTER_USE_GTID=slave_pos",
            "START SLAVE",
        ]

    def done(self, driver: Node, params: Source, before: Facts) -> bool:
        return _copied(driver, driver.state(), params.primary)

    def do(self, driver: Node, params: Source, before: Facts, call: Call) -> Report:
        if self.done(driver, params, before):
            return {"position": driver.state().position}
        if failing := [each.text for each in self.conditions(driver, params) if not each.holds]:
            raise PermanentError(f"{driver.where} is not rebuilt: {' '.join(failing)}")
        source = driver.peer(params.primary)
        history = source.state().variables["gtid_binlog_state"]  # before the copy, so that it holds nothing newer
        with driver.session(_STATEMENT_SECONDS, role="rebuild") as session:
            if session.value(CLAIM) != 1:
                raise TransientError(f"{driver.where} is being rebuilt by somebody else")
            _empty(session, call)
            position = _fill(session, source, call)
            _copy_accounts(session, source, call)
            call.check()
            session.run("SET GLOBAL gtid_binlog_state = %s", history)
            session.run("SET GLOBAL gtid_slave_pos = %s", position)
        replication.follow(driver, source.where, call)
        return {"position": position}


def _under(state: State, driver: Node) -> bool:
    return state.follows is not None and state.follows.primary == driver.where


def _copied(driver: Node, here: State, primary: str) -> bool:
    channel = here.follows
    if channel is None or channel.primary != primary or not channel.running:
        return False
    return not gtid.beyond(here.history, driver.peer(primary).state().history)


def _copyable(driver: Node, params: Source) -> list[Condition]:
    with driver.peer(params.primary).session(role="rebuild") as session:
        size = int(session.value(SIZE))
    try:
        driver.dumper()
        program = ""
    except DriverError as error:
        program = str(error)
    return [
        Condition("The copy is small enough to be streamed.", size <= MAX_BYTES, f"{size} of {MAX_BYTES} bytes"),
        Condition("The program that copies is installed.", not program, program),
    ]


def _empty(session: Session, call: Call) -> None:
    """No channel, no history, no data: whatever happens from here on, this is not mistaken for a replica."""
    session.run("SET SESSION sql_log_bin = 0")
    for statement in _EMPTY:
        call.check()
        session.run(statement)
    for row in session.rows(DATABASES):
        call.check()
        session.run(f"DROP DATABASE IF EXISTS {quoted(row['name'])}")
        call.log(f"dropped database {row['name']}")


def _fill(session: Session, source: Node, call: Call) -> str:
    """Load the copy; the position it was taken at."""
    with source.session(role="rebuild") as asked:
        databases, size = [row["name"] for row in asked.rows(DATABASES)], int(asked.value(SIZE))
    with source.dump(databases) as lines:
        statements, loaded = copying.Statements(lines), 0
        for statement in statements:
            call.check()
            session.run(statement)
            loaded += len(statement)
            call.progress(min(loaded, size), size)
    if not statements.complete or statements.position is None:
        raise TransientError("the copy ended early")
    call.progress(size, size)
    call.log(f"copied {len(databases)} databases as of {statements.position}")
    return statements.position


def _copy_accounts(session: Session, source: Node, call: Call) -> None:
    """The privilege tables row by row: first what is there, then without what is not, so that nobody is locked out."""
    session.run("SET SESSION sql_mode = ''")
    with source.session(role="rebuild") as asked:
        for table in ACCOUNTS:
            call.check()
            rows = asked.rows(f"SELECT * FROM mysql.{table}")  # noqa: S608  # a constant of this module
            _copy_table(session, table, rows)
    session.run("FLUSH PRIVILEGES")


def _copy_table(session: Session, table: str, rows: list[dict[str, Any]]) -> None:
    kept = session.rows(f"SELECT * FROM mysql.{table}")  # noqa: S608  # a constant, as above
    for row in rows:
        if row not in kept:
            columns = ", ".join(map(quoted, row))
            marks = ", ".join(["%s"] * len(row))
            session.run(f"REPLACE INTO mysql.{table} ({columns}) VALUES ({marks})", *row.values())  # noqa: S608
    for row in kept:
        if row not in rows and not any(_key(one) == _key(row) for one in rows):
            same = " AND ".join(f"{quoted(column)} = %s" for column in _key(row))
            session.run(f"DELETE FROM mysql.{table} WHERE {same}", *_key(row).values())  # noqa: S608


def _key(row: dict[str, Any]) -> dict[str, Any]:
    """The columns that name a row of a privilege table: whom, where, on what."""
    naming = ("Host", "User", "Db", "Table_name", "Column_name", "Routine_name", "Routine_type", "Role", "Proxied_host",
              "Proxied_user")  # fmt: skip
    return {column: row[column] for column in naming if column in row}
