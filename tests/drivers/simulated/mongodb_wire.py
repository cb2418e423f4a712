"""A simulator of a MongoDB replica set: three members that share one scripted state, and the wire protocol before it.

It knows the commands that the driver sends and answers them in the shape of the manual; it keeps no data, and an
election is over after a number of looks, not of seconds. What passes here is only known to work on this simulator.
Protocol: mongodb.com/docs/manual/reference/mongodb-wire-protocol (OP_MSG, and OP_QUERY for the first greeting).
"""

from __future__ import annotations

import socketserver
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar

import bson

SIMULATED: dict[str, Any] = {}

_HEADER = struct.Struct("<iiii")
_OP_REPLY, _OP_QUERY, _OP_MSG = 1, 2004, 2013
_CODES = {"PRIMARY": 1, "SECONDARY": 2, "RECOVERING": 3, "ARBITER": 7, "(not reachable/healthy)": 8}
START = datetime(2026, 3, 1, 12, tzinfo=UTC)


class Refused(Exception):
    def __init__(self, code: int, name: str, message: str) -> None:
        super().__init__(message)
        self.answer = {"ok": 0.0, "errmsg": message, "code": code, "codeName": name}


class Member:
    """One member: its state, its settings and how far it is behind."""

    def __init__(self, name: str, state: str = "SECONDARY") -> None:
        self.name, self.state = name, state
        self.lag_seconds, self.frozen_seconds, self.stepped_down = 0.0, 0, False
        self.settings: dict[str, Any] = {"priority": 1.0, "votes": 1, "hidden": False, "secondaryDelaySecs": 0}

    @property
    def up(self) -> bool:
        return self.state != "(not reachable/healthy)"

    def electable(self) -> bool:
        able = self.settings["priority"] and not self.frozen_seconds and not self.stepped_down
        return bool(able) and self.state == "SECONDARY" and self.lag_seconds <= 10


class ReplicaSet:
    """The state of all members. `forbidden` commands are answered as to an account without the right."""

    def __init__(self, names: list[str], name: str = "rs0") -> None:
        self.name = name
        self.members = {each: Member(each) for each in names}
        self.members[names[0]].state = "PRIMARY"
        self.elected_at, self.term = START, 1
        self.looks, self.looks_until_election = 1, 0
        self.forbidden: set[str] = set()
        self.closes_on_step_down = False
        self.seen: list[tuple[str, str]] = []
        self._lock = threading.Lock()

    def primary(self) -> str | None:
        return next((each.name for each in self.members.values() if each.state == "PRIMARY"), None)

    def answer(self, member: str, command: dict[str, Any]) -> dict[str, Any]:
        """What `member` says to `command`, an error as the server words it."""
        with self._lock:
            self.seen.append((member, next(iter(command))))
            try:
                return {**self._handler(next(iter(command)))(self.members[member], command), "ok": 1.0}
            except Refused as refused:
                return refused.answer

    def _handler(self, name: str) -> Callable[..., dict[str, Any]]:
        if name in self.forbidden:
            raise Refused(13, "Unauthorized", f"not authorized on admin to execute command {name}")
        handler = getattr(self, f"_{name.lower()}", None)
        if handler is None:
            raise Refused(59, "CommandNotFound", f"no such command: '{name}'")
        return handler

    def _elect(self) -> None:
        """An election that is under way comes nearer with every look at the set."""
        if self.primary() is not None:
            return
        self.looks_until_election -= 1
        able = [each for each in self.members.values() if each.electable()]
        if able and self.looks_until_election <= 0:
            chosen = max(able, key=lambda each: (each.settings["priority"], -each.lag_seconds))
            chosen.state = "PRIMARY"
            self.term += 1
            self.elected_at += timedelta(minutes=1)

    def _ping(self, *_: Any) -> dict[str, Any]:
        return {}

    def _endsessions(self, *_: Any) -> dict[str, Any]:
        return {}

    def _hello(self, member: Member, _: Any) -> dict[str, Any]:
        leader, leads = self.primary(), member.state == "PRIMARY"
        known = {"primary": leader} if leader else {}
        role = {"isWritablePrimary": leads, "ismaster": leads, "secondary": member.state == "SECONDARY"}
        limits = {"maxBsonObjectSize": 16777216, "maxMessageSizeBytes": 48000000, "maxWriteBatchSize": 100000}
        where = {"setName": self.name, "hosts": list(self.members), "me": member.name, "setVersion": 1}
        return where | known | role | limits | {"minWireVersion": 0, "maxWireVersion": 21, "helloOk": True}

    _ismaster = _hello

    def _serverstatus(self, *_: Any) -> dict[str, Any]:
        counts = {"current": 7, "available": 51193, "totalCreated": 40}
        engine = {"name": "simulated"}
        return {"version": "7.0.0", "uptime": 3600.0, "connections": counts, "storageEngine": engine}

    def _replsetgetstatus(self, asked: Member, _: Any) -> dict[str, Any]:
        self._elect()
        members = [self._status(each, itself=each is asked) for each in self.members.values()]
        return {"set": self.name, "date": START, "myState": _CODES[asked.state], "term": self.term, "members": members}

    def _status(self, member: Member, *, itself: bool) -> dict[str, Any]:
        written = START - timedelta(seconds=member.lag_seconds) if member.up else datetime(1970, 1, 1, tzinfo=UTC)
        seen = {"name": member.name, "health": float(member.up), "state": _CODES[member.state]}
        seen |= {"stateStr": member.state, "syncSourceHost": (self.primary() or "") if not itself else ""}
        if member.state != "ARBITER":
            seen["optimeDate"] = written
        if member.state == "PRIMARY":
            seen["electionDate"] = self.elected_at
        return {**seen, "self": True} if itself else seen

    def _replsetgetconfig(self, *_: Any) -> dict[str, Any]:
        members = [{"host": each.name, **each.settings} for each in self.members.values()]
        return {"config": {"_id": self.name, "version": 1, "members": members}}

    def _replsetstepdown(self, member: Member, command: dict[str, Any]) -> dict[str, Any]:
        if member.state != "PRIMARY":
            raise Refused(10107, "NotWritablePrimary", "not primary so can't step down")
        if not any(each.electable() for each in self.members.values()):
            raise Refused(262, "ExceededTimeLimit", "No electable secondaries caught up")
        member.state, member.stepped_down = "SECONDARY", True
        self.looks_until_election = self.looks
        if self.closes_on_step_down:
            raise ConnectionAbortedError
        return {}

    def _replsetfreeze(self, member: Member, command: dict[str, Any]) -> dict[str, Any]:
        if member.state == "PRIMARY":
            raise Refused(95, "NotSecondary", "cannot freeze node when primary or running for election")
        member.frozen_seconds = int(command["replSetFreeze"])
        return {}

    def _find(self, _: Member, command: dict[str, Any]) -> dict[str, Any]:
        """Only the two ends of the oplog, two days apart."""
        newest = command["sort"]["$natural"] == -1
        at = START if newest else START - timedelta(days=2)
        entry = {"ts": bson.Timestamp(int(at.timestamp()), 1)}
        return {"cursor": {"id": 0, "ns": "local.oplog.rs", "firstBatch": [entry]}}


class _Talk(socketserver.BaseRequestHandler):
    """One connection: a message in, a message out."""

    server: Listener

    def handle(self) -> None:
        try:
            while header := self._exactly(_HEADER.size):
                length, number, _, operation = _HEADER.unpack(header)
                body = self._exactly(length - _HEADER.size)
                self._reply(number, operation, body)
        except (OSError, struct.error):
            pass

    def _reply(self, number: int, operation: int, body: bytes) -> None:
        if operation == _OP_QUERY:
            start = body.index(b"\0", 4) + 1 + 8
            answer = self.server.answer(bson.decode(body[start:]))
            kind, content = _OP_REPLY, struct.pack("<iqii", 8, 0, 0, 1) + bson.encode(answer)
        else:
            answer = self.server.answer(bson.decode(body[5:]))  # flags and the kind of the one section
            kind, content = _OP_MSG, b"\0\0\0\0\0" + bson.encode(answer)
        self.request.sendall(_HEADER.pack(_HEADER.size + len(content), 0, number, kind) + content)

    def _exactly(self, size: int) -> bytes:
        parts = b""
        while len(parts) < size and (part := self.request.recv(size - len(parts))):
            parts += part
        return parts


class Listener(socketserver.ThreadingTCPServer):
    """One member on its port."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close: ClassVar[bool] = False

    def __init__(self, replica_set: ReplicaSet, name: str) -> None:
        self.replica_set, self.name = replica_set, name
        super().__init__(("127.0.0.1", int(name.rpartition(":")[2])), _Talk)

    def answer(self, command: dict[str, Any]) -> dict[str, Any]:
        return self.replica_set.answer(self.name, command)

    def handle_error(self, *_: object) -> None:
        pass


@contextmanager
def listening(replica_set: ReplicaSet) -> Iterator[ReplicaSet]:
    """All members answering on the ports in their names."""
    listeners = [Listener(replica_set, name) for name in replica_set.members]
    threads = [threading.Thread(target=each.serve_forever, args=(0.05,), daemon=True) for each in listeners]
    for thread in threads:
        thread.start()
    try:
        yield replica_set
    finally:
        for listener, thread in zip(listeners, threads, strict=True):
            listener.shutdown()
            listener.server_close()
            thread.join()
