"""Redis and Sentinel in memory: the drivers' own code over clients that keep the protocol's answers, and no socket."""

from __future__ import annotations

import fnmatch
from typing import Any

import redis

from drivers.acts import Act
from drivers.base import Driver
from drivers.redis import Redis, Sentinel
from drivers.redis.acts import MARK
from drivers.redis.client import Target
from drivers.secret import Secret, SecretStore
from tests.drivers.contract import World

PARAMETER = {"name": "maxmemory-policy", "value": "allkeys-lru"}
PREFIX = {"prefix": "page:", "confirm": "page:"}
EXAMPLES = {"set-parameter": PARAMETER, "flush-prefix": PREFIX}


class Known(SecretStore):
    """Every reference is good; what is behind it matters to nobody here."""

    def resolve(self, reference: object) -> Secret:
        return Secret(str(reference))


class Server(redis.Redis):
    """A server's keys and settings, behind the library's own methods; nothing is sent anywhere."""

    def __init__(self) -> None:
        super().__init__(socket_connect_timeout=0.1)
        self.keys_held: dict[bytes, bytes] = {}
        self.settings = {
            "maxmemory-policy": "noeviction",
            "min-replicas-to-write": "1",
            "min-replicas-max-lag": "10",
        }
        self.silent = False
        self.follows: tuple[str, int] | None = None

    def close(self) -> None:
        pass

    def execute_command(self, *args: Any, **options: Any) -> Any:
        if self.silent:
            raise redis.ConnectionError("Connection refused.")
        words = [word.decode() if isinstance(word, bytes) else str(word) for word in args]
        return getattr(self, f"_{words[0].lower().replace(' ', '_')}")(*words[1:])

    def _info(self, *_: str) -> dict[str, Any]:
        fixed = {
            "redis_version": "7.2.0",
            "valkey_version": "9.1.2",
            "server_name": "valkey",
            "server_mode": "standalone",
        }
        numbers = {"used_memory": 1_000_000, "maxmemory": 0, "connected_clients": 3, "uptime_in_seconds": 60}
        fixed["maxmemory_policy"] = self.settings["maxmemory-policy"]
        replication: dict[str, Any] = {"role": "master", "connected_slaves": 0, "master_repl_offset": 0}
        if self.follows:
            link = {"master_link_status": "up", "master_last_io_seconds_ago": 1, "slave_repl_offset": 0}
            replication = {"role": "slave", "master_host": self.follows[0], "master_port": self.follows[1], **link}
        return {**fixed, **numbers, **replication, "db0": {"keys": len(self.keys_held)}}

    def _config_get(self, pattern: str) -> dict[str, str]:
        return {name: value for name, value in self.settings.items() if fnmatch.fnmatchcase(name, pattern)}

    def _config_set(self, name: str, value: str) -> bool:
        self.settings[name] = value
        return True

    def _dbsize(self) -> int:
        return len(self.keys_held)

    def _scan(self, _: str, *words: str) -> tuple[int, list[bytes]]:
        """All keys at once; the driver looks at each name itself, so no pattern is needed to be exact."""
        return 0, sorted(self.keys_held)

    def _get(self, key: str) -> bytes | None:
        return self.keys_held.get(key.encode())

    def _set(self, key: str, value: str, *_: str) -> bool:
        self.keys_held[key.encode()] = value.encode()
        return True

    def _unlink(self, *keys: str) -> int:
        return sum(self.keys_held.pop(key.encode(), None) is not None for key in keys)


class RedisWorld(World):
    driver_class = Redis
    examples = EXAMPLES

    def __init__(self) -> None:
        self.server, self.gone = Server(), Server()
        self.gone.silent = True
        self.server.keys_held |= {b"page:1": b"x", b"page*": b"x", b"session:1": b"x"}

    def driver(self) -> Driver:
        return self._over(self.server)

    def unreachable(self) -> Driver:
        return self._over(self.gone)

    @staticmethod
    def _over(server: Server) -> Driver:
        class Simulated(Redis):
            def client(self, *, decode: bool) -> redis.Redis:
                return server

        return Simulated({"driver": "redis", "host": "10.0.0.7", "port": 6379}, Known())

    def picture(self) -> Any:
        keys = {name: value for name, value in self.server.keys_held.items() if not name.startswith(MARK.encode())}
        return keys, dict(self.server.settings)

    def prepare(self, act: Act[Any, Any]) -> None:
        self.server.keys_held |= {b"page:1": b"x", b"page:2": b"x"}
        self.server.settings["maxmemory-policy"] = "noeviction"


class Watcher(redis.Redis):
    """One Sentinel of a simulated group."""

    def __init__(self, group: SentinelWorld, place: str) -> None:
        super().__init__(socket_connect_timeout=0.1)
        self.group = group
        self.place = place

    def close(self) -> None:
        pass

    def execute_command(self, *args: Any, **options: Any) -> Any:
        words = " ".join(map(str, args)).split()
        if self.place not in self.group.places:
            raise redis.ConnectionError("Connection refused.")
        match words:
            case ["PING"]:
                return True
            case ["INFO", *_]:
                return {"valkey_version": "9.1.2"}
            case ["ROLE"]:
                return ["master" if self.place == self.group.primary else "slave"]
            case ["SENTINEL", "MASTER", _]:
                return self.group.told_of_primary()
            case ["SENTINEL", "SLAVES", _]:
                return [self.group.told_of_replica()]
            case ["SENTINEL", "CKQUORUM", _]:
                return "OK 3 usable Sentinels."
            case ["SENTINEL", "FAILOVER", _, *_]:
                self.group.begin()
                return "OK"
        raise redis.ResponseError(f"unknown command {words}")


class SentinelWorld(World):
    """Three Sentinels that agree, a primary and a replica. A failover needs a few looks to be over."""

    driver_class = Sentinel
    examples = {"failover": {"mode": "coordinated"}}

    def __init__(self) -> None:
        self.primary, self.replica = "10.0.0.7:6379", "10.0.0.8:6379"
        self.sentinels = [["10.0.0.7", 26379], ["10.0.0.8", 26379], ["10.0.0.9", 26379]]
        self.places = {self.primary, self.replica, *(f"{host}:{port}" for host, port in self.sentinels)}
        self.looks_left: int | None = None
        self.failovers = 0

    def begin(self) -> None:
        if self.looks_left is not None:
            raise redis.ResponseError("INPROG Failover already in progress")
        self.looks_left = 6
        self.failovers += 1

    def told_of_primary(self) -> dict[str, Any]:
        if self.looks_left is not None:
            self.looks_left -= 1
            if self.looks_left == 0:
                self.primary, self.replica, self.looks_left = self.replica, self.primary, None
        host, port = self.primary.split(":")
        flags = "master" if self.looks_left is None else "master,failover_in_progress"
        return {"ip": host, "port": port, "flags": flags, "quorum": 2, "role-reported": "master"}

    def told_of_replica(self) -> dict[str, Any]:
        host, port = self.replica.split(":")
        said = {"role-reported": "slave", "master-link-status": "ok", "slave-priority": 100, "slave-repl-offset": 1}
        return {"ip": host, "port": port, "flags": "slave", **said}

    def driver(self) -> Driver:
        return self._over(self.sentinels)

    def unreachable(self) -> Driver:
        return self._over([["10.9.9.9", 26379]])

    def _over(self, sentinels: list[list[Any]]) -> Driver:
        group = self

        class Simulated(Sentinel):
            def client(self, target: Target) -> redis.Redis:
                return Watcher(group, target.address)

        facts = {
            "driver": "sentinel",
            "sentinels": sentinels,
            "master": "edye",
            "server_password": "env:CACHE_PASSWORD",
        }
        return Simulated(facts, Known())

    def picture(self) -> Any:
        return self.primary, self.replica, self.failovers

    def prepare(self, act: Act[Any, Any]) -> None:
        self.looks_left = None


SIMULATED = {"redis": RedisWorld, "sentinel": SentinelWorld}
