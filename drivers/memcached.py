"""One Memcached server.

Source of the facts: the text protocol (github.com/memcached/memcached, doc/protocol.txt). Two traps, both seen on
1.6.18: `curr_items` stays as it was after flush_all, because items are dropped when they are next asked for, so it is
no evidence; and `cmd_flush` counts a flush_all that a server started with `-F` refused, so it is none either there.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Annotated, Any, ClassVar

from msgspec import Meta
from pymemcache.client.base import Client  # type: ignore[import-untyped]
from pymemcache.exceptions import (  # type: ignore[import-untyped]
    MemcacheClientError,
    MemcacheError,
    MemcacheUnknownError,
)

from drivers import names
from drivers.acts import Act, Call, Condition, Facts, Nothing, Parameters, Report, Risk
from drivers.base import Driver, Observation
from drivers.discovery import Listing, Thing, listing, tcp
from drivers.errors import InvalidInput, PermanentError, TransientError

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
_MEGABYTE = 1024 * 1024
_RESTART_SECONDS = 5
"""Clocks and uptime are whole seconds: a start that seems to differ by less is the same one."""
_COUNTED = {
    "memory_bytes": "bytes",
    "memory_max_bytes": "limit_maxbytes",
    "items": "curr_items",
    "evicted_items": "evictions",
    "hits": "get_hits",
    "misses": "get_misses",
    "clients": "curr_connections",
    "clients_max": "max_connections",
    "clients_rejected": "rejected_connections",
    "flushes": "cmd_flush",
    "uptime_seconds": "uptime",
}


class Flush(Act["Memcached", Nothing]):
    """flush_all. `done` looks for a flush, or a restart, that happened after `before`."""

    name = "flush"
    title = "Empty the whole cache"
    summary = (
        "Everything in this server counts as expired at once. Until the cache is warm again every request goes to the "
        "database behind it: users notice slower pages, and a database near its limit may not stand it."
    )
    risk = Risk.HIGH
    why_no_undo = "What was cached is gone; the cache fills again by itself."

    def conditions(self, driver: Memcached, params: Nothing) -> list[Condition]:
        allowed = driver.flush_allowed()
        return [Condition("The server allows flush_all (it was not started with -F)", allowed, "it is disabled")]

    def before(self, driver: Memcached, params: Nothing) -> Report:
        stats = driver.stats()
        return {
            "flushes": stats["cmd_flush"],
            "started": stats["time"] - stats["uptime"],
            "items": stats["curr_items"],
            "hit_ratio": hit_ratio(stats),
        }

    def sends(self, driver: Memcached, params: Nothing, before: Facts) -> list[str]:
        return ["flush_all"]

    def done(self, driver: Memcached, params: Nothing, before: Facts) -> bool:
        stats = driver.stats()
        flushed = stats["cmd_flush"] > before["flushes"] and driver.flush_allowed()
        restarted = stats["time"] - stats["uptime"] > before["started"] + _RESTART_SECONDS
        return flushed or restarted or stats["cmd_flush"] < before["flushes"]

    def do(self, driver: Memcached, params: Nothing, before: Facts, call: Call) -> Report:
        if self.done(driver, params, before):
            return {"flushed": False, "reason": "it was flushed or restarted already"}
        call.check()
        with driver.connected() as client:
            client.flush_all(noreply=False)
        call.log(f"{driver.address} is empty")
        return {"flushed": True}


class MemoryLimit(Parameters):
    megabytes: Annotated[int, Meta(title="Limit in MiB", ge=8, le=1_048_576)]


class SetMemoryLimit(Act["Memcached", MemoryLimit]):
    """cache_memlimit, which lasts until the server is restarted."""

    name = "set-memory-limit"
    title = "Set the memory limit to {megabytes} MiB"
    summary = (
        "Changes how much memory the running server may use for items. The start options stay as they are, so the "
        "change is gone after a restart. A lower limit evicts items over time."
    )
    risk = Risk.MEDIUM
    Parameters = MemoryLimit
    undo_title = "Set the memory limit back to its former value"

    def conditions(self, driver: Memcached, params: MemoryLimit) -> list[Condition]:
        used = driver.stats()["bytes"]
        text = "The limit is not below what is in use, so that nothing is evicted at once"
        return [Condition(text, params.megabytes * _MEGABYTE >= used, f"{used} bytes are in use")]

    def before(self, driver: Memcached, params: MemoryLimit) -> Report:
        return {"megabytes": driver.stats()["limit_maxbytes"] // _MEGABYTE}

    def sends(self, driver: Memcached, params: MemoryLimit, before: Facts) -> list[str]:
        return [f"cache_memlimit {params.megabytes}"]

    def done(self, driver: Memcached, params: MemoryLimit, before: Facts) -> bool:
        return bool(driver.stats()["limit_maxbytes"] == params.megabytes * _MEGABYTE)

    def do(self, driver: Memcached, params: MemoryLimit, before: Facts, call: Call) -> Report:
        return self._limit(driver, params.megabytes, call)

    def undo(self, driver: Memcached, params: MemoryLimit, before: Facts, call: Call) -> Report:
        now = driver.stats()["limit_maxbytes"] // _MEGABYTE
        if now not in (params.megabytes, before["megabytes"]):
            call.log(f"the limit was set to {now} MiB by somebody else since, or by a restart, and is left alone")
            return {"megabytes": now, "changed_by_another": True}
        return self._limit(driver, before["megabytes"], call)

    @staticmethod
    def _limit(driver: Memcached, megabytes: int, call: Call) -> Report:
        if driver.stats()["limit_maxbytes"] != megabytes * _MEGABYTE:
            call.check()
            with driver.connected() as client:
                client.cache_memlimit(megabytes)
            call.log(f"the limit is {megabytes} MiB")
        return {"megabytes": megabytes}


class Memcached(Driver):
    """Facts: `host`, `port`; where the server wants them `user` and `password` (a secret reference; servers started
    with an authentication file, `-Y`), and `tls` with `ca` (file with a private certificate authority)."""

    kind: ClassVar[str] = "memcached"
    required: ClassVar[tuple[str, ...]] = ("host", "port")
    acts = (Flush(), SetMemoryLimit())
    sockets: ClassVar[Any] = socket
    """Where connections come from; a simulation puts its own here."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.host, self.port = names.host(self.facts["host"]), names.port(self.facts["port"])
        self.address = f"{self.host}:{self.port}"
        if ("user" in self.facts) != ("password" in self.facts):
            raise InvalidInput("user and password are given both or not at all")
        self.user = names.name(self.facts["user"], "user") if "user" in self.facts else None
        self.ca = names.path(self.facts["ca"]) if "ca" in self.facts else None
        self.tls = self.facts.get("tls", self.ca is not None)
        if not isinstance(self.tls, bool) or (self.ca and not self.tls):
            raise InvalidInput("tls must be true or false, and true where a ca is given")

    @contextmanager
    def connected(self) -> Iterator[Client]:
        """A client that has signed in; refusals are permanent, silence and half an answer are transient."""
        client = Client(
            (self.host, self.port),
            connect_timeout=CONNECT_SECONDS,
            timeout=READ_SECONDS,
            tls_context=self._trust() if self.tls else None,
            socket_module=self.sockets,
        )
        try:
            self._sign_in(client)
            yield client
        except (MemcacheClientError, MemcacheUnknownError) as error:
            raise PermanentError(f"{self.address} refuses: {_said(error)}") from None
        except (MemcacheError, OSError) as error:
            raise TransientError(f"{self.address} does not answer: {_said(error)}") from None
        finally:
            client.close()

    def stats(self) -> dict[str, Any]:
        """The server's own counters by name, numbers as int; `PermanentError` when it is no Memcached that answers."""
        with self.connected() as client:
            found = {name.decode(): value for name, value in client.stats().items()}
        if missing := [name for name in ("time", "cmd_flush", *_COUNTED.values()) if name not in found]:
            raise TransientError(f"{self.address} gave half an answer: {missing[0]} is missing")
        return found

    def flush_allowed(self) -> bool:
        """Whether the server obeys flush_all."""
        with self.connected() as client:
            return bool(client.stats("settings").get(b"flush_enabled", b"yes") == b"yes")

    def discover(self) -> list[Listing]:
        """The server as one thing."""
        stats = self.stats()
        limit = int(stats["limit_maxbytes"]) // _MEGABYTE
        fields = {"software": "Memcached", "version": stats["version"].decode(), "max_memory_mb": limit}
        host, _, port = self.address.rpartition(":")
        return [listing("server", [Thing("memcached", self.address, fields=fields, addresses=(tcp(host, port),))])]

    def observe(self) -> Observation:
        """Memory, items, hit rate, evictions and connections.

        Healthy means: it answers and takes new connections.
        """
        begun = time.monotonic()
        try:
            stats = self.stats()
        except TransientError as error:
            return self.down(error)
        readings = {name: float(stats[counter]) for name, counter in _COUNTED.items()}
        readings["latency_seconds"] = time.monotonic() - begun
        facts: dict[str, Any] = {
            "address": self.address,
            "accepting": bool(stats.get("accepting_conns", 1)),
            "hit_ratio": hit_ratio(stats),
            "threads": stats.get("threads"),
        }
        version = stats["version"]
        version = version.decode() if isinstance(version, bytes) else str(version)
        return self.seen(facts["accepting"], facts, readings, version)

    def _sign_in(self, client: Client) -> None:
        """Authenticate only where it is asked for: any other server would keep the password as a cached item."""
        if self.user is None:
            return
        try:
            client.version()
        except MemcacheClientError as error:
            if "unauthenticated" not in _said(error):
                raise
            password = self.secrets.resolve(self.facts["password"])
            client.set("auth", f"{self.user} {password.reveal()}", noreply=False)

    def _trust(self) -> ssl.SSLContext:
        try:
            return ssl.create_default_context(cafile=str(self.ca) if self.ca else None)
        except OSError as error:
            raise PermanentError(f"the certificate authority {self.ca} cannot be read: {error.strerror}") from None


def hit_ratio(stats: Mapping[str, Any]) -> float | None:
    """Hits of all reads since the start, 0 to 1; None when nobody has read."""
    reads = stats["get_hits"] + stats["get_misses"]
    return round(stats["get_hits"] / reads, 4) if reads else None


def _said(error: Exception) -> str:
    """The server's words, or what went wrong on the way; pymemcache gives bytes."""
    first = error.args[0] if error.args else ""
    text = first.decode(errors="replace") if isinstance(first, bytes) else str(error)
    return text[:200] or type(error).__name__
