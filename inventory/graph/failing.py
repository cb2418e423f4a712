"""Which components fail when a place or a service does."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from django.db.models import Q

from inventory.models import Component, DataCenter, Environment, NetworkZone, Server, Service

STANDING: dict[type[Any], Callable[[Any], Q]] = {
    Component: lambda it: Q(pk=it.pk),
    Server: lambda it: Q(server=it),
    DataCenter: lambda it: Q(data_center=it),
    NetworkZone: lambda it: Q(server__zone=it) | Q(endpoints__zone=it),
    Environment: lambda it: Q(environment=it),
    Service: lambda it: Q(service=it),
}
"""What can be said to fail, and which components are lost with it. Whether they may be seen does not matter."""


def lost_with(things: Iterable[Any]) -> list[uuid.UUID]:
    """The ids of the components that fail when all of these do, in one query; only components themselves need none."""
    things = list(things)
    if all(isinstance(thing, Component) for thing in things):
        return [thing.pk for thing in things]
    found = Q(pk__in=[])
    for thing in things:
        found |= STANDING[type(thing)](thing)
    return list(Component.objects.filter(found).order_by().values_list("pk", flat=True).distinct())
