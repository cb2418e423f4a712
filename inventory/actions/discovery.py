"""The verbs of discovery: keep what a source has seen, and decide about a run in which much vanished."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Protocol

from django.db import connection, transaction
from django.db.models import Q

from identity import rights
from identity.models import Scope
from inventory import lifecycle
from inventory.discovery import rules
from inventory.discovery.rules import Seen
from inventory.models import Component, DiscoveryRun, Sighting
from portal import clock, events
from portal.dispatch import nudge
from portal.errors import Conflict
from portal.lifecycle import Actor, authorize, move

PERMISSION = "inventory.discover"
TOPIC = "inventory.discovery"
QUIET = timedelta(hours=1)
"""After somebody did not believe a run, the same disappearance is not asked about again for so long."""
_WRITTEN = (
    *("key", "external_id", "kind", "name", "fields", "addresses", "relations", "claims", "detail"),
    *("state", "missed", "last_seen", "seen_in"),
)


_MATCH = """
    UPDATE inventory_sighting seen SET component_id = owner.id, scope_id = coalesce(owner.scope_id, seen.scope_id)
      FROM unnest(%s::uuid[], %s::uuid[]) AS told(id, component)
      LEFT JOIN inventory_component owner ON owner.id = told.component
     WHERE seen.id = told.id AND seen.component_id IS DISTINCT FROM owner.id
"""
"""One statement however many: the first look at an estate matches all of it at once."""


class ListingLike(Protocol):
    """What a driver has listed (``drivers.discovery.Listing``)."""

    @property
    def scope(self) -> str: ...
    @property
    def things(self) -> tuple[Any, ...]: ...
    @property
    def at(self) -> datetime: ...
    @property
    def problems(self) -> tuple[str, ...]: ...
    @property
    def covers(self) -> str: ...
    @property
    def relations(self) -> tuple[str, ...]: ...


@transaction.atomic
def discover(source: str, *, by: Actor, driver: str, listing: ListingLike, began: datetime) -> DiscoveryRun | None:
    """Keep one listing of ``source``: what was seen, what is new, and what has vanished.

    Only the portal itself may. A listing that is not newer than the last one of its scope changes nothing and gives
    ``None``, so that a repeated delivery does no harm. When too much vanishes the run is held and nothing is removed.
    """
    authorize(by, PERMISSION)
    run = _begin(source, driver, listing.scope, began)
    earlier = DiscoveryRun.objects.filter(source=source, listed=listing.scope).exclude(pk=run.pk)
    last = earlier.exclude(at=None).order_by("-at").values_list("at", flat=True).first()
    if last is not None and listing.at <= last:
        run.delete()
        return None
    rows = {(row.key, row.external_id): row for row in _rows(source, listing.scope)}
    known = [seen_of(row) for row in rows.values()]
    outcome = rules.take(known, listing.things, listing.at, complete=not listing.problems, last=last)
    _write(rows, outcome, listing, run)
    facts = {"at": listing.at, "covers": listing.covers, "tells": list(listing.relations), "found": outcome.found}
    facts |= {"new": len(outcome.new), "changed": len(outcome.changed), "gone": len(outcome.gone)}
    facts |= {"known": len(known)}
    _end(run, outcome, listing, facts, by)
    return run


@transaction.atomic
def fail(source: str, *, by: Actor, driver: str, reason: str, began: datetime) -> DiscoveryRun:
    """Write down that nothing was learnt of ``source``; what is known of it stays, and grows old."""
    authorize(by, PERMISSION)
    run = _begin(source, driver, "", began)
    move(run, "fail", by=by, problem=reason[:2000] or "It failed.", finished_at=clock.now())
    return run


@transaction.atomic
def confirm_removal(run: DiscoveryRun, *, by: Actor, reason: str = "") -> DiscoveryRun:
    """The things that vanished are really gone: what has not been seen since becomes a tombstone.

    Raises ``Conflict`` when all of them are back, because then there is nothing to remove.
    """
    authorize(by, "inventory.confirm_removal", run)
    rows = [row for row in _vanished(run) if row.last_seen < (run.at or run.started_at)]
    if not rows:
        raise Conflict("Everything that had vanished has been seen again; nothing is removed.")
    move(run, "confirm_removal", by=by, finished_at=clock.now(), gone=len(rows), problem="")
    for row in rows:
        row.state, row.missed = Sighting.State.GONE, max(row.missed, rules.GONE_AFTER)
    Sighting.objects.bulk_update(rows, ["state", "missed"])
    after = {"removed": len(rows), "keys": [row.address for row in rows[:200]]}
    events.record("inventory.confirm_removal", run, by=by, reason=reason, after=after)
    nudge("inventory.drift")
    return run


@transaction.atomic
def dismiss(run: DiscoveryRun, *, by: Actor, reason: str = "") -> DiscoveryRun:
    """The run is not believed: nothing is removed, and the same disappearance is not asked about for an hour."""
    problem = f"Not believed by {by}{f': {reason}' if reason else ''}"[:2000]
    move(run, "dismiss", by=by, finished_at=clock.now(), problem=problem)
    events.record("inventory.dismiss", run, by=by, reason=reason, after={"vanished": len(run.vanished)})
    return run


def seen_of(row: Sighting) -> Seen:
    """A row as the rules take it."""
    identity = (row.key, row.kind, row.name, row.external_id)
    return Seen(*identity, row.fields, row.state, row.missed, row.first_seen, row.last_seen)


UNMANAGED = "unmanaged"
"""Stands where a service stands, for what belongs to none: rights on the whole environment reach it, others do not."""


def scope_of(source: str) -> Scope:
    """The scope of what ``source`` sees: that of the component it is the connection of, else one for strays."""
    found = Component.objects.filter(connection=source).select_related("scope").order_by("slug").first()
    if found:
        return found.scope
    return rights.scope_for(source.partition("/")[0] or "unknown", UNMANAGED)


def _begin(source: str, driver: str, listed: str, began: datetime) -> DiscoveryRun:
    facts = {"driver": driver, "listed": listed[:200], "started_at": began, "scope": scope_of(source)}
    return DiscoveryRun.objects.create(source=source, **facts)


def _rows(source: str, listed: str) -> Iterable[Sighting]:
    # One writer at a time per scope: the reconciler's lock is per data center, a nudge may come beside it.
    rows = Sighting.objects.select_for_update().filter(source=source, listed=listed)
    return rows.order_by("first_seen", "id")


def _write(
    rows: dict[rules.Identity, Sighting], outcome: rules.Outcome, listing: ListingLike, run: DiscoveryRun
) -> None:
    things = {thing.key: thing for thing in listing.things}
    back = {now: was for was, now in outcome.moved.items()}
    changed = {*outcome.changed, *outcome.moved.values()}
    fresh, touched, same = [], [], []
    for seen in outcome.after:
        row = rows.get(back.get(seen.identity, seen.identity))
        thing = things.get(seen.key) if seen.last_seen == listing.at else None
        if row is None:
            row = Sighting(source=run.source, driver=run.driver, listed=run.listed, scope=run.scope)
            row.first_seen = seen.first_seen
            fresh.append(_filled(row, seen, thing, run))
        elif seen.identity in changed or row.state != seen.state or row.missed != seen.missed or _parts(row, thing):
            touched.append(_filled(row, seen, thing, run))
        elif thing:
            same.append(row.pk)
    if outcome.moved:
        # Two things may have swapped their keys; for a moment each has one that nobody has.
        for row in touched:
            Sighting.objects.filter(pk=row.pk).update(key=f"{row.key[:240]}?{row.pk}")
    Sighting.objects.bulk_update(touched, _WRITTEN, batch_size=500)
    Sighting.objects.bulk_create(fresh, batch_size=1000)
    Sighting.objects.filter(pk__in=same).update(last_seen=listing.at, seen_in=run)


def _parts(row: Sighting, thing: Any) -> bool:
    """Whether what is around the fields is no longer as it was."""
    if thing is None:
        return False
    was = (row.addresses, row.relations, row.claims, row.detail)
    return was != (list(thing.addresses), _relations(thing), list(thing.claims), thing.detail)


def _relations(thing: Any) -> list[list[str]]:
    return [[each.relation, each.to] for each in thing.relations]


def _filled(row: Sighting, seen: Seen, thing: Any, run: DiscoveryRun) -> Sighting:
    row.key, row.external_id = seen.key[:300], seen.external_id[:300]
    row.kind, row.name, row.fields = seen.kind, seen.name[:200], dict(seen.fields)
    row.state, row.missed, row.last_seen = seen.state, seen.missed, seen.last_seen
    if thing is not None:
        row.seen_in, row.detail = run, thing.detail
        row.addresses, row.relations, row.claims = list(thing.addresses), _relations(thing), list(thing.claims)
    return row


def _end(run: DiscoveryRun, outcome: rules.Outcome, listing: ListingLike, facts: dict[str, Any], by: Actor) -> None:
    """Give the run its end; a held one that came before is released when the things are back."""
    facts["finished_at"] = clock.now()
    waiting = DiscoveryRun.objects.filter(source=run.source, listed=run.listed, state=lifecycle.HELD).first()
    if listing.problems:
        move(run, "part", by=by, problem="; ".join(listing.problems)[:2000], **facts)
    elif outcome.held and (waiting or _dismissed(run)):
        about = f"{len(outcome.vanishing)} of {facts['known']} things are missing; their removal "
        about += "waits for a decision." if waiting else "was not believed a while ago."
        move(run, "part", by=by, problem=about, **facts)
    elif outcome.held:
        about = f"{len(outcome.vanishing)} of {facts['known']} things vanished at once."
        vanished = [list(identity) for identity in outcome.vanishing]
        move(run, "hold", by=by, problem=about, vanished=vanished, **facts)
        events.record("inventory.hold", run, by=by, reason=about, after={"vanished": len(vanished)})
        events.publish(TOPIC)
    else:
        move(run, "complete", by=by, **facts)
        if waiting:
            move(waiting, "part", by=by, problem="A later run found enough of them again.")


def _dismissed(run: DiscoveryRun) -> bool:
    """Whether somebody did not believe a run of this scope lately."""
    rows = DiscoveryRun.objects.filter(source=run.source, listed=run.listed, state=lifecycle.PARTIAL)
    return rows.exclude(vanished=[]).filter(finished_at__gt=clock.now() - QUIET).exists()


def _vanished(run: DiscoveryRun) -> list[Sighting]:
    wanted = {(key, external) for key, external in run.vanished}
    keys = Q(key__in=[key for key, _ in wanted])
    rows = Sighting.objects.select_for_update().filter(keys, source=run.source, listed=run.listed)
    return [row for row in rows if (row.key, row.external_id) in wanted and row.state != Sighting.State.GONE]


@transaction.atomic
def match(components: dict[Any, Any], *, by: Actor) -> int:
    """Write down which component each sighting is of (``None``: of none); returns how many changed."""
    authorize(by, PERMISSION)
    with connection.cursor() as cursor:
        cursor.execute(_MATCH, [list(components), list(components.values())])
        return int(cursor.rowcount)
