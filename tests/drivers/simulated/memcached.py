"""Memcached in memory: the driver and the client library's own code over sockets that lead nowhere."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

from drivers.acts import Act
from drivers.base import Driver
from drivers.memcached import Memcached
from drivers.secret import SecretStore
from tests.drivers.contract import World

EXAMPLES: dict[str, dict[str, Any]] = {"flush": {}, "set-memory-limit": {"megabytes": 128}}


class Server:
    """The part of a server that the driver speaks to: its counters, and the text protocol."""

    def __init__(self) -> None:
        now = {"time": 2_000_000, "uptime": 3600, "accepting_conns": 1, "threads": 4}
        memory = {"bytes": 4096, "limit_maxbytes": 64 << 20, "curr_items": 9, "evictions": 0}
        use = {"get_hits": 90, "get_misses": 10, "cmd_flush": 0}
        clients = {"curr_connections": 2, "max_connections": 1024, "rejected_connections": 0}
        self.stats = now | memory | use | clients

    def answer(self, line: str) -> str:
        match line.split():
            case ["stats"]:
                return "".join(f"STAT {name} {value}\r\n" for name, value in self.stats.items()) + self._end()
            case ["stats", "settings"]:
                return "STAT flush_enabled yes\r\nEND\r\n"
            case ["flush_all", *_]:
                self.stats["cmd_flush"] += 1
                return "OK\r\n"
            case ["cache_memlimit", megabytes]:
                self.stats["limit_maxbytes"] = int(megabytes) << 20
                return "OK\r\n"
        return "ERROR\r\n"

    @staticmethod
    def _end() -> str:
        return "STAT version 1.6.18\r\nEND\r\n"


class Wire:
    """A socket's place: what is sent is answered by the server."""

    def __init__(self, server: Server | None) -> None:
        self.server = server
        self.waiting = b""

    def settimeout(self, _: float | None) -> None:
        pass

    def connect(self, _: object) -> None:
        if self.server is None:
            raise ConnectionRefusedError("Connection refused")

    def sendall(self, data: bytes) -> None:
        assert self.server is not None
        self.waiting += self.server.answer(data.decode().strip()).encode()

    def recv(self, size: int) -> bytes:
        given, self.waiting = self.waiting[:size], self.waiting[size:]
        return given

    def close(self) -> None:
        pass


def sockets(server: Server | None) -> Any:
    """What the client library uses of the module `socket`."""
    place = (socket.AF_INET, socket.SOCK_STREAM, 6, "", ("10.0.0.7", 11211))
    constants = {name: getattr(socket, name) for name in ("AF_UNSPEC", "SOCK_STREAM", "IPPROTO_TCP")}
    return SimpleNamespace(**constants, getaddrinfo=lambda *_: [place], socket=lambda *_: Wire(server))


class MemcachedWorld(World):
    driver_class = Memcached
    examples = EXAMPLES

    def __init__(self) -> None:
        self.server = Server()

    def driver(self) -> Driver:
        return self._over(self.server)

    def unreachable(self) -> Driver:
        return self._over(None)

    @staticmethod
    def _over(server: Server | None) -> Driver:
        kind = type("Simulated", (Memcached,), {"sockets": sockets(server)})
        made: Driver = kind({"driver": "memcached", "host": "10.0.0.7", "port": 11211}, SecretStore())
        return made

    def picture(self) -> Any:
        return dict(self.server.stats)

    def prepare(self, act: Act[Any, Any]) -> None:
        self.server.stats |= {"limit_maxbytes": 64 << 20, "cmd_flush": 0}


SIMULATED = {"memcached": MemcachedWorld}
