"""The driver of one MariaDB server: what is observed, and the acts.

Source of the facts: `SHOW ALL SLAVES STATUS` (needs the privilege SLAVE MONITOR) and system variables
(mariadb.com/kb).
"""

from __future__ import annotations

import time
from typing import Any, ClassVar

from drivers.base import Observation
from drivers.discovery import Listing
from drivers.errors import DriverError, TransientError
from drivers.mariadb import discovery, gtid
from drivers.mariadb import state as states
from drivers.mariadb.acts import ACTS
from drivers.mariadb.node import Node
from drivers.mariadb.state import Channel, State


class MariaDB(Node):
    """A primary or a replica with GTID; see `Node` for its facts."""

    acts: ClassVar[tuple[Any, ...]] = ACTS

    def observe(self) -> Observation:
        """Version, role, read-only, GTID sets, replication with lag, errant transactions, semi-sync, own rights.

        Healthy means: it answers, and a replica runs both threads. None when the account may not see replication.
        """
        begun = time.monotonic()
        try:
            with self.session() as session:
                state = states.read(session)
                latency = time.monotonic() - begun
                grants = [str(next(iter(row.values()))) for row in session.rows(states.GRANTS)]
        except TransientError as error:
            return self.down(error)
        channels = state.channels
        errant = self._errant(state)
        facts = self._facts(state, grants) | {"errant": errant}
        readings = {
            "latency_seconds": latency,
            "clients": float(state.status["threads_connected"]),
            "uptime_seconds": float(state.status["uptime"]),
            "semi_sync_unacknowledged": float(state.status.get("rpl_semi_sync_master_no_tx", 0)),
        }
        if errant is not None:
            readings["errant_sources"] = float(len(errant))
        lags = [channel.lag_seconds for channel in channels or ()]
        if lags and None not in lags:
            readings["lag_seconds"] = max(lag for lag in lags if lag is not None)
        healthy = None if channels is None else all(channel.running for channel in channels)
        return self.seen(healthy, facts, readings, state.variables["version"])

    def discover(self) -> list[Listing]:
        """The server and its replicas (see `drivers.mariadb.discovery`)."""
        return discovery.discover(self)

    def _facts(self, state: State, grants: list[str]) -> dict[str, Any]:
        channels, variables = state.channels, state.variables
        return {
            "address": self.where,
            "role": "unknown" if channels is None else "replica" if channels else "primary",
            "read_only": state.read_only,
            "server_id": state.server_id,
            "gtid_current": variables["gtid_current_pos"],
            "gtid_binlog": variables["gtid_binlog_pos"],
            "gtid_executed": gtid.shown(state.history),
            "gtid_strict": state.on("gtid_strict_mode"),
            "keeps_binlog": state.on("log_bin") and state.on("log_slave_updates"),
            "channels": [_shown(channel) for channel in channels or ()],
            "semi_sync": states.semi_sync(state),
            "account": states.account(grants, variables["version"]),
            "peers": list(self.peers),
        }

    def _errant(self, state: State) -> list[str] | None:
        """The last transactions of this replica that its primary never had; None when there is nobody to ask."""
        channel = state.follows
        if channel is None or channel.primary not in self.peers:
            return None
        try:  # asked after this server, so that the primary can only be further
            there = self.peer(channel.primary).state()
        except DriverError:
            return None
        return [gtid.shown({key: number}) for key, number in sorted(gtid.beyond(state.history, there.history).items())]


def _shown(channel: Channel) -> dict[str, Any]:
    return {
        "name": channel.name,
        "primary": channel.primary,
        "io_thread": channel.io,
        "sql_thread": channel.sql,
        "running": channel.running,
        "lag_seconds": channel.lag_seconds,
        "received": channel.received,
        "applied": channel.applied,
        "error": channel.error,
    }
