"""What runs by itself: look at every watched component, and forget old history."""

from __future__ import annotations

from collections import defaultdict

from django.conf import settings

from inventory.models import Component
from observability.actions import report
from observability.collectors import Watch, looks
from observability.models import KEPT, Sample
from portal import clock
from portal.events import System

_watches: defaultdict[str | None, Watch] = defaultdict(Watch)
"""One per data center and process; it remembers the looks that have not come back yet."""


def collect(data_center: str | None) -> int:
    """Look once at every component of ``data_center`` (``None``: those in none) that has a connection, and report.

    Outside any transaction. Returns how many changes of health were announced.
    """
    rows = Component.objects.filter(data_center__slug=data_center).exclude(connection="")
    wanted = dict(rows.values_list("pk", "connection"))
    findings = _watches[data_center].read(looks(wanted, settings.CONNECTIONS_FILE))
    return report(findings, by=System(f"collector {data_center or 'global'}"))


def prune() -> int:
    """Delete samples older than a day; returns how many."""
    deleted, _ = Sample.objects.filter(minute__lt=clock.now() - KEPT).delete()
    return deleted
