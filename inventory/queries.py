"""What is known of the estate from outside: every component beside what its sources see."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Count, QuerySet

from inventory import lifecycle
from inventory.discovery import comparing, loading, merging
from inventory.discovery.comparing import Declared, Difference, Link, Observed, Sighted
from inventory.discovery.loading import Known, Seen
from inventory.discovery.matching import Matched, match
from inventory.discovery.merging import Account, Verdict
from inventory.models import Component, DiscoveryRun, Drift, Environment, Finding, Server, Sighting
from inventory.models.discovery import STALE_AFTER
from portal import clock
from portal.prepared import prepared


@dataclass
class Source:
    """How a source stands: its last complete run, its last run of any kind, and what that one said."""

    completed: datetime | None = None
    began: datetime | None = None
    problem: str = ""
    tells: dict[str, frozenset[str]] = field(default_factory=dict)
    covers: dict[str, datetime] = field(default_factory=dict)
    """Beginnings of external ids that complete runs would have listed, with when the last one was."""
    whole: bool = True
    """Whether the last run of each of its scopes was complete: only then is anything below it known to be absent."""
    since: datetime | None = None
    """When the scope was read that was read longest ago."""

    def looked_for(self, component: Any) -> bool:
        """Whether complete runs of every scope have looked since the component was declared."""
        return self.whole and self.since is not None and self.since >= component.created_at

    def silent(self, now: datetime) -> str:
        """What is wrong when it has had no complete run for too long; empty when it is fresh."""
        if self.completed and self.completed > now - STALE_AFTER:
            return ""
        since = f"since {self.completed:%Y-%m-%d %H:%M} UTC" if self.completed else "ever"
        return f"No complete run {since}. {self.problem}".strip()


def sources() -> dict[str, Source]:
    """Every source that was ever read, by its connection key: two statements."""
    found: dict[str, Source] = defaultdict(Source)
    told = ("source", "listed", "at", "tells", "covers")
    for source, listed, at, tells, covers in DiscoveryRun.objects.complete().newest().values_list(*told):
        one = found[source]
        one.completed = max(filter(None, (one.completed, at)), default=None)
        one.tells[listed] = frozenset(tells)
        if covers:
            one.covers[covers] = at
    for run in DiscoveryRun.objects.newest().values("source", "state", "started_at", "at", "problem"):
        one = found[run["source"]]
        if one.began is None or run["started_at"] > one.began:
            one.began, one.problem = run["started_at"], run["problem"]
        if run["state"] == lifecycle.COMPLETE:
            one.since = min(filter(None, (one.since, run["at"])))
        elif run["state"] != lifecycle.FAILED:
            one.whole = False
    return found


class Estate:
    """Everything that a comparison needs, read at once and matched. ``judging_silence``: see ``differences``."""

    def __init__(self, *, judging_silence: bool = True) -> None:
        self.now, self.judging_silence = clock.now(), judging_silence
        self.sources = sources()
        self.heard = {_place(key) for key, source in self.sources.items() if not source.silent(self.now)}
        self.covers = [(begins, key, at) for key, source in sorted(self.sources.items())
                       for begins, at in source.covers.items()]  # fmt: skip
        self.components = {row.id: row for row in loading.components()}
        self.environments = set(Environment.objects.values_list("slug", flat=True))
        self.sightings = list(loading.sightings())
        self.matched: Matched = match(list(self.components.values()), self.sightings)
        self.links: dict[Any, list[Link]] = defaultdict(list)

    def differences(self) -> Iterator[Difference]:
        """Everything that is seen otherwise than it is declared.

        Silence is only judged when the observers had time to speak: after a night without workers all are silent.
        """
        of: dict[Any, list[Seen]] = defaultdict(list)
        for row in self.sightings:
            of[self.matched.component.get(row.id)].append(row)
        doubtful = [
            component
            for component in self.components.values()
            if len(seen := of.get(component.id, [])) != 1 or not self._as_declared(component, seen[0])
        ]
        for source, target, relation, slug, environment in loading.dependencies(
            [component.id for component in doubtful]
        ):
            self.links[source].append(Link(relation, target, slug, environment))
        for component in doubtful:
            yield from comparing.compare(self.declared(component), self.observed(component, of.get(component.id, [])))
        servers = set(Server.objects.exclude(external_id="").values_list("external_id", flat=True))
        strays = (
            row
            for row in of[None]
            if row.id not in self.matched.parts
            and not row.detail
            # A server is no component: its provider's id, alone or at the end of an ARN, is all that is compared.
            and not {row.external_id, row.external_id.rpartition("/")[2]} & servers
        )
        yield from comparing.unmanaged(sighted(row, self.environments) for row in strays)

    def _as_declared(self, component: Known, row: Seen) -> bool:
        """Whether the only sighting of it says nothing else than is declared: what ``compare`` would find, for less.

        Nearly all of a large estate is like that. When in doubt it is not.
        """
        if row.kind != component.kind or row.relations or self._silence(component):
            return False
        if sighted_in(row, self.environments) not in ("", component.environment):
            return False
        if row.source == component.connection and not row.key and self.sources[row.source].tells.get(row.listed):
            return False
        told = row.fields
        return all(
            name not in told or wanted is None or comparing.fits(name, wanted, told[name]["value"])
            for name, wanted in component.declared.items()
        )

    def declared(self, component: Known) -> Declared:
        """A component as it is declared, with whether its source has spoken."""
        should = component.connection or (component.natural and component.parent) or ""
        source = self.sources.get(should) if should else None
        looked = source is not None and source.looked_for(component)
        if not should and component.external_id:
            should, looked = self._covering(component)
        return Declared(
            component.id,
            component.slug,
            component.kind,
            component.environment,
            component.declared,
            (*self.links.get(component.id, ()), *self._whole(component)),
            should,
            looked=looked,
            silent=self._silence(component),
        )

    def _silence(self, component: Known) -> str:
        """What is wrong when its own source has had no complete run for too long."""
        if not component.connection or not self._speaking(component.connection):
            return ""
        source = self.sources.get(component.connection)
        return source.silent(self.now) if source else "It was never read."

    def _covering(self, component: Known) -> tuple[str, bool]:
        """The source that would list a component's external id, and whether it has looked since it was declared."""
        for begins, key, at in self.covers:
            if component.external_id.startswith(begins):
                return key, at >= component.created_at
        return "", False

    def _speaking(self, connection: str) -> bool:
        """Whether others of the same place are heard: where nobody is, it is no matter of this one source."""
        return self.judging_silence and _place(connection) in self.heard

    def _whole(self, component: Known) -> Iterator[Link]:
        """What it is part of: nobody has to declare that as a dependency as well."""
        if component.part_of:
            yield Link("part_of", component.part_of, "", component.environment)

    def observed(self, component: Known, seen: list[Seen]) -> Observed:
        """What all sources say of a component."""
        own = [row for row in seen if row.source == component.connection and not row.key]
        tells = {word for row in own for word in self.sources[row.source].tells.get(row.listed, ())}
        links = tuple(self._ends(component, seen))
        sightings = tuple(sighted(row, self.environments) for row in seen)
        return Observed(self.verdicts(component, seen), sightings, links, frozenset(tells))

    def verdicts(self, component: Known, rows: Iterable[Seen]) -> dict[str, Verdict]:
        return merging.merge(component.kind, [account_of(row, component.connection, self.now) for row in rows])

    def _ends(self, component: Known, seen: list[Seen]) -> Iterator[tuple[str, Link]]:
        met = set()
        for row in seen:
            for relation, to in row.relations:
                end = self.components.get(self.matched.end(row, to))
                if end is not None and end.id != component.id and (relation, end.id) not in met:
                    met.add((relation, end.id))
                    yield row.source, Link(relation, end.id, end.slug, end.environment)


def _place(source: str) -> str:
    return source.rpartition("/")[0]


def account_of(row: Any, connection: str, now: datetime) -> Account:
    """What one source says, and whether that is old."""
    stale = row.last_seen < now - STALE_AFTER
    own = row.source == connection and not row.key
    return Account(row.source, row.driver, row.fields, row.last_seen, stale=stale, own=own)


def sighted(row: Seen, environments: set[str]) -> Sighted:
    """A sighting as comparing takes it."""
    return Sighted(row.id, row.source, sighted_in(row, environments), row.kind, row.name)


def sighted_in(row: Seen, environments: set[str]) -> str:
    """The environment it is seen in, if it is one. A source may say so itself (a tag of the provider)."""
    said = row.value("environment") or row.source.partition("/")[0]
    return said if said in environments else ""


def fields_of(component: Component) -> dict[str, Verdict]:
    """Every field that sources tell of one component, for its page: one statement."""
    now = clock.now()
    told = [account_of(row, component.connection, now) for row in _sightings(component.pk)]
    return merging.merge(component.kind, told)


@prepared
def _sightings(component: UUID) -> QuerySet[Sighting]:
    return Sighting.objects.filter(component=component).exclude(state=Sighting.State.GONE)


def standing(actor: Any) -> dict[tuple[str, str], int]:
    """Open drifts that ``actor`` may see, by (environment, service) slug: one statement."""
    rows = Drift.objects.visible_to(actor).open().order_by()
    pairs = rows.values_list("scope__environment", "scope__service").annotate(count=Count("pk"))
    return {(environment, service): count for environment, service, count in pairs}


def breaches(actor: Any) -> dict[tuple[str, str], int]:
    """Critical and high findings that count and ``actor`` may see, by (environment, service) slug: one statement."""
    rows = Finding.objects.visible_to(actor).open().filter(severity__lte=Finding.Severity.HIGH).order_by()
    pairs = rows.exclude(scope=None).values_list("scope__environment", "scope__service").annotate(count=Count("pk"))
    return {(environment, service): count for environment, service, count in pairs}
