"""What lists of the estate can be narrowed by, on screens and in the API alike."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import django_filters
from django.db import models

from inventory.models import Component, DataCenter, Dependency, Environment, Service


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
