"""From a component's connection key to its driver."""

from __future__ import annotations

import functools
from pathlib import Path

from django.conf import settings

from drivers import connections
from drivers.base import Driver, DriverError
from drivers.connections import Connections


@functools.lru_cache(maxsize=1)
def _loaded(path: str, written: int) -> Connections:
    return connections.load(path)


def known() -> Connections:
    """The connections file as it is now; read again only when it was written since. Raises ``DriverError``."""
    path = Path(settings.CONNECTIONS_FILE)
    try:
        return _loaded(str(path), path.stat().st_mtime_ns)
    except OSError:
        return connections.load(path)  # it is not there; this says so properly


def driver(key: str) -> Driver:
    """The driver of the connection ``key``. Raises ``DriverError``."""
    return known().driver(key)


def driver_kind(key: str) -> str:
    """Which driver the connection ``key`` names; empty when the connection is not known or cannot be read now."""
    try:
        return str(known().get(key)["driver"])
    except DriverError:
        return ""
