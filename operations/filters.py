"""What operations can be narrowed by, on screen and in the API."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import django_filters
from django.core.cache import cache
from django.http import HttpRequest

from operations import lifecycle, plan
from operations.models import Operation, OperationQuerySet

REMEMBERED = 30
"""Seconds. Every list would otherwise look through all operations for the few environments there are."""


def _kinds() -> list[tuple[str, str]]:
    return sorted({(kind, known.short) for (kind, _), known in plan.registry.items()})


def _environments_of(request: HttpRequest | None) -> Callable[[], list[tuple[str, str]]]:
    """The choices of the environment filter: asked for when they are needed, and remembered for each reader a while."""

    def seen() -> list[tuple[str, str]]:
        assert request is not None
        rows = Operation.objects.visible_to(request.user).order_by("scope__environment")
        return [(slug, slug) for slug in rows.values_list("scope__environment", flat=True).distinct()]

    @functools.cache
    def choices() -> list[tuple[str, str]]:
        if request is None:
            return []
        return cache.get_or_set(f"operations.environments:{request.user.pk}", seen, REMEMBERED) or []

    # A form copies its fields deeply: a plain function is left as it is, anything else drags the request along.
    return lambda: choices()


class OperationFilter(django_filters.FilterSet):
    """State, kind of plan, environment (those the reader may see) and whether it has ended."""

    state = django_filters.ChoiceFilter(choices=lifecycle.operation.choices, label="State", empty_label="Any state")
    kind = django_filters.ChoiceFilter(choices=_kinds, label="Kind", empty_label="Any kind")
    environment = django_filters.ChoiceFilter(
        field_name="scope__environment", choices=(), label="Environment", empty_label="Any environment"
    )
    service = django_filters.CharFilter(field_name="scope__service", label="Service")
    open = django_filters.ChoiceFilter(
        choices=[("true", "Not ended"), ("false", "Ended")],
        method="only_open",
        label="Ended",
        empty_label="Ended or not",
    )

    class Meta:
        model = Operation
        fields = ["state", "kind", "environment", "service", "open"]

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        environment = self.filters["environment"]
        environment.extra["choices"] = _environments_of(self.request)
        # Whoever described the API in this process has built the class's own field, without choices, and it was copied.
        vars(environment).pop("_field", None)

    def only_open(self, rows: OperationQuerySet, name: str, value: str) -> OperationQuerySet:
        """``?open=true``: what has not ended; ``?open=false``: what has."""
        return rows.active() if value == "true" else rows.exclude(state__in=lifecycle.operation.open)
