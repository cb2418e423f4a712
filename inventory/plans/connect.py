"""From a component's connection key to its driver."""

from __future__ import annotations

import functools
from pathlib import Path
from typing import Any

from django.conf import settings

from drivers import connections
from drivers.acts import Call
from drivers.base import Driver, DriverError
from drivers.connections import Connections
from operations.plan import StepContext


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
    """The connections changed together with ``key``, itself included: its peers, whoever of them names which."""
    try:
        file = known()
        own = file.get(key)
    except DriverError:
        return []
    others = {each: file.get(each) for each in file.keys() if each != key}  # noqa: SIM118 (it is no mapping)
    same = {each: one for each, one in others.items() if one["driver"] == own["driver"]}
    return sorted([key, *(each for each, one in same.items() if _names(own, one) or _names(one, own))])


def _names(one: dict[str, Any], other: dict[str, Any]) -> bool:
    """Whether ``one`` has ``other`` among its peers. One-sided naming counts: too much exclusion only makes wait."""
    return f"{other.get('host')}:{other.get('port')}" in (one.get("peers") or ())


def changed_together(subject: Any) -> str:
    """The target of an operation on ``subject``: the component, or the whole cluster that its connection belongs to."""
    members = cluster(subject.connection)
    return f"the cluster of {members[0]}"[:200] if len(members) > 1 else str(subject.slug)


def queue_of(subject: Any) -> str:
    """The queue of the workers that reach the component: its data center's, or the default one."""
    return str(subject.data_center.slug) if subject.data_center else "default"


def call(ctx: StepContext) -> Call:
    """A step's context as drivers take it."""
    return Call(ctx.token, ctx.fence, ctx.log, ctx.progress, ctx.alive)
