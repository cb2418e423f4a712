"""Match what is seen with what is declared, and keep the differences."""

from __future__ import annotations

import time
from datetime import datetime, timedelta

from django.db.models import Q

from inventory import lifecycle
from inventory.actions.discovery import match
from inventory.actions.drift import keep
from inventory.models import DiscoveryRun, Drift, Sighting
from inventory.models.discovery import STALE_AFTER
from inventory.queries import Estate
from portal import clock
from portal.events import System

BY = System("drift")
RUNS_KEPT = timedelta(days=1)
TOMBSTONES_KEPT = timedelta(days=90)
_began: datetime | None = None
_not_before = 0.0


def compare_estate() -> int:
    """One comparison of everything. Idempotent: the same state gives the same drifts. Returns what changed."""
    global _began
    _began = _began or clock.now()
    # After a night without workers every source is silent; they get the time of a few runs to speak first.
    estate = Estate(judging_silence=clock.now() - _began > STALE_AFTER)
    wanted = ((row, estate.matched.component.get(row.id)) for row in estate.sightings)
    matched = match({row.id: component for row, component in wanted if row.component != component}, by=BY)
    return matched + keep(estate.differences(), by=BY)


def compare_in_turn() -> int:
    """A comparison, unless the last one has only just ended: on a large estate it takes a tenth of the time at most."""
    global _not_before
    if time.monotonic() < _not_before:
        return 0
    begun = time.monotonic()
    changed = compare_estate()
    _not_before = time.monotonic() + 9 * (time.monotonic() - begun)
    return changed


def prune() -> int:
    """Delete old runs but the last complete one of each scope and those that wait, old tombstones, settled drifts."""
    now = clock.now()
    kept = DiscoveryRun.objects.complete().newest().values("pk")
    old = DiscoveryRun.objects.filter(started_at__lt=now - RUNS_KEPT).exclude(state=lifecycle.HELD)
    runs = old.exclude(pk__in=kept).delete()[0]
    tombs = Sighting.objects.filter(state=Sighting.State.GONE, last_seen__lt=now - TOMBSTONES_KEPT)
    drifts = Drift.objects.filter(Q(state=lifecycle.SETTLED), settled_at__lt=now - TOMBSTONES_KEPT)
    return int(runs + drifts.delete()[0] + tombs.delete()[0])
