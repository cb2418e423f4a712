"""One Redis or Valkey server, primary or replica.

Source of the facts: the INFO command (valkey.io/commands/info). `master_last_io_seconds_ago` counts from the last
byte a replica received, also while the primary is idle (it pings every 10 s by default), so the bytes between the two
offsets are the truer lag and both are given.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from drivers import names
from drivers.base import Driver, Observation
from drivers.errors import TransientError
from drivers.redis.client import connected


class Redis(Driver):
    """Facts: `host`, `port`, and `password` (a secret reference) where the server asks for one."""

    kind: ClassVar[str] = "redis"
    required: ClassVar[tuple[str, ...]] = ("host", "port")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.host = names.host(self.facts["host"])
        self.port = names.port(self.facts["port"])

    def info(self) -> dict[str, Any]:
        """All of INFO as the server gives it; `TransientError` when it does not answer or is still loading."""
        with connected(self.host, self.port, self.secrets.optional(self.facts.get("password"))) as client:
            return dict(client.info())

    def observe(self) -> Observation:
        """Role, memory, clients, keys and replication.

        Healthy means: it answers, a replica's link is up, and memory is not full under a policy that refuses writes.
        """
        begun = time.monotonic()
        try:
            info = self.info()
        except TransientError as error:
            return self.down(error)
        latency = time.monotonic() - begun
        facts: dict[str, Any] = {
            "role": "replica" if info["role"] == "slave" else "primary",
            "server": info.get("server_name", "redis"),
            "maxmemory_policy": info.get("maxmemory_policy", "noeviction"),
            "address": f"{self.host}:{self.port}",
        }
        readings = {
            "memory_bytes": float(info["used_memory"]),
            "memory_max_bytes": float(info.get("maxmemory", 0)),
            "clients": float(info["connected_clients"]),
            "keys": float(sum(space["keys"] for name, space in info.items() if name.startswith("db"))),
            "evicted_keys": float(info.get("evicted_keys", 0)),
            "uptime_seconds": float(info["uptime_in_seconds"]),
            "latency_seconds": latency,
        }
        linked = self._replica(info, facts, readings) if facts["role"] == "replica" else True
        if facts["role"] == "primary":
            self._primary(info, facts, readings)
        limit = readings["memory_max_bytes"]
        facts["full"] = bool(limit) and readings["memory_bytes"] >= limit
        refuses = facts["full"] and facts["maxmemory_policy"] == "noeviction"
        version = str(info.get("valkey_version") or info["redis_version"])
        return self.seen(linked and not refuses, facts, readings, version)

    @staticmethod
    def _replica(info: Mapping[str, Any], facts: dict[str, Any], readings: dict[str, float]) -> bool:
        """Add what a replica says of its primary; True when the link is up."""
        facts["primary"] = f"{info['master_host']}:{info['master_port']}"
        facts["link"] = info["master_link_status"]
        if facts["link"] != "up":
            readings["link_down_seconds"] = float(info.get("master_link_down_since_seconds", 0))
            return False
        readings["lag_seconds"] = float(info["master_last_io_seconds_ago"])
        readings["offset_bytes"] = float(info["slave_repl_offset"])
        return True

    @staticmethod
    def _primary(info: Mapping[str, Any], facts: dict[str, Any], readings: dict[str, float]) -> None:
        """Add the primary's view of its replicas: state, lag in seconds, bytes not yet acknowledged."""
        offset = int(info["master_repl_offset"])
        replicas = [info[f"slave{number}"] for number in range(int(info["connected_slaves"]))]
        facts["replicas"] = [
            {
                "address": f"{replica['ip']}:{replica['port']}",
                "state": replica["state"],
                "lag_seconds": float(replica.get("lag", 0)),
                "lag_bytes": max(0, offset - int(replica["offset"])),
            }
            for replica in replicas
        ]
        readings["replicas"] = float(len(replicas))
        readings["offset_bytes"] = float(offset)
        if replicas:
            readings["lag_seconds"] = max(replica["lag_seconds"] for replica in facts["replicas"])
