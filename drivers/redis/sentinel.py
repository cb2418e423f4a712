"""A group of Sentinels that watches one primary.

What each of them says is read separately: a group that disagrees, or has lost its majority, cannot fail over, and only
asking all of them shows it. Source: the SENTINEL command (valkey.io/topics/sentinel).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import redis

from drivers import names
from drivers.base import Driver, Observation
from drivers.discovery import Listing
from drivers.errors import DriverError, InvalidInput, PermanentError, TransientError
from drivers.redis import discovery
from drivers.redis.client import Target, client_for, target, told, translated
from drivers.redis.failover import FailoverAct

_TROUBLE = frozenset({"s_down", "o_down", "disconnected"})


@dataclass(frozen=True, slots=True)
class Replica:
    """One Sentinel's picture of one replica; `role` and `link` are what the replica said of itself last."""

    address: str
    flags: str
    role: str
    link: str
    priority: int
    offset: int

    @property
    def down(self) -> bool:
        """Whether this Sentinel believes that it is gone."""
        return "s_down" in self.flags

    @property
    def ready(self) -> bool:
        """Whether it could take over: it answers, follows with its link up, and is not barred by priority 0."""
        trouble = _TROUBLE.intersection(self.flags.split(","))
        return not trouble and (self.role, self.link) == ("slave", "ok") and self.priority > 0


@dataclass(frozen=True, slots=True)
class View:
    """One Sentinel's answer: the primary it believes in, its flags, its replicas, and whether quorum stands."""

    sentinel: str
    primary: str | None
    flags: str
    quorum: int
    quorum_ok: bool
    replicas: tuple[Replica, ...]
    error: str | None
    role: str = "master"

    @property
    def failing_over(self) -> bool:
        """Whether this Sentinel leads a failover now."""
        return "failover_in_progress" in self.flags


class Sentinel(Driver):
    """Facts: `sentinels` ([[host, port], …]), `master` (the group's name), `password` if the Sentinels want one.

    With `server_password` (and `server_user`) the servers themselves are asked for their role after a failover;
    without, what the Sentinels report of them is believed. `tls` and `ca` count for both.
    """

    kind: ClassVar[str] = "sentinel"
    required: ClassVar[tuple[str, ...]] = ("sentinels", "master")
    acts = (FailoverAct(),)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.master = names.name(self.facts["master"], "Sentinel group")
        try:
            self.sentinels = [(names.host(host), names.port(port)) for host, port in self.facts["sentinels"]]
        except (TypeError, ValueError):
            raise InvalidInput("sentinels must be a list of [host, port]") from None
        if not self.sentinels:
            raise InvalidInput("sentinels must name at least one Sentinel")

    def client(self, target: Target) -> redis.Redis:
        """A client of a Sentinel or a server that is not yet connected."""
        return client_for(target)

    @contextmanager
    def connected(self, host: str, port: int, *, anonymous: bool = False) -> Iterator[redis.Redis]:
        """A client of one Sentinel."""
        place = target(host, port, {name: self.facts[name] for name in self.facts if name != "database"}, self.secrets)
        with translated(self.client(place.anonymous() if anonymous else place), place.address) as client:
            yield client

    def views(self) -> list[View]:
        """The answer of every Sentinel, in the order of the facts. One that does not answer has an `error`."""
        return [self._view(host, port) for host, port in self.sentinels]

    def primary(self) -> str:
        """`host:port` of the primary that most Sentinels name; `TransientError` when no majority of them agrees."""
        return self.agreed(self.views())

    def agreed(self, views: list[View]) -> str:
        """The primary that most of all Sentinels name in `views`; `TransientError` when there is none."""
        named = Counter(view.primary for view in views if view.primary)
        address, votes = named.most_common(1)[0] if named else (None, 0)
        if address is None or votes * 2 <= len(views):
            raise TransientError(f"the Sentinels of {self.master} do not agree on a primary")
        return address

    def failover(self, sentinel: str, *, coordinated: bool) -> bool:
        """Ask one Sentinel (`host:port`) to promote a replica; False when it is at it already.

        `TransientError` when it sees no replica fit for it at this moment (-NOGOODSLAVE).
        """
        host, _, port = sentinel.rpartition(":")
        with self._admitted(host, int(port)) as client:
            try:
                told(client, "SENTINEL", "FAILOVER", self.master, *(["COORDINATED"] if coordinated else []))
            except redis.ResponseError as error:
                if str(error).startswith("INPROG"):
                    return False
                raise
        return True

    def versions(self) -> list[int]:
        """The major version of each Sentinel that answers; 0 for Redis, whose Sentinels know no coordinated way."""
        found = []
        for host, port in self.sentinels:
            with self._admitted(host, port) as client:
                info: Any = client.info("server")
                found.append(int(str(info.get("valkey_version", "0")).partition(".")[0]))
        return found

    def role_of(self, address: str) -> str | None:
        """`master` or `slave`, as the server at `address` says itself; None when no password for it is known."""
        if "server_password" not in self.facts:
            return None
        host, _, port = address.rpartition(":")
        facts = {name: self.facts[name] for name in ("tls", "ca") if name in self.facts}
        facts["password"] = self.facts["server_password"]
        if "server_user" in self.facts:
            facts["user"] = self.facts["server_user"]
        place = target(host, int(port), facts, self.secrets)
        with translated(self.client(place), address) as client:
            return str(told(client, "ROLE")[0])

    def observe(self) -> Observation:
        """Agreed primary, quorum, replicas, and each Sentinel's own view.

        Healthy means: a majority names the same primary, none of them believes it down, and quorum stands.
        """
        views = self.views()
        answered = [view for view in views if view.error is None]
        if not answered:
            return self.down(f"no Sentinel answers: {views[0].error}")
        facts: dict[str, Any] = {
            "master": self.master,
            "quorum": answered[0].quorum,
            "quorum_ok": all(view.quorum_ok for view in answered),
            "failing_over": any(view.failing_over for view in answered),
            "sentinels": [
                {"address": view.sentinel, "primary": view.primary, "flags": view.flags, "error": view.error}
                for view in views
            ],
            "replicas": [
                {"address": one.address, "flags": one.flags, "link": one.link, "ready": one.ready}
                for one in answered[0].replicas
            ],
        }
        readings = {"sentinels": float(len(answered)), "replicas": float(len(answered[0].replicas))}
        try:
            facts["primary"] = self.agreed(views)
        except TransientError as error:
            facts["error"] = str(error)
        down = any("down" in view.flags for view in answered)
        return self.seen("primary" in facts and facts["quorum_ok"] and not down, facts, readings)

    def discover(self) -> list[Listing]:
        """The group and the servers it watches (see `drivers.redis.discovery`)."""
        return discovery.sentinels(self)

    def _view(self, host: str, port: int) -> View:
        where = f"{host}:{port}"
        try:
            with self._admitted(host, port) as client:
                return self._ask(client, where)
        except DriverError as error:
            return View(where, None, "", 0, False, (), str(error))

    @contextmanager
    def _admitted(self, host: str, port: int) -> Iterator[redis.Redis]:
        """A client that may ask.

        A Sentinel's own password is optional and independent of the servers'; it is only sent when asked for.
        """
        anonymous = True
        if "password" in self.facts:
            try:
                with self.connected(host, port, anonymous=True) as client:
                    client.ping()
            except PermanentError:
                anonymous = False
        with self.connected(host, port, anonymous=anonymous) as client:
            yield client

    def _ask(self, client: redis.Redis, where: str) -> View:
        state: Any = client.sentinel_master(self.master)
        replicas: Any = client.sentinel_slaves(self.master)
        return View(
            sentinel=where,
            primary=f"{state['ip']}:{state['port']}",
            flags=str(state["flags"]),
            quorum=int(state["quorum"]),
            quorum_ok=self._quorum(client),
            replicas=tuple(_replica(one) for one in replicas),
            error=None,
            role=str(state["role-reported"]),
        )

    def _quorum(self, client: redis.Redis) -> bool:
        """Ask in separate words: the library's own parser takes the sentence after `OK` for a refusal."""
        try:
            return str(told(client, "SENTINEL", "CKQUORUM", self.master)).startswith("OK")
        except redis.ResponseError:  # NOQUORUM …
            return False


def _replica(one: Any) -> Replica:
    return Replica(
        address=f"{one['ip']}:{one['port']}",
        flags=str(one["flags"]),
        role=str(one["role-reported"]),
        link=str(one["master-link-status"]),
        priority=int(one["slave-priority"]),
        offset=int(one["slave-repl-offset"]),
    )
