"""The filters of the estate, and health as it may be shown."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import Q, QuerySet

from inventory.filters import ComponentFilter
from inventory.models import Component
from observability.health import CHOICES, UNKNOWN
from observability.models import STALE_AFTER
from portal import clock


class ComponentHealthFilter(ComponentFilter):
    """``?health=unknown`` also finds what nobody has looked at lately."""

    health = django_filters.ChoiceFilter(choices=CHOICES, method="by_health")

    def by_health(self, rows: QuerySet[Component], name: str, value: str) -> QuerySet[Component]:
        since = clock.now() - STALE_AFTER
        if value != UNKNOWN:
            return rows.filter(health__state=value, health__observed_at__gt=since)
        unread = Q(health=None) | Q(health__observed_at=None) | Q(health__observed_at__lte=since)
        return rows.filter(unread | Q(health__state=UNKNOWN))

    class Meta(ComponentFilter.Meta):
        fields: Any = ("kind", "status")


class MatrixFilter(ComponentFilter):
    """What the matrix of environments and services can be narrowed by: where things stand, and how they are."""

    health = django_filters.ChoiceFilter(choices=CHOICES, method="by_health")
    tier = django_filters.ChoiceFilter(
        choices=[(tier, f"Tier {tier}") for tier in range(1, 5)], field_name="service__tier"
    )
    by_health = ComponentHealthFilter.by_health

    class Meta(ComponentFilter.Meta):
        fields: Any = ("kind",)
