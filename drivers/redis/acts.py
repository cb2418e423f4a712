"""What can be done to one server: set a parameter, delete the keys below a prefix."""

from __future__ import annotations

import json
import time
import uuid
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated, Any

import redis
from msgspec import Meta

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.errors import InvalidInput, TransientError
from drivers.redis.settings import Name, canonical

if TYPE_CHECKING:
    from drivers.redis.server import Redis

BATCH = 500
"""Keys asked for at once: short enough that other clients hardly wait (SCAN blocks for one batch at a time)."""
COUNT_SECONDS = 10.0
FLUSH_SECONDS = 480.0
MARK = "edye-portal:flushed:"
MARK_SECONDS = 86_400


class SetParameter(Parameters):
    name: Annotated[Name, Meta(title="Parameter")]
    value: Annotated[
        str,
        Meta(title="Value", description="Sizes may have a unit: 512mb, 2gb.", min_length=1, max_length=40),
    ]


class SetParameterAct(Act["Redis", SetParameter]):
    """CONFIG SET of one parameter of the allow-list. The configuration file is left alone."""

    name = "set-parameter"
    title = "Set {name} to {value}"
    summary = (
        "Changes one parameter of the running server at once, without a restart. The configuration file stays as it "
        "is, so the change is gone after a restart. A lower memory limit may evict keys."
    )
    risk = Risk.MEDIUM
    Parameters = SetParameter
    undo_title = "Set the parameter back to its former value"

    def check(self, params: SetParameter) -> None:
        canonical(params.name, params.value)

    def conditions(self, driver: Redis, params: SetParameter) -> list[Condition]:
        if params.name not in _GUARDED or (value := int(canonical(params.name, params.value))) == 0:
            return []
        text, seen_as, at_least = _GUARDED[params.name]
        info = driver.info()
        if params.name == "min-replicas-to-write" and info["role"] != "master":
            return []  # counts only once this server is a primary
        seen = int(info[seen_as])
        holds = value >= seen if at_least else value <= seen
        return [Condition(text, holds, f"{seen_as} is {seen}")]

    def before(self, driver: Redis, params: SetParameter) -> Report:
        return {"name": params.name, "value": driver.setting(params.name)}

    def sends(self, driver: Redis, params: SetParameter, before: Facts) -> list[str]:
        return [f"CONFIG SET {params.name} {canonical(params.name, params.value)}"]

    def done(self, driver: Redis, params: SetParameter, before: Facts) -> bool:
        return driver.setting(params.name) == canonical(params.name, params.value)

    def do(self, driver: Redis, params: SetParameter, before: Facts, call: Call) -> Report:
        wanted = canonical(params.name, params.value)
        self._set(driver, params.name, wanted, call)
        return {"name": params.name, "value": wanted, "former": before["value"]}

    def undo(self, driver: Redis, params: SetParameter, before: Facts, call: Call) -> Report:
        now = driver.setting(params.name)
        if now not in (before["value"], canonical(params.name, params.value)):
            call.log(f"{params.name} was set to {now} by somebody else since and is left alone")
            return {"name": params.name, "value": now, "changed_by_another": True}
        self._set(driver, params.name, before["value"], call)
        return {"name": params.name, "value": before["value"]}

    @staticmethod
    def _set(driver: Redis, name: str, value: str, call: Call) -> None:
        if driver.setting(name) == value:
            return
        call.check()
        with driver.connected() as client:
            client.config_set(name, value)
        call.log(f"{name} is {value}")


_GUARDED = {
    "maxmemory": (
        "The limit is not below what is in use, so that nothing is evicted or refused at once",
        "used_memory",
        True,
    ),
    "maxclients": ("The limit is not below the clients connected now", "connected_clients", True),
    "min-replicas-to-write": ("That many replicas are connected, so that writes go on", "connected_slaves", False),
}


class FlushPrefix(Parameters):
    prefix: Annotated[
        str,
        Meta(title="Prefix", description="Taken literally: * and ? have no meaning.", min_length=1, max_length=200),
    ]
    confirm: Annotated[str, Meta(title="The prefix again", min_length=1, max_length=200)]


class FlushPrefixAct(Act["Redis", FlushPrefix]):
    """Delete keys by literal prefix, in batches.

    Applications write such keys again while it runs, so "no key is left" would never be seen on a busy cache. When all
    batches are through, a mark with the run's own number is left for a day, and that is what `done` looks for.
    """

    name = "flush-prefix"
    title = "Delete every key that begins with {prefix}"
    summary = (
        "Deletes the keys of this database whose names begin with the prefix, in small batches while the server goes "
        "on serving. Users notice what an empty cache means for them: slower pages, or a lost session or queue when "
        "the prefix holds such things. A mark that the deletion is through stays in the database for a day."
    )
    risk = Risk.HIGH
    Parameters = FlushPrefix
    why_no_undo = "Deleted keys are gone; a cache fills again by itself."
    timeout_seconds = 600

    def check(self, params: FlushPrefix) -> None:
        if params.confirm != params.prefix:
            raise InvalidInput("the prefix was not repeated as it is")

    def conditions(self, driver: Redis, params: FlushPrefix) -> list[Condition]:
        info = driver.info()
        role, mode = str(info["role"]), str(info.get("server_mode") or info.get("redis_mode"))
        return [
            Condition("It is a primary: replicas refuse to write", role == "master", f"its role is {role}"),
            Condition("It is no part of a cluster, whose nodes are flushed one by one", mode != "cluster", mode),
        ]

    def before(self, driver: Redis, params: FlushPrefix) -> Report:
        """How many keys are concerned (their names stay unread: they may hold session numbers)."""
        matching, whole = 0, True
        with driver.connected(decode=False) as client:
            limit = time.monotonic() + COUNT_SECONDS
            for batch in batches(client, params.prefix):
                matching += len(batch)
                if time.monotonic() > limit:
                    whole = False
                    break
            keys = int(client.dbsize())
        return {"mark": uuid.uuid4().hex, "matching": matching, "counted_all": whole, "keys": keys}

    def sends(self, driver: Redis, params: FlushPrefix, before: Facts) -> list[str]:
        pattern = escaped(params.prefix).decode()
        return [
            f"SET {MARK}{before['mark']} running EX {MARK_SECONDS}",
            f"SCAN … MATCH {pattern} COUNT {BATCH}",
            f"UNLINK the keys of each batch ({before['matching']} now)",
            f"SET {MARK}{before['mark']} done EX {MARK_SECONDS}",
        ]

    def done(self, driver: Redis, params: FlushPrefix, before: Facts) -> bool:
        with driver.connected(decode=False) as client:
            return _through(client, before) is not None or not any(batches(client, params.prefix))

    def do(self, driver: Redis, params: FlushPrefix, before: Facts, call: Call) -> Report:
        limit = time.monotonic() + FLUSH_SECONDS
        with driver.connected(decode=False) as client:
            if (deleted := _through(client, before)) is not None:
                return {"deleted": deleted}
            call.check()
            _mark(client, before, {"state": "running"})  # a user who may not write is refused before anything is lost
            deleted = 0
            for batch in batches(client, params.prefix):
                if time.monotonic() > limit:
                    raise TransientError(f"{deleted} keys are deleted and some are left: it goes on in a moment")
                call.check()
                deleted += int(client.unlink(*batch))
                call.progress(deleted, max(deleted, int(before["matching"])))
            call.check()
            _mark(client, before, {"state": "done", "deleted": deleted})
        call.log(f"{deleted} keys were deleted")
        return {"deleted": deleted}


def escaped(prefix: str) -> bytes:
    """The pattern that matches the names that begin with `prefix`, whatever signs are in it."""
    return b"".join(b"\\" + bytes([sign]) if sign in b"*?[]\\^" else bytes([sign]) for sign in prefix.encode()) + b"*"


def batches(client: redis.Redis, prefix: str) -> Iterator[list[bytes]]:
    """The names below `prefix`, batch by batch, none of them empty; our own marks are left out."""
    start, cursor = prefix.encode(), 0
    while True:
        found: Any = client.scan(cursor, match=escaped(prefix), count=BATCH)
        cursor, names = int(found[0]), found[1]
        batch = [name for name in names if name.startswith(start) and not name.startswith(MARK.encode())]
        if batch:
            yield batch
        if cursor == 0:
            return


def _mark(client: redis.Redis, before: Facts, content: Facts) -> None:
    client.set(f"{MARK}{before['mark']}", json.dumps(content), ex=MARK_SECONDS)


def _through(client: redis.Redis, before: Facts) -> int | None:
    """How many keys the run of this mark had deleted when it was through; None when it was not."""
    kept: Any = client.get(f"{MARK}{before['mark']}")
    content = json.loads(kept) if kept else {}
    return int(content["deleted"]) if content.get("state") == "done" else None
