"""What one listing of one scope changes in what is known of that scope.

Absence counts only after a complete listing: once missing is suspect, missing in two complete listings is gone. When
more than a few vanish at once, nothing vanishes until a person has looked. A partial listing only ever adds.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any, Protocol

PRESENT, SUSPECT, GONE = "present", "suspect", "gone"
GONE_AFTER = 2
"""So many complete listings in a row without it, and it is gone."""
Identity = tuple[str, str]
Fields = Mapping[str, Mapping[str, Any]]
"""Name → {"value", "changed_at" (ISO 8601)}."""


class ThingLike(Protocol):
    """What a driver has found (``drivers.discovery.Thing``)."""

    @property
    def key(self) -> str: ...
    @property
    def kind(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def external_id(self) -> str: ...
    @property
    def fields(self) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Brake:
    """Holds a run in which more than ``share`` or more than ``most`` of the known things vanish.

    One or two things are never a mass: below ``least`` it does not act, or a scope of ten would wait for each of them.
    """

    share: float = 0.05
    most: int = 20
    least: int = 3

    def holds(self, vanishing: int, known: int) -> bool:
        return vanishing > self.most or (vanishing >= self.least and vanishing > self.share * known)


BRAKE = Brake()


@dataclass(frozen=True)
class Seen:
    """One thing as far as this source knows it. ``missed`` counts complete listings in a row without it."""

    key: str
    kind: str
    name: str
    external_id: str
    fields: Fields
    state: str
    missed: int
    first_seen: datetime
    last_seen: datetime

    @property
    def identity(self) -> Identity:
        return self.key, self.external_id


@dataclass(frozen=True)
class Outcome:
    """``after`` is all that is known now, in the order it became known; ``moved`` maps identities that changed.

    ``vanishing`` names what is missing in a complete listing. With ``held`` nothing of it has been carried out.
    """

    after: tuple[Seen, ...]
    found: int
    new: tuple[Identity, ...] = ()
    changed: tuple[Identity, ...] = ()
    vanishing: tuple[Identity, ...] = ()
    gone: tuple[Identity, ...] = ()
    moved: Mapping[Identity, Identity] = field(default_factory=dict)
    held: bool = False


def take(
    known: Iterable[Seen],
    things: Sequence[ThingLike],
    at: datetime,
    *,
    complete: bool,
    last: datetime | None = None,
    brake: Brake = BRAKE,
) -> Outcome:
    """The state after a listing at ``at``. One that is not newer than the ``last`` one taken changes nothing."""
    before = tuple(known)
    if last is not None and at <= last:
        return Outcome(before, 0)
    pairs = match(before, things)
    met = {seen.identity: thing for seen, thing in pairs if seen is not None}
    fresh = [_first(thing, at) for seen, thing in pairs if seen is None]
    # What is gone stays gone until it is seen again.
    absent = [seen for seen in before if seen.identity not in met and seen.state != GONE]
    alive = sum(seen.state != GONE for seen in before)
    held = complete and brake.holds(len(absent), alive)
    after, moved = [], {}
    for seen in before:
        if thing := met.get(seen.identity):
            now = _again(seen, thing, at)
            if now.identity != seen.identity:
                moved[seen.identity] = now.identity
        else:
            now = missed(seen) if complete and not held else seen
        after.append(now)
    changes = zip(before, after, strict=True)
    return Outcome(
        (*after, *fresh),
        len(things),
        new=tuple(seen.identity for seen in fresh),
        changed=tuple(now.identity for was, now in changes if now.state == PRESENT and _differs(was, now)),
        vanishing=tuple(seen.identity for seen in absent) if complete else (),
        gone=tuple(now.identity for was, now in zip(before, after, strict=True) if was.state != GONE == now.state),
        moved=moved,
        held=held,
    )


def match(known: Sequence[Seen], things: Sequence[ThingLike]) -> list[tuple[Seen | None, ThingLike]]:
    """Each thing with what is known of it: by external id first, then by key; never by name."""
    by_id = {seen.external_id: seen for seen in known if seen.external_id}
    by_key: dict[str, list[Seen]] = {}
    for seen in known:
        by_key.setdefault(seen.key, []).append(seen)
    taken: set[Identity] = set()
    found: dict[str, Seen] = {}
    for thing in things:
        same_id = by_id.get(thing.external_id) if thing.external_id else None
        if same_id and same_id.identity not in taken:
            found[thing.key] = same_id
            taken.add(same_id.identity)
    for thing in things:
        # Two different external ids under one key are two things: the first was replaced.
        same = [
            seen
            for seen in by_key.get(thing.key, ())
            if seen.identity not in taken and not (seen.external_id and thing.external_id)
        ]
        if thing.key not in found and same:
            found[thing.key] = best = min(same, key=lambda seen: (seen.state == GONE, seen.external_id))
            taken.add(best.identity)
    return [(found.get(thing.key), thing) for thing in things]


def missed(seen: Seen) -> Seen:
    """After one more complete listing without it."""
    count = seen.missed + 1
    return replace(seen, missed=count, state=GONE if count >= GONE_AFTER else SUSPECT)


def _first(thing: ThingLike, at: datetime) -> Seen:
    fields = stamped(thing.fields, {}, at)
    return Seen(thing.key, thing.kind, thing.name, thing.external_id, fields, PRESENT, 0, at, at)


def _again(seen: Seen, thing: ThingLike, at: datetime) -> Seen:
    """A name and a key may change; what was known by an external id stays known by it."""
    return replace(
        seen,
        key=thing.key,
        kind=thing.kind,
        name=thing.name,
        external_id=thing.external_id or seen.external_id,
        fields=stamped(thing.fields, seen.fields, at),
        state=PRESENT,
        missed=0,
        last_seen=at,
    )


def stamped(fresh: Mapping[str, Any], before: Fields, at: datetime) -> dict[str, dict[str, Any]]:
    """Each field with when it got its value. A field that is not told any more is not kept."""
    found = {}
    for name, value in fresh.items():
        was = before.get(name)
        same = was is not None and was["value"] == value and type(was["value"]) is type(value)
        found[name] = {"value": value, "changed_at": was["changed_at"] if was and same else at.isoformat()}
    return found


def _differs(was: Seen, now: Seen) -> bool:
    return (was.fields, was.kind, was.name, was.state, was.identity) != (
        now.fields,
        now.kind,
        now.name,
        now.state,
        now.identity,
    )
