"""The filters of the estate, and health as it may be shown."""

from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet

from inventory.filters import ComponentFilter
from inventory.models import Component
from observability.health import CHOICES
from observability.models import shown_state


class ComponentHealthFilter(ComponentFilter):
    """``?health=unknown`` also finds what nobody has looked at lately."""

    health = django_filters.ChoiceFilter(choices=CHOICES, method="by_health")

    def by_health(self, rows: QuerySet[Component], name: str, value: str) -> QuerySet[Component]:
        return rows.annotate(shown=shown_state()).filter(shown=value)

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
