"""From a component's connection key to its driver."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

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


def cluster(key: str) -> list[str]:
    """The connections that are changed together with ``key``, itself included: those that it names as its peers."""
    try:
        file = known()
        own = file.get(key)
        reached = {f"{own.get('host')}:{own.get('port')}", *own.get("peers", ())}
    except DriverError:
        return []
    same = [each for each in file.keys() if file.get(each).get("driver") == own["driver"]]  # noqa: SIM118 (no mapping)
    facts = {each: file.get(each) for each in same}
    return [each for each, one in facts.items() if f"{one.get('host')}:{one.get('port')}" in reached]


def changed_together(subject: Any) -> str:
    """The target of an operation on ``subject``: the component, or the whole cluster that its connection belongs to."""
    members = cluster(subject.connection)
    return f"the cluster of {members[0]}"[:200] if len(members) > 1 else str(subject.slug)
