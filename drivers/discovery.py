"""What a driver finds where it looks: things, what they are like, and whether that was all of it.

Plain values without models. `kind` and the names of `fields` are those of the inventory (`inventory.kinds`):
`software`, `version`, and the attributes of the kind by their own names; any other name is shown to people and
compared with nothing. No field ever holds a secret.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from ipaddress import ip_address
from typing import Any


@dataclass(frozen=True, slots=True)
class Relation:
    """`relation` is one of the inventory's: uses, routes, runs_on, replicates.

    `to` is how the other end is known: `tcp:host:port`, `id:<external id>`, or a connection key with the natural key of
    a thing below it (`production/us-central/pm2#process/api-a`).
    """

    relation: str
    to: str


@dataclass(frozen=True, slots=True)
class Thing:
    """One thing that was seen.

    `key` names it below the connection and stays the same between looks; empty for what the connection itself leads to.
    `external_id` is what it is called wherever it goes (a server's UUID, an ARN): it survives a change of the key.
    `addresses` are `tcp:host:port` under which other daemons speak of it. `claims` are keys of things of other
    connections that are parts of this one. A `detail` belongs to the thing around it: nobody has to declare it.
    """

    kind: str
    name: str
    key: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    external_id: str = ""
    addresses: tuple[str, ...] = ()
    relations: tuple[Relation, ...] = ()
    claims: tuple[str, ...] = ()
    detail: bool = False


@dataclass(frozen=True, slots=True)
class Listing:
    """Everything of one scope at one instant (aware, UTC).

    `scope` is a name within the source. Absence counts only where `complete` is true; `problems` say what is missing.
    `covers` is the beginning of the external ids that this scope would list. `relations` names the relations that the
    things of this scope would tell of, so that a missing one counts as well.
    """

    scope: str
    things: tuple[Thing, ...]
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    problems: tuple[str, ...] = ()
    covers: str = ""
    relations: tuple[str, ...] = ()

    @property
    def complete(self) -> bool:
        """Whether what is not listed is not there."""
        return not self.problems


def listing(
    scope: str, things: Iterable[Thing], problems: Iterable[object] = (), *, covers: str = "", tells: Iterable[str] = ()
) -> Listing:
    """A listing made now. A key that comes twice is a problem: nobody could tell the two apart."""
    found: dict[str, Thing] = {}
    said = [str(problem)[:300] for problem in problems]
    for thing in things:
        if thing.key in found:
            said.append(f"“{thing.key}” was listed twice"[:300])
        found.setdefault(thing.key, replace(thing, fields=known(thing.fields)))
    return Listing(scope, tuple(found.values()), problems=tuple(said), covers=covers, relations=tuple(tells))


def known(fields: dict[str, Any]) -> dict[str, Any]:
    """The fields that have a value: what could not be read is left out, never shown as empty."""
    return {name: value for name, value in fields.items() if value is not None}


def tcp(host: object, port: object, seen_from: str = "127.0.0.1") -> str:
    """The address of `host:port` as said by a daemon that is itself reached at `seen_from`.

    What a daemon on another host calls its own loopback is that host.
    """
    name = str(host).lower()
    return f"tcp:{seen_from.lower() if loopback(name) and not loopback(seen_from) else _plain(name)}:{port}"


def loopback(host: str) -> bool:
    """Whether the name means the host itself."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _plain(host: str) -> str:
    return "127.0.0.1" if loopback(host) else host
