"""One Redis or Valkey server, primary or replica.

Source of the facts: the INFO command (valkey.io/commands/info). `master_last_io_seconds_ago` counts from the last
byte a replica received, also while the primary is idle (it pings every 10 s by default), so the bytes between the two
offsets are the truer lag and both are given.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, ClassVar

import redis

from drivers.base import Driver, Observation
from drivers.discovery import Listing
from drivers.errors import DriverError, PermanentError, TransientError
from drivers.redis import acts, discovery
from drivers.redis.client import client_for, target, translated

FRAGMENTED = 1.5
FRAGMENTED_BYTES = 64 * 1024 * 1024
"""On a small server the ratio says nothing: the program itself is most of the memory."""


class Redis(Driver):
    """Facts: `host`, `port`; where the server wants them `user` and `password` (a secret reference), `database`, and
    `tls` with `ca` (file with a private certificate authority)."""

    kind: ClassVar[str] = "redis"
    required: ClassVar[tuple[str, ...]] = ("host", "port")
    acts = (acts.SetParameterAct(), acts.FlushPrefixAct())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        checked = {name: value for name, value in self.facts.items() if name != "password"}
        self.address = target(self.facts["host"], self.facts["port"], checked, self.secrets).address

    def client(self, *, decode: bool) -> redis.Redis:
        """A client that is not yet connected."""
        return client_for(target(self.facts["host"], self.facts["port"], self.facts, self.secrets), decode=decode)

    @contextmanager
    def connected(self, *, decode: bool = True) -> Iterator[redis.Redis]:
        """A client for one reading or act; see `drivers.redis.client.translated` for what fails how."""
        with translated(self.client(decode=decode), self.address) as client:
            yield client

    def info(self) -> dict[str, Any]:
        """All of INFO as the server gives it; `TransientError` when it does not answer or is still loading."""
        with self.connected() as client:
            return dict(client.info())

    def setting(self, name: str) -> str:
        """The value of one parameter; `PermanentError` when the server does not know it."""
        with self.connected() as client:
            found: Any = client.config_get(name)
        if name not in found:
            raise PermanentError(f"{self.address} has no parameter {name}")
        return str(found[name])

    def observe(self) -> Observation:
        """Role, memory, evictions, clients, keys, persistence and replication.

        Healthy means: it answers, a replica's link is up, the last save went well, and memory is not full under a
        policy that refuses writes.
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
            "mode": info.get("server_mode") or info.get("redis_mode", "standalone"),
            "maxmemory_policy": info.get("maxmemory_policy", "noeviction"),
            "address": self.address,
            "persistence": _persistence(info),
            "settings": self._settings(),
        }
        readings = _readings(info, latency)
        linked = _replica(info, facts, readings) if facts["role"] == "replica" else True
        if facts["role"] == "primary":
            _primary(info, facts, readings)
        limit = readings["memory_max_bytes"]
        facts["full"] = bool(limit) and readings["memory_bytes"] >= limit
        refuses = facts["full"] and facts["maxmemory_policy"] == "noeviction"
        facts["advice"] = _advice(facts, readings)
        version = str(info.get("valkey_version") or info["redis_version"])
        return self.seen(linked and not refuses and facts["persistence"]["ok"], facts, readings, version)

    def discover(self) -> list[Listing]:
        """The server and its replicas (see `drivers.redis.discovery`)."""
        return discovery.server(self)

    def _settings(self) -> dict[str, str] | None:
        """What decides whether an isolated primary goes on writing; None where the server may not be asked."""
        try:
            with self.connected() as client:
                found: Any = client.config_get("min-replicas-*")
        except DriverError:  # managed services forbid or rename CONFIG
            return None
        return {str(name): str(value) for name, value in found.items()}


def _readings(info: Mapping[str, Any], latency: float) -> dict[str, float]:
    counted = {
        "memory_bytes": "used_memory",
        "memory_resident_bytes": "used_memory_rss",
        "memory_max_bytes": "maxmemory",
        "memory_fragmentation_ratio": "mem_fragmentation_ratio",
        "clients": "connected_clients",
        "blocked_clients": "blocked_clients",
        "evicted_keys": "evicted_keys",
        "expired_keys": "expired_keys",
        "hits": "keyspace_hits",
        "misses": "keyspace_misses",
        "commands": "total_commands_processed",
        "uptime_seconds": "uptime_in_seconds",
    }
    keys = sum(space["keys"] for name, space in info.items() if name.startswith("db") and isinstance(space, dict))
    readings = {reading: float(info.get(name, 0)) for reading, name in counted.items()}
    return {**readings, "keys": float(keys), "latency_seconds": latency}


def _persistence(info: Mapping[str, Any]) -> dict[str, Any]:
    """How the data would survive a restart, and whether the last try to write it went well."""
    aof = bool(info.get("aof_enabled", 0))
    last_save, last_write = info.get("rdb_last_bgsave_status", "ok"), info.get("aof_last_write_status", "ok")
    return {
        "append_only_file": aof,
        "last_save": last_save,
        "saving": bool(info.get("rdb_bgsave_in_progress", 0)),
        "changes_since_save": int(info.get("rdb_changes_since_last_save", 0)),
        "ok": last_save == "ok" and (not aof or last_write == "ok"),
    }


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
        readings["lag_bytes"] = float(max(replica["lag_bytes"] for replica in facts["replicas"]))


def _advice(facts: Mapping[str, Any], readings: Mapping[str, float]) -> list[str]:
    """What an experienced operator would change, worst first."""
    advice = []
    settings = facts["settings"] or {}
    if facts.get("replicas") and settings.get("min-replicas-to-write") == "0":
        advice.append(
            "min-replicas-to-write is 0: when the network splits, this primary goes on taking writes that are lost at "
            "the failover. Set it to 1, with min-replicas-max-lag of a few seconds."
        )
    if not readings["memory_max_bytes"]:
        advice.append("There is no memory limit: when memory runs out, the system kills the server.")
    waste = readings["memory_resident_bytes"] - readings["memory_bytes"]
    if readings["memory_fragmentation_ratio"] > FRAGMENTED and waste > FRAGMENTED_BYTES:
        advice.append("Memory is fragmented: a restart, or active defragmentation, would give much of it back.")
    return advice
