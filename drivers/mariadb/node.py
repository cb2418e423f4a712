"""One server of a cluster: how to reach it and its peers. Everything else of this package stands on this."""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import cached_property, partial
from pathlib import Path
from typing import Any, ClassVar, Self

from drivers import names
from drivers.base import Driver
from drivers.errors import DriverError, InvalidInput, PermanentError
from drivers.mariadb import client, copying
from drivers.mariadb import state as states
from drivers.mariadb.client import Session
from drivers.secret import Secret


def address(value: object) -> tuple[str, int]:
    """Host and port of `host:port`."""
    host, _, port = value.rpartition(":") if isinstance(value, str) else ("", "", "")
    if not (port.isascii() and port.isdigit() and len(port) <= 5):
        raise InvalidInput(f"not a valid host:port: {repr(value)[:80]}")
    return names.host(host), names.port(int(port))


class Node(Driver):
    """Facts: `host`, `port`, `user`, and `password` as a secret reference.

    Optional: `peers` (`["host:port", …]`, the cluster's other members as its servers see them; the same account works
    there), `ca` (the authority that signs the servers' certificates), `tls` (default: everywhere but on loopback),
    `replication_user`, `replication_password` and `replication_ca` (a path on the database host), with which a
    replica follows, `rebuild_user` and `rebuild_password` (an account that may replace all data), and `dump_program`
    where `mariadb-dump` is not on the path.
    """

    kind: ClassVar[str] = "mariadb"
    required: ClassVar[tuple[str, ...]] = ("host", "port", "user", "password")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.host = names.host(self.facts["host"])
        self.port = names.port(self.facts["port"])
        self.user = names.name(self.facts["user"], "database user")
        peers = self.facts.get("peers", [])
        if not isinstance(peers, list | tuple):
            raise InvalidInput("peers must be a list of host:port")
        self.peers = tuple(f"{host}:{port}" for host, port in map(address, peers))
        self._tls = self.facts.get("tls", "ca" in self.facts or not _loopback(self.host))
        if not isinstance(self._tls, bool):
            raise InvalidInput("tls must be true or false")

    @property
    def where(self) -> str:
        """Its own `host:port`."""
        return f"{self.host}:{self.port}"

    def link(self, user: str, password: Secret, seconds: float) -> Any:
        """A connection as of DB-API 2.0. This is all that a simulated server replaces."""
        return client.link(self.host, self.port, user, password, self._trust, seconds)

    @contextmanager
    def session(self, seconds: float | None = None, *, role: str = "") -> Iterator[Session]:
        """A session whose answers may take `seconds`; with `role` as the account `<role>_user`."""
        user, password = self.account(role) if role else (self.user, self.secrets.resolve(self.facts["password"]))
        link = partial(self.link, user, password, seconds or client.READ_SECONDS)
        with client.connected(self.where, user, link) as session:
            yield session

    def account(self, role: str) -> tuple[str, Secret]:
        """Name and password of the account that the facts give for `replication` or `rebuild`."""
        if not self.knows(role):
            raise PermanentError(f"the connection of {self.where} lacks {role}_user and {role}_password")
        user = names.name(self.facts[f"{role}_user"], f"{role} user")
        return user, self.secrets.resolve(self.facts[f"{role}_password"])

    def knows(self, role: str) -> bool:
        """Whether the facts give an account for `role`."""
        return f"{role}_user" in self.facts and f"{role}_password" in self.facts

    def state(self) -> states.State:
        """What the server says of itself now."""
        with self.session() as session:
            return states.read(session)

    def peer(self, where: str) -> Self:
        """The driver of another member; `InvalidInput` when the facts do not name it."""
        if where not in self.peers:
            raise InvalidInput(f"{where[:80]!r} is not among the peers of {self.where}")
        host, port = address(where)
        others = [one for one in (*self.peers, self.where) if one != where]
        return type(self)({**self.facts, "host": host, "port": port, "peers": others}, self.secrets)

    def others(self) -> dict[str, states.State | str]:
        """The state of each peer, or in words why it is not known."""
        found: dict[str, states.State | str] = {}
        for where in self.peers:
            try:
                found[where] = self.peer(where).state()
            except DriverError as error:
                found[where] = str(error)
        return found

    def dumper(self) -> Path:
        """The program that copies; `PermanentError` when it is not here."""
        return copying.program(self.facts.get("dump_program"))

    def dump(self, databases: list[str]) -> AbstractContextManager[Iterator[str]]:
        """The lines of a consistent copy of `databases`, taken with the account for rebuilding."""
        user, password = self.account("rebuild")
        options = copying.option_file(self.host, self.port, user, password, self.facts.get("ca"), self._tls)
        return copying.dumped(self.dumper(), options, databases)

    @cached_property
    def _trust(self) -> ssl.SSLContext | None:
        """How servers prove themselves; read once, since the system's authorities take 30 ms each time."""
        if not self._tls:
            return None
        path = names.path(self.facts["ca"]) if "ca" in self.facts else None
        try:
            return ssl.create_default_context(cafile=path)
        except (OSError, ssl.SSLError):
            raise PermanentError(f"the authority at {path} cannot be read") from None


def _loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
