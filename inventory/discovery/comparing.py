"""Declared against observed, one component at a time: what differs, and of which class.

Only what is declared is compared: a field that the catalog leaves out is open. Names and addresses under which people
reach something are not compared with those under which the portal does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from inventory.discovery.merging import Said, Verdict, same

MISSING, UNMANAGED, CHANGED = "missing", "unmanaged", "changed"
ENVIRONMENT, STALE, CONFLICT = "environment", "stale", "conflict"
TOLD_BY_CATALOG = ("software", "version")
"""Columns that are compared beside the attributes. An endpoint is how users come in, which no driver sees."""


@dataclass(frozen=True)
class Difference:
    """One finding. ``key`` stands for it as long as it lasts. ``certain`` is false where only old readings say so.

    Values are JSON. ``others`` are what sources that do not decide say: (source, value).
    """

    key: str
    kind: str
    field: str
    declared: Any
    observed: Any
    source: str
    component: Any = None
    sighting: Any = None
    others: tuple[tuple[str, Any], ...] = ()
    certain: bool = True


@dataclass(frozen=True)
class Sighted:
    """A thing as a source sees it: id of its row, where it is, and whether a complete run could not find it."""

    id: Any
    source: str
    environment: str
    kind: str
    name: str
    present: bool = True


@dataclass(frozen=True)
class Link:
    """A relation: its kind, and the component at the other end (id, slug, environment)."""

    relation: str
    target: Any
    slug: str
    environment: str


@dataclass(frozen=True)
class Declared:
    """A component as the catalog has it. ``should`` names the source that should see it; empty when none does."""

    id: Any
    slug: str
    kind: str
    environment: str
    fields: Mapping[str, Any]
    links: tuple[Link, ...] = ()
    should: str = ""
    looked: bool = False
    """Whether the source that should see it had a complete run."""
    silent: str = ""
    """What is wrong when that source has had no complete run for too long; empty when it is fresh."""


@dataclass(frozen=True)
class Observed:
    """All that sources say of one component. ``links`` are the relations they see, ``tells`` those they would see."""

    verdicts: Mapping[str, Verdict] = field(default_factory=dict)
    sightings: tuple[Sighted, ...] = ()
    links: tuple[tuple[str, Link], ...] = ()
    tells: frozenset[str] = frozenset()


def compare(declared: Declared, observed: Observed) -> Iterator[Difference]:
    """Every difference between one component and what is seen of it."""
    if declared.silent:
        yield _found(declared, STALE, "", declared.should, declared.silent, declared.should)
    if not any(sighting.present for sighting in observed.sightings):
        if declared.should and declared.looked:
            known = not declared.silent
            yield _found(declared, MISSING, "", "declared", "not seen", declared.should, certain=known)
        return
    yield from _fields(declared, observed)
    yield from _places(declared, observed)
    yield from _links(declared, observed)


def _found(declared: Declared, kind: str, name: str, wanted: Any, seen: Any, source: str, **more: Any) -> Difference:
    key = f"{declared.id}:{kind}:{name}"
    return Difference(key, kind, name, wanted, seen, source, component=declared.id, **more)


def _fields(declared: Declared, observed: Observed) -> Iterator[Difference]:
    for name, verdict in observed.verdicts.items():
        said, wanted = verdict.said, declared.fields.get(name)
        others = tuple((other.source, other.value) for other in verdict.others)
        if wanted is not None and not fits(name, wanted, said.value):
            certain = not said.stale
            yield _found(declared, CHANGED, name, wanted, said.value, said.source, certain=certain, others=others)
        if (name in declared.fields or name == "role") and verdict.against:
            yield _found(declared, CONFLICT, name, wanted, said.value, said.source, others=_contrary(verdict))
    kinds = {sighting.kind: sighting.source for sighting in observed.sightings if sighting.present}
    if declared.kind not in kinds:
        kind, source = min(kinds.items())
        yield _found(declared, CHANGED, "kind", declared.kind, kind, source)


def _contrary(verdict: Verdict) -> tuple[tuple[str, Any], ...]:
    return tuple((other.source, other.value) for other in verdict.against)


def _places(declared: Declared, observed: Observed) -> Iterator[Difference]:
    """It is seen in another environment, or has to do with a component of another one."""
    for sighting in sorted(observed.sightings, key=lambda one: one.source):
        if sighting.present and sighting.environment and sighting.environment != declared.environment:
            wanted, seen = declared.environment, sighting.environment
            yield _found(declared, ENVIRONMENT, "environment", wanted, seen, sighting.source)
            break
    for source, link in observed.links:
        if link.environment != declared.environment and link.relation != "observes":
            name = f"{link.relation} {link.slug}"
            yield _found(declared, ENVIRONMENT, name, declared.environment, link.environment, source)


def _links(declared: Declared, observed: Observed) -> Iterator[Difference]:
    """A relation that is seen must be declared, whatever kind of relation; one that would be seen must be there."""
    wanted = {link.target: link for link in declared.links}
    seen = {link.target: (source, link) for source, link in observed.links}
    for target, (source, link) in seen.items():
        if target not in wanted and link.environment == declared.environment:
            yield _found(declared, CHANGED, f"needs {link.slug}", None, link.relation, source)
    for target, link in wanted.items():
        if link.relation in observed.tells and target not in seen:
            source = min(sighting.source for sighting in observed.sightings if sighting.present)
            yield _found(declared, CHANGED, f"needs {link.slug}", link.relation, None, source)


def unmanaged(sightings: Iterable[Sighted]) -> Iterator[Difference]:
    """Things that are seen and belong to nothing that is declared."""
    for sighting in sightings:
        key = f"{sighting.id}:{UNMANAGED}:"
        seen = f"{sighting.kind} {sighting.name}"
        yield Difference(key, UNMANAGED, "", None, seen, sighting.source, sighting=sighting.id)


_NUMBER = re.compile(r"\d+")


def fits(name: str, declared: Any, observed: Any) -> bool:
    """Whether an observed value is what was declared.

    A version may be declared less exactly than it is seen (11.4 for 11.4.7), software in any case, and a server that
    nobody follows yet is as good as one that stands alone.
    """
    if name == "version" and isinstance(declared, str) and isinstance(observed, str):
        wanted, seen = _NUMBER.findall(declared), _NUMBER.findall(observed)
        return declared == observed or (bool(wanted) and seen[: len(wanted)] == wanted)
    if name == "software":
        return str(declared).casefold() == str(observed).casefold()
    if name == "role" and {declared, observed} == {"primary", "standalone"}:
        return True
    return same(declared, observed)


def oldest(said: Iterable[Said]) -> Said | None:
    """The account that was seen longest ago."""
    return min(said, key=lambda one: one.seen_at, default=None)
