"""One MongoDB server: its role, its replica set as it sees it, connections, and how far its oplog reaches back."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, ClassVar

from pymongo.errors import OperationFailure

from drivers import names
from drivers.base import Driver, Observation
from drivers.discovery import Listing
from drivers.errors import InvalidInput, TransientError
from drivers.mongodb import client as connection
from drivers.mongodb import discovery, replica_set
from drivers.mongodb.acts import Freeze, StepDown

_NOT_READABLE = frozenset({connection.UNAUTHORIZED, connection.NO_SUCH_COMMAND, *connection.NO_REPLICATION})


class MongoDB(Driver):
    """Facts: `host`, `port`, and where they apply `replica_set` (its name), `user` and `password` (a secret reference).

    `tls` is on unless it is false; `ca` names a file of certificates where a private authority signed the server's.
    """

    kind: ClassVar[str] = "mongodb"
    required: ClassVar[tuple[str, ...]] = ("host", "port")
    acts = (StepDown(), Freeze())
    simulated: ClassVar[str] = (
        "Elections, member states and lag were tried on a simulator of the wire protocol with three members; "
        "connections, users, statistics and the oplog on SecantusDB; nothing on a MongoDB server."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.host = names.host(self.facts["host"])
        self.port = names.port(self.facts["port"])
        self.set_name = self._named("replica_set", "replica set")
        self.user = self._named("user", "database user")
        self.tls = self.facts.get("tls", True)
        if not isinstance(self.tls, bool):
            raise InvalidInput("tls must be true or false")
        self.authority = names.path(self.facts["ca"]) if self.facts.get("ca") and self.tls else None
        self.where = f"{self.host}:{self.port}"

    def _named(self, fact: str, what: str) -> str | None:
        value = self.facts.get(fact)
        return None if value is None else names.name(value, what)

    def client(self, read_seconds: float) -> connection.Client:
        """A new client of this member."""
        password = self.secrets.optional(self.facts.get("password"))
        credentials = (self.user, password) if self.user and password else None
        return connection.make(
            self.host, self.port, credentials, tls=self.tls, authority=self.authority, read_seconds=read_seconds
        )

    @contextmanager
    def connected(self, read_seconds: float = connection.READ_SECONDS) -> Iterator[connection.Client]:
        """A client whose failures are ours, closed at the end."""
        with connection.translated(self.where):
            client = self.client(read_seconds)
            try:
                yield client
            finally:
                client.close()

    def members(self) -> list[dict[str, Any]]:
        """The replica set as this member sees it (`drivers.mongodb.replica_set`)."""
        with self.connected() as client:
            status = client.admin.command("replSetGetStatus")
            return replica_set.members(status, self._optional(client, "replSetGetConfig").get("config"))

    def observe(self) -> Observation:
        """Role, members with their states and lag, the oplog's window, connections, version, last election.

        Healthy means: it answers and does its work, and its replica set (the declared one) has a primary. What the
        account may not read is None and named in `unreadable`.
        """
        begun = time.monotonic()
        facts: dict[str, Any] = {"address": self.where, "unreadable": []}
        readings: dict[str, float] = {}
        try:
            with self.connected() as client:
                hello = client.admin.command("hello")
                readings["latency_seconds"] = time.monotonic() - begun
                asked = {name: self._optional(client, name) for name in ("serverStatus", "replSetGetStatus")}
                asked["config"] = self._optional(client, "replSetGetConfig").get("config", {})
                window = self._oplog_seconds(client) if hello.get("setName") else None
        except TransientError as error:
            return self.down(error)
        facts["unreadable"] = [name for name, answer in asked.items() if not answer and hello.get("setName")]
        self._server(asked["serverStatus"], facts, readings)
        healthy = self._in_its_set(hello, asked, facts, readings)
        facts["oplog_window_seconds"] = window
        if window is not None:
            readings["oplog_window_seconds"] = window
        return self.seen(healthy, facts, readings, asked["serverStatus"].get("version"))

    def discover(self) -> list[Listing]:
        """The server and its replica set (see `drivers.mongodb.discovery`)."""
        return discovery.discover(self)

    @staticmethod
    def _optional(client: connection.Client, command: str) -> dict[str, Any]:
        """The answer; empty when the account may not ask, or there is nothing to be asked."""
        try:
            return dict(client.admin.command(command))
        except OperationFailure as error:
            if error.code in _NOT_READABLE:
                return {}
            raise

    @staticmethod
    def _oplog_seconds(client: connection.Client) -> float | None:
        """From the oldest to the newest entry: for so long a member may be away and still catch up."""
        try:
            ends = [
                client.local["oplog.rs"].find_one({}, {"ts": 1}, sort=[("$natural", way)], max_time_ms=2000)
                for way in (1, -1)
            ]
        except OperationFailure as error:
            if error.code in _NOT_READABLE:
                return None
            raise
        return float(ends[1]["ts"].time - ends[0]["ts"].time) if ends[0] and ends[1] else None

    @staticmethod
    def _server(status: Mapping[str, Any], facts: dict[str, Any], readings: dict[str, float]) -> None:
        connections = status.get("connections", {})
        facts["storage_engine"] = status.get("storageEngine", {}).get("name")
        for name, value in (
            ("connections", connections.get("current")),
            ("connections_available", connections.get("available")),
            ("uptime_seconds", status.get("uptime")),
        ):
            if value is not None:
                readings[name] = float(value)

    def _in_its_set(
        self, hello: Mapping[str, Any], asked: Mapping[str, Any], facts: dict[str, Any], readings: dict[str, float]
    ) -> bool:
        """Add what is known of the replica set; True when all is well with it."""
        facts["replica_set"] = hello.get("setName")
        if self.set_name is not None and self.set_name != facts["replica_set"]:
            facts["error"] = f"it belongs to the replica set {facts['replica_set']}, not to {self.set_name}"
        status = asked["replSetGetStatus"]
        if not facts["replica_set"]:
            facts["role"] = "standalone"
            return "error" not in facts
        found = replica_set.members(status, asked["config"]) if status else []
        own = replica_set.itself(found)
        facts |= {
            "role": (own["state"] if own else _role(hello)).lower(),
            "primary": replica_set.primary(found) if found else hello.get("primary"),
            "members": found,
            "election_at": _elected(status),
        }
        if found:
            readings["members"] = float(len(found))
            readings["members_up"] = float(sum(each["up"] for each in found))
            self._lag(found, own, readings)
        if facts["primary"] is None:
            facts.setdefault("error", "the replica set has no primary: nothing can be written")
        return facts["role"] in replica_set.WORKING and "error" not in facts

    @staticmethod
    def _lag(found: list[dict[str, Any]], own: dict[str, Any] | None, readings: dict[str, float]) -> None:
        """A primary's reading is that of the member furthest behind, another member's is its own."""
        shown = found if own is None or own["state"] == "PRIMARY" else [own]
        lags = [each["lag_seconds"] for each in shown if each["lag_seconds"] is not None]
        if lags:
            readings["lag_seconds"] = max(lags)


def _role(hello: Mapping[str, Any]) -> str:
    if hello.get("isWritablePrimary"):
        return "primary"
    return "secondary" if hello.get("secondary") else "arbiter" if hello.get("arbiterOnly") else "unknown"


def _elected(status: Mapping[str, Any]) -> str | None:
    dates = [each["electionDate"] for each in status.get("members", []) if "electionDate" in each]
    return max(dates).astimezone(UTC).isoformat() if dates and isinstance(dates[0], datetime) else None
