"""What one server says of itself, read once over one connection and then only looked at."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from drivers.mariadb import gtid
from drivers.mariadb.client import DENIED, Refused, Row, Session

VARIABLES = "SHOW GLOBAL VARIABLES WHERE Variable_name IN ('version', 'read_only', 'server_id', 'gtid_current_pos', \
'gtid_binlog_pos', 'gtid_slave_pos', 'gtid_binlog_state', 'gtid_strict_mode', 'log_bin', 'log_slave_updates', \
'rpl_semi_sync_master_enabled', 'rpl_semi_sync_slave_enabled', 'rpl_semi_sync_master_timeout', \
'rpl_semi_sync_master_wait_point')"
STATUS = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Uptime', 'Rpl_semi_sync_master_status', \
'Rpl_semi_sync_slave_status', 'Rpl_semi_sync_master_clients', 'Rpl_semi_sync_master_no_tx')"
CHANNELS = "SHOW ALL SLAVES STATUS"
GRANTS = "SHOW GRANTS"
_PAST_READ_ONLY = frozenset({"READ ONLY ADMIN", "READ_ONLY ADMIN", "ALL PRIVILEGES"})
_WRITING = frozenset({"INSERT", "UPDATE", "DELETE", "CREATE", "DROP", "ALTER", "ALL PRIVILEGES", "CREATE USER"})


@dataclass(frozen=True, slots=True)
class Channel:
    """One replication channel. `received` and `applied` are GTID positions; `io` and `sql` as the server words them."""

    name: str
    primary: str
    io: str
    sql: str
    lag_seconds: float | None
    received: str
    applied: str
    gtid: bool
    io_error: str
    sql_error: str
    io_code: int

    @property
    def running(self) -> bool:
        return self.io == "Yes" and self.sql == "Yes"

    @property
    def stopped(self) -> bool:
        return self.io == "No" and self.sql == "No"

    @property
    def error(self) -> str | None:
        return self.io_error or self.sql_error or None

    @property
    def drained(self) -> bool:
        """Whether all that was received has been applied."""
        return gtid.covers(self.applied, self.received)


def channel(row: Mapping[str, Any], applied: str) -> Channel:
    """A row of SHOW ALL SLAVES STATUS, beside @@gtid_slave_pos.

    `Seconds_Behind_Master` is NULL while the SQL thread is stopped, not zero. The row's own `Gtid_Slave_Pos` counts
    transactions written here as well (measured on 10.11), so a stray one would look like everything being applied.
    """
    lag = row["Seconds_Behind_Master"]
    return Channel(
        name=row["Connection_name"],
        primary=f"{row['Master_Host']}:{row['Master_Port']}",
        io=row["Slave_IO_Running"],
        sql=row["Slave_SQL_Running"],
        lag_seconds=None if lag is None else float(lag),
        received=row["Gtid_IO_Pos"] or "",
        applied=applied,
        gtid=row["Using_Gtid"] != "No",
        io_error=row["Last_IO_Error"] or "",
        sql_error=row["Last_SQL_Error"] or "",
        io_code=int(row["Last_IO_Errno"] or 0),
    )


@dataclass(frozen=True, slots=True)
class State:
    """Variables and counters by lower-case name, and the channels (None when the account may not see them)."""

    variables: Mapping[str, str]
    status: Mapping[str, str]
    channels: tuple[Channel, ...] | None

    @property
    def read_only(self) -> bool:
        return self.on("read_only")

    @property
    def server_id(self) -> int:
        return int(self.variables["server_id"])

    @property
    def position(self) -> str:
        """The last transaction of each domain, own or replicated."""
        return self.variables["gtid_current_pos"]

    @property
    def history(self) -> gtid.Gtids:
        """The last transaction of each server in each domain that ever happened here, as far as the server keeps it."""
        return gtid.parse(self.variables["gtid_binlog_state"], self.variables["gtid_slave_pos"])

    @property
    def holds(self) -> gtid.Gtids:
        """The history, and what was received but is not applied yet."""
        return gtid.parse(gtid.shown(self.history), *(channel.received for channel in self.channels or ()))

    @property
    def follows(self) -> Channel | None:
        """The one unnamed channel; None without one."""
        return next((one for one in self.channels or () if not one.name), None)

    def on(self, variable: str) -> bool:
        return self.variables.get(variable, "OFF").upper() not in ("OFF", "0", "NO")


def read(session: Session) -> State:
    """Everything above, in three questions."""
    variables = _pairs(session.rows(VARIABLES))
    return State(variables, _pairs(session.rows(STATUS)), _channels(session, variables["gtid_slave_pos"]))


def _pairs(rows: list[Row]) -> dict[str, str]:
    return {row["Variable_name"].lower(): str(row["Value"]) for row in rows}


def _channels(session: Session, applied: str) -> tuple[Channel, ...] | None:
    try:
        return tuple(channel(row, applied) for row in session.rows(CHANNELS))
    except Refused as error:
        if error.code == DENIED:
            return None
        raise


def semi_sync(state: State) -> dict[str, Any]:
    """Both sides of semi-synchronous replication, and whether this server really is synchronous now.

    On a primary that is: switched on, not fallen back after a timeout, and at least one replica there that
    acknowledges (without one the first commit waits for the timeout and then goes on alone).
    """
    count = int(state.status.get("rpl_semi_sync_master_clients", 0))
    sends = state.status.get("rpl_semi_sync_master_status") == "ON" and count > 0
    acknowledges = state.status.get("rpl_semi_sync_slave_status") == "ON"
    return {
        "primary_side": state.on("rpl_semi_sync_master_enabled"),
        "replica_side": state.on("rpl_semi_sync_slave_enabled"),
        "synchronous": acknowledges if state.channels else sends,
        "acknowledging_replicas": count,
        "timeout_seconds": int(state.variables.get("rpl_semi_sync_master_timeout", 0)) / 1000,
        "wait_point": state.variables.get("rpl_semi_sync_master_wait_point", "").lower().replace("_", " "),
    }


def account(grants: list[str], version: str) -> dict[str, Any]:
    """What `SHOW GRANTS` means for a read-only server.

    READ ONLY ADMIN writes past `read_only`, and ALL PRIVILEGES holds it; before 10.11 SUPER does too (MDEV-29596).
    The portal needs READ ONLY ADMIN to switch `read_only`; harmless only as long as it may write nothing.
    """
    past = _PAST_READ_ONLY | ({"SUPER"} if release(version) < (10, 11) else set())
    lines = [(_privileges(line), " ON *.* TO " in line) for line in grants]
    ignores = any(everywhere and found & past for found, everywhere in lines)
    writes = any(found & _WRITING for found, _ in lines)
    warning = "It could write to this server while that is read-only, unseen by the primary."
    return {"ignores_read_only": ignores, "may_write": writes, "warning": warning if ignores and writes else None}


def release(version: str) -> tuple[int, int]:
    """Major and minor number of a version text such as `10.11.19-MariaDB-log`."""
    match = re.match(r"(\d+)\.(\d+)", version)
    return (int(match[1]), int(match[2])) if match else (0, 0)


def _privileges(line: str) -> set[str]:
    match = re.match(r"GRANT (.+?) ON ", line)
    words = re.sub(r"\([^)]*\)", "", match[1]) if match else ""  # columns in brackets hold commas too
    return {word.strip() for word in words.split(",")}
