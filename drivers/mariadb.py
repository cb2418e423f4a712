"""MariaDB: a primary or a replica with GTID.

Source of the facts: `SHOW ALL SLAVES STATUS` (needs the privilege SLAVE MONITOR) and system variables
(mariadb.com/kb). `Seconds_Behind_Master` is NULL while the SQL thread does not run, which must never be read as zero.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import pymysql
from pymysql.cursors import DictCursor

from drivers import names
from drivers.base import Driver, Observation
from drivers.errors import PermanentError, TransientError

_REFUSED = frozenset({1044, 1045, 1049, 1227, 1698, 4151})
"""Access denied, unknown database, missing privilege, wrong plugin, account locked."""

_VARIABLES = "SELECT VERSION() AS version, @@read_only AS read_only, @@server_id AS server_id, \
@@gtid_current_pos AS gtid_current, @@gtid_binlog_pos AS gtid_binlog, @@gtid_strict_mode AS gtid_strict"
_STATUS = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Uptime')"


class MariaDB(Driver):
    """Facts: `host`, `port`, `user`, and `password` as a secret reference."""

    kind: ClassVar[str] = "mariadb"
    required: ClassVar[tuple[str, ...]] = ("host", "port", "user", "password")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.host = names.host(self.facts["host"])
        self.port = names.port(self.facts["port"])
        self.user = names.name(self.facts["user"], "database user")

    def observe(self) -> Observation:
        """Version, role, read-only, GTID positions, replica threads and lag.

        Healthy means: it answers, and a replica runs both threads. None when the account may not see replication.
        """
        begun = time.monotonic()
        try:
            with self._connected() as cursor:
                variables, status = self._rows(cursor, _VARIABLES)[0], self._rows(cursor, _STATUS)
                latency = time.monotonic() - begun
                channels = self._channels(cursor)
        except TransientError as error:
            return self.down(error)
        counts = {row["Variable_name"]: float(row["Value"]) for row in status}
        facts: dict[str, Any] = {
            "address": f"{self.host}:{self.port}",
            "role": "unknown" if channels is None else "replica" if channels else "primary",
            "read_only": str(variables["read_only"]) not in ("0", "OFF"),
            "server_id": variables["server_id"],
            "gtid_current": variables["gtid_current"],
            "gtid_binlog": variables["gtid_binlog"],
            "gtid_strict": bool(variables["gtid_strict"]),
            "channels": channels or [],
        }
        readings = {
            "latency_seconds": latency,
            "clients": counts["Threads_connected"],
            "uptime_seconds": counts["Uptime"],
        }
        lags = [channel["lag_seconds"] for channel in facts["channels"]]
        if lags and None not in lags:
            readings["lag_seconds"] = max(lags)
        healthy = None if channels is None else all(channel["running"] for channel in channels)
        return self.seen(healthy, facts, readings, str(variables["version"]))

    def _channels(self, cursor: DictCursor) -> list[dict[str, Any]] | None:
        """One entry per replication channel; None when the account may not ask."""
        try:
            return [self._channel(row) for row in self._rows(cursor, "SHOW ALL SLAVES STATUS")]
        except pymysql.OperationalError as error:
            if error.args[0] == 1227:
                return None
            raise

    @staticmethod
    def _channel(row: Mapping[str, Any]) -> dict[str, Any]:
        io, sql, lag = row["Slave_IO_Running"], row["Slave_SQL_Running"], row["Seconds_Behind_Master"]
        return {
            "name": row["Connection_name"],
            "primary": f"{row['Master_Host']}:{row['Master_Port']}",
            "io_thread": io,
            "sql_thread": sql,
            "running": io == "Yes" and sql == "Yes",
            "lag_seconds": None if lag is None else float(lag),
            "error": row["Last_IO_Error"] or row["Last_SQL_Error"] or None,
        }

    @staticmethod
    def _rows(cursor: DictCursor, statement: str) -> list[dict[str, Any]]:
        cursor.execute(statement)
        return list(cursor.fetchall())

    @contextmanager
    def _connected(self) -> Iterator[DictCursor]:
        """A cursor; refused credentials are a `PermanentError`, everything else that fails is transient."""
        password = self.secrets.resolve(self.facts["password"])
        where = f"{self.host}:{self.port}"
        try:
            link = pymysql.connect(
                host=self.host,
                port=self.port,
                user=self.user,
                password=password.reveal(),
                connect_timeout=2,
                read_timeout=5,
                write_timeout=5,
                cursorclass=DictCursor,
                autocommit=True,
            )
            with link, link.cursor() as cursor:
                yield cursor
        except pymysql.MySQLError as error:
            code = error.args[0] if error.args else 0
            if code in _REFUSED:
                raise PermanentError(f"{where} refuses {self.user} (error {code})") from None
            raise TransientError(f"{where} does not answer: {error.args[-1] if error.args else error}") from None
