"""What lists of the estate can be narrowed by, on screens and in the API alike."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django_filters
from django.db import models

from inventory import lifecycle
from inventory.models import Component, DataCenter, Dependency, DiscoveryRun, Drift, Environment, Service
from portal import clock


def _visible(model: type[models.Model]) -> Callable[[Any], models.QuerySet[Any]]:
    """The choices of a filter: what its reader may see, so that no name of a foreign thing leaks."""

    def choices(request: Any) -> models.QuerySet[Any]:
        rows: Any = model._default_manager
        return rows.visible_to(request.user) if request else rows.none()  # no request: the schema is being made

    return choices


class DataCenterFilter(django_filters.FilterSet):
    class Meta:
        model = DataCenter
        fields = {"slug": ["exact"], "role": ["exact"]}


class EnvironmentFilter(django_filters.FilterSet):
    class Meta:
        model = Environment
        fields = {"slug": ["exact"], "kind": ["exact"]}


class ServiceFilter(django_filters.FilterSet):
    """Services by slug, tier, and the slug of the team that owns them."""

    owner = django_filters.CharFilter(field_name="owner__slug", label="Owner")

    class Meta:
        model = Service
        fields = {"slug": ["exact"], "tier": ["exact"]}


class ComponentFilter(django_filters.FilterSet):
    """Components by kind and by the slugs of where they stand and what they belong to."""

    environment = django_filters.ModelChoiceFilter(queryset=_visible(Environment), to_field_name="slug")
    service = django_filters.ModelChoiceFilter(queryset=_visible(Service), to_field_name="slug")
    data_center = django_filters.ModelChoiceFilter(queryset=_visible(DataCenter), to_field_name="slug")

    class Meta:
        model = Component
        fields = {"kind": ["exact"]}


class ComponentApiFilter(ComponentFilter):
    """The same, and one component by its slug."""

    class Meta(ComponentFilter.Meta):
        fields = {"slug": ["exact"], "kind": ["exact"]}


class DependencyFilter(django_filters.FilterSet):
    """Dependencies by kind, and by the slug of either end."""

    source = django_filters.CharFilter(field_name="source__slug", label="Source")
    target = django_filters.CharFilter(field_name="target__slug", label="Target")

    class Meta:
        model = Dependency
        fields = {"kind": ["exact"]}


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
