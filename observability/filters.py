"""Health as lists of components can be narrowed by it, on screens and in the API alike."""

from __future__ import annotations

from django.db.models import Q

from inventory.filters import SHOWN, choice, register
from inventory.models import Component
from observability.health import CHOICES, UNKNOWN
from observability.models import STALE_AFTER
from portal import clock

MATRIX = ("environment", "service", "data_center", "tag", "health", "tier", "kind")
"""What the matrix of environments and services can be narrowed by: where things stand, and how they are."""


def by_health(states: list[str]) -> Q:
    """``unknown`` also finds what nobody has looked at lately."""
    since = clock.now() - STALE_AFTER
    found = Q(health__state__in=states, health__observed_at__gt=since)
    if UNKNOWN in states:
        found |= Q(health=None) | Q(health__observed_at=None) | Q(health__observed_at__lte=since)
    return found


register(Component.noun, choice("health", CHOICES, made=by_health, endings={"": "exact"}))
SHOWN[Component.noun] += ("health",)
