"""What lists of drifts, findings, discovery runs and imports can be narrowed by, on screens and in the API alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django_filters
from django.db import models

from inventory import lifecycle
from inventory.models import (
    DataCenter,
    DiscoveryRun,
    Drift,
    Environment,
    Finding,
    ImportChange,
    Service,
)
from inventory.rules import RULES
from portal import clock


def _visible(model: type[models.Model]) -> Callable[[Any], models.QuerySet[Any]]:
    """The choices of a filter: what its reader may see, so that no name of a foreign thing leaks."""

    def choices(request: Any) -> models.QuerySet[Any]:
        rows: Any = model._default_manager
        return rows.visible_to(request.user) if request else rows.none()  # no request: the schema is being made

    return choices


class DriftFilter(django_filters.FilterSet):
    """Drifts by class, state, where they are, who sees them, and how old they are."""

    AGES = [("1", "An hour or more"), ("24", "A day or more"), ("168", "A week or more"), ("720", "30 days or more")]

    kind = django_filters.ChoiceFilter(choices=Drift.Kind.choices, label="Class", empty_label="Any class")
    state = django_filters.ChoiceFilter(choices=lifecycle.drift.choices, label="State", empty_label="Standing")
    environment = django_filters.ModelChoiceFilter(
        queryset=_visible(Environment), to_field_name="slug", method="in_environment", label="Environment"
    )
    data_center = django_filters.ModelChoiceFilter(
        queryset=_visible(DataCenter), to_field_name="slug", method="in_data_center", label="Data center"
    )
    service = django_filters.ModelChoiceFilter(
        queryset=_visible(Service), to_field_name="slug", method="of_service", label="Service"
    )
    source = django_filters.CharFilter(lookup_expr="startswith", label="Source")
    age = django_filters.ChoiceFilter(choices=AGES, method="at_least", label="Age", empty_label="Any age")

    class Meta:
        model = Drift
        fields = ["kind", "state", "environment", "data_center", "service", "source", "age"]

    def filter_queryset(self, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        """What is settled is only shown when it is asked for."""
        rows = super().filter_queryset(queryset)
        return rows if self.form.cleaned_data.get("state") else rows.exclude(state=lifecycle.SETTLED)

    def in_environment(self, rows: models.QuerySet[Any], name: str, value: Environment) -> models.QuerySet[Any]:
        return rows.filter(scope__environment=value.slug)

    def of_service(self, rows: models.QuerySet[Any], name: str, value: Service) -> models.QuerySet[Any]:
        return rows.filter(scope__service=value.slug)

    def in_data_center(self, rows: models.QuerySet[Any], name: str, value: DataCenter) -> models.QuerySet[Any]:
        stray = models.Q(component=None, sighting__source__contains=f"/{value.slug}/")
        return rows.filter(models.Q(component__data_center=value) | stray)

    def at_least(self, rows: models.QuerySet[Any], name: str, value: str) -> models.QuerySet[Any]:
        return rows.filter(since__lte=clock.now() - timedelta(hours=int(value)))


class DiscoveryFilter(django_filters.FilterSet):
    """Runs by state, source and driver."""

    state = django_filters.ChoiceFilter(choices=lifecycle.run.choices, label="State", empty_label="Any state")
    source = django_filters.CharFilter(lookup_expr="startswith", label="Source")
    driver = django_filters.CharFilter(label="Driver")

    class Meta:
        model = DiscoveryRun
        fields = ["state", "source", "driver"]


class FindingFilter(django_filters.FilterSet):
    """Findings by rule, severity, where and whose. Only those that count, unless ``state`` says otherwise."""

    STATES = (("open", "Open"), ("exempt", "Exempted"), ("mended", "Mended"), ("all", "All"))

    state = django_filters.ChoiceFilter(
        choices=STATES, method="by_state", label="State", empty_label=None, initial="open"
    )
    rule = django_filters.ChoiceFilter(
        choices=[(name, rule.title) for name, rule in RULES.items()], empty_label="Any rule"
    )
    environment = django_filters.ModelChoiceFilter(queryset=_visible(Environment), to_field_name="slug")
    service = django_filters.ModelChoiceFilter(queryset=_visible(Service), to_field_name="slug")
    component = django_filters.CharFilter(field_name="component__slug", label="Component")

    class Meta:
        model = Finding
        fields = {"severity": ["exact"]}

    def filter_queryset(self, queryset: models.QuerySet[Any]) -> models.QuerySet[Any]:
        rows = super().filter_queryset(queryset)
        return rows if self.form.cleaned_data.get("state") else self.by_state(rows, "state", "open")

    def by_state(self, rows: Any, name: str, value: str) -> Any:
        mended = rows.exclude(gone_at=None)
        return {"open": rows.open, "exempt": rows.exempt, "mended": lambda: mended, "all": lambda: rows}[value]()


class ChangeFilter(django_filters.FilterSet):
    """The difference of an import by what becomes of a row."""

    act = django_filters.ChoiceFilter(choices=ImportChange.Act.choices, label="What", empty_label="all")

    class Meta:
        model = ImportChange
        fields = ["act"]
