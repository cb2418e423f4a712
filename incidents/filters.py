"""Filters of the incident list, for the screen and the API alike."""

from __future__ import annotations

from typing import Any

import django_filters

from incidents import severity
from incidents.lifecycle import incident as lifecycle
from incidents.models import Incident
from inventory.models import Environment

STAGES = [("open", "Open"), ("working", "Being worked on"), ("all", "All, also closed")]


def _environments(request: Any) -> Any:
    return Environment.objects.visible_to(request.user) if request else Environment.objects.none()


class IncidentFilter(django_filters.FilterSet):
    """``stage`` gathers states; ``mine`` is what the reader commands, acknowledged or was called for."""

    stage = django_filters.ChoiceFilter(choices=STAGES, method="in_stage", label="Show", empty_label="Open")
    state = django_filters.MultipleChoiceFilter(choices=lifecycle.choices, label="State")
    severity = django_filters.MultipleChoiceFilter(choices=severity.SEVERITIES, label="Severity")
    environment = django_filters.ModelChoiceFilter(
        queryset=_environments, field_name="environment", to_field_name="slug", label="Environment", empty_label="Any"
    )
    component = django_filters.CharFilter(field_name="component__slug", label="Component")
    mine = django_filters.BooleanFilter(method="of_reader", label="Only mine")

    class Meta:
        model = Incident
        fields = ["stage", "state", "severity", "environment", "component", "mine"]

    def in_stage(self, rows: Any, name: str, value: str) -> Any:
        return {"open": rows.open, "working": rows.working, "all": rows.all}[value]()

    def of_reader(self, rows: Any, name: str, value: bool) -> Any:
        return rows.of(self.request.user.person_id) if value and self.request else rows
