"""Read every source of a data center, side by side, and keep what they see.

No transaction is open while a driver talks to the world. A source that hangs delays no other: its answer is taken by a
later round, and until then it counts as failed.
"""

from __future__ import annotations

import threading
from collections import defaultdict
from concurrent.futures import Future, ThreadPoolExecutor, wait
from datetime import datetime
from pathlib import Path

import structlog
from django.conf import settings

from drivers import connections
from drivers.base import DriverError
from drivers.connections import Connections
from drivers.discovery import Listing
from inventory.actions.discovery import discover, fail
from inventory.models import Component
from inventory.writing.places import EVERYWHERE
from portal import clock
from portal.dispatch import nudge
from portal.events import System

log = structlog.get_logger(__name__)
DEADLINE_SECONDS = 30.0
AT_ONCE = 8
DRIFT = "inventory.drift"


class Readings:
    """The readings under way in one data center and process; at most one per source, however long it takes."""

    def __init__(self, deadline: float = DEADLINE_SECONDS) -> None:
        self.deadline = deadline
        self._lock = threading.Lock()
        self._pool = ThreadPoolExecutor(AT_ONCE, thread_name_prefix="discovery")
        self._running: dict[str, tuple[Future[list[Listing]], datetime]] = {}

    def read(self, file: Connections, keys: list[str]) -> dict[str, tuple[Future[list[Listing]], datetime]]:
        """Start what does not run yet and wait; gives what has ended, and when it began."""
        with self._lock:
            for key in keys:
                if key not in self._running:
                    self._running[key] = (self._pool.submit(_look, file, key), clock.now())
            wait([future for future, _ in self._running.values()], timeout=self.deadline)
            done = {key: pair for key, pair in self._running.items() if pair[0].done()}
            for key in done:
                del self._running[key]
            return done

    def late(self) -> list[str]:
        """The sources that have not answered in time."""
        return sorted(self._running)


_readings: defaultdict[str | None, Readings] = defaultdict(Readings)


def _look(file: Connections, key: str) -> list[Listing]:
    return file.driver(key).discover()


def read_sources(data_center: str | None) -> int:
    """Read each connection of ``data_center`` (``None``: those in none) once; returns how many things changed.

    Read are the connections that components name, and those that the connections file has without a component: what
    runs there is what nobody declared.
    """
    by = System(f"discovery {data_center or 'global'}")
    named = set(
        Component.objects.filter(data_center__slug=data_center)
        .exclude(connection="")
        .values_list("connection", flat=True)
    )
    try:
        file = connections.load(Path(settings.CONNECTIONS_FILE))
    except DriverError as error:
        for key in sorted(named):
            fail(key, by=by, driver="", reason=str(error), began=clock.now())
        return 0
    known = {key for key in file.keys() if _place(key) == data_center}  # noqa: SIM118 (it is no mapping)
    for key in sorted(named - set(file.keys())):
        fail(key, by=by, driver="", reason=f"No connection is known as {key}.", began=clock.now())
    readings = _readings[data_center]
    done = readings.read(file, sorted(known | (named & set(file.keys()))))
    changes = sum(_kept(file, key, future, began, by) for key, (future, began) in sorted(done.items()))
    for key in readings.late():
        reason = f"It has not answered within {readings.deadline:.0f} seconds."
        fail(key, by=by, driver=_driver(file, key), reason=reason, began=clock.now())
    nudge(DRIFT)
    return changes


def _place(key: str) -> str | None:
    center = key.split("/")[1] if key.count("/") else ""
    return None if center in EVERYWHERE else center


def _driver(file: Connections, key: str) -> str:
    return str(file.get(key).get("driver", "")) if key in file else ""


def _kept(file: Connections, key: str, future: Future[list[Listing]], began: datetime, by: System) -> int:
    """Keep what one source has answered; an error means that nothing was learnt, which removes nothing."""
    driver = _driver(file, key)
    try:
        listings = future.result()
    except DriverError as error:
        reason = str(error)
    except Exception as error:
        log.exception("discovery_failed", source=key)
        reason = f"The reading failed: {type(error).__name__}."
    else:
        runs = [discover(key, by=by, driver=driver, listing=listing, began=began) for listing in listings]
        return sum(run.new + run.changed + run.gone for run in runs if run)
    fail(key, by=by, driver=driver, reason=reason.replace("\x00", ""), began=began)
    return 0
