"""What lists of the estate can be narrowed by, on screens and in the API alike.

A filter that names another row takes its slug. On screens it is a text field that asks for suggestions when it is
used: a list page does not carry every service as an option. What the query does not name costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import django_filters
from django import forms
from django.db import models
from django.urls import reverse_lazy
from django.utils.html import format_html
from django.utils.safestring import SafeString

from inventory import lifecycle
from inventory.models import (
    Component,
    DataCenter,
    Dependency,
    DiscoveryRun,
    Drift,
    Endpoint,
    Environment,
    Finding,
    ImportChange,
    NetworkZone,
    Server,
    ServerGroup,
    Service,
)
from inventory.rules import RULES
from portal import clock


class Picker(forms.TextInput):
    """A text field for the slug of a row of ``noun``; suggestions are fetched when somebody types."""

    def __init__(self, noun: str, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"autocomplete": "off", "spellcheck": "false", "maxlength": "200", **(attrs or {})})
        self.noun = noun

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        ours = f"{(attrs or {}).get('id') or name}-choices"
        asking = {
            "list": ours,
            "hx-get": f"{reverse_lazy('choices', args=[self.noun])}?of={name}",
            "hx-trigger": "focus once, input changed delay:200ms",
            "hx-target": f"#{ours}",
            "hx-swap": "innerHTML",
        }
        field = super().render(name, value, {**(attrs or {}), **asking}, renderer)
        return format_html('{}<datalist id="{}"></datalist>', field, ours)


def _visible(model: type[models.Model]) -> Callable[[Any], models.QuerySet[Any]]:
    """The choices of a filter: what its reader may see, so that no name of a foreign thing leaks."""

    def choices(request: Any) -> models.QuerySet[Any]:
        rows: Any = model._default_manager
        return rows.visible_to(request.user) if request else rows.none()  # no request: the schema is being made

    return choices


def named(model: Any, **facts: Any) -> django_filters.ModelChoiceFilter:
    """A filter by the slug of a row of ``model`` that the reader may see; another slug is refused."""
    return django_filters.ModelChoiceFilter(
        queryset=_visible(model), to_field_name="slug", widget=Picker(model.noun), **facts
    )


class Tag(django_filters.CharFilter):
    """Rows that carry a tag."""

    def filter(self, qs: Any, value: Any) -> Any:
        return qs.filter(tags__contains=[value]) if value else qs


class DataCenterFilter(django_filters.FilterSet):
    class Meta:
        model = DataCenter
        fields = {"slug": ["exact"], "role": ["exact"]}


class EnvironmentFilter(django_filters.FilterSet):
    class Meta:
        model = Environment
        fields = {"slug": ["exact"], "kind": ["exact"]}


class NetworkZoneFilter(django_filters.FilterSet):
    """Zones by where they are and who reaches them."""

    environment = named(Environment)
    data_center = named(DataCenter)

    class Meta:
        model = NetworkZone
        fields = {"slug": ["exact"], "exposure": ["exact"]}


class ServiceFilter(django_filters.FilterSet):
    """Services by slug, tier, tag, and the slug of the team that owns them."""

    owner = django_filters.CharFilter(field_name="owner__slug", label="Owner")
    tag = Tag(label="Tag")

    class Meta:
        model = Service
        fields = {"slug": ["exact"], "tier": ["exact"]}


class LocatedFilter(django_filters.FilterSet):
    """By the slugs of where things stand and what they belong to, and by tag."""

    environment = named(Environment)
    service = named(Service)
    data_center = named(DataCenter)
    tag = Tag(label="Tag")


class ServerGroupFilter(LocatedFilter):
    class Meta:
        model = ServerGroup
        fields = {"slug": ["exact"]}


class ServerFilter(LocatedFilter):
    """Servers by kind, status, place and group."""

    group = named(ServerGroup)

    class Meta:
        model = Server
        fields = {"slug": ["exact"], "kind": ["exact"], "status": ["exact"], "external_id": ["exact"]}


class ComponentFilter(LocatedFilter):
    """Components by kind, status and place."""

    class Meta:
        model = Component
        fields = {"kind": ["exact"], "status": ["exact"]}


class ComponentApiFilter(ComponentFilter):
    """The same, and what only machines ask for."""

    server = named(Server)
    part_of = named(Component)

    class Meta(ComponentFilter.Meta):
        fields: Any = (
            *("slug", "kind", "status", "software", "version", "classification", "provenance"),
            *("external_id", "declared_by"),
        )


class EndpointFilter(django_filters.FilterSet):
    """Endpoints by component, port and protocol."""

    component = named(Component)
    zone = named(NetworkZone)

    class Meta:
        model = Endpoint
        fields = {"protocol": ["exact"], "port": ["exact"], "tls": ["exact"]}


class DependencyFilter(django_filters.FilterSet):
    """Dependencies by kind, relation, and the slug of either end."""

    source = django_filters.CharFilter(field_name="source__slug", label="Source", widget=Picker("component"))
    target = django_filters.CharFilter(field_name="target__slug", label="Target", widget=Picker("component"))
    environment = named(Environment, field_name="source__environment", label="Environment")

    class Meta:
        model = Dependency
        fields = {"kind": ["exact"], "relation": ["exact"]}


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


FILTERS: dict[str, type[django_filters.FilterSet]] = {
    "data-center": DataCenterFilter,
    "environment": EnvironmentFilter,
    "network-zone": NetworkZoneFilter,
    "server-group": ServerGroupFilter,
    "server": ServerFilter,
    "service": ServiceFilter,
    "component": ComponentFilter,
    "endpoint": EndpointFilter,
    "dependency": DependencyFilter,
}
"""The filters of each noun's list."""


class ChangeFilter(django_filters.FilterSet):
    """The difference of an import by what becomes of a row."""

    act = django_filters.ChoiceFilter(choices=ImportChange.Act.choices, label="What", empty_label="all")

    class Meta:
        model = ImportChange
        fields = ["act"]
