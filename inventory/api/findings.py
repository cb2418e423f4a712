"""REST of findings: what breaks a rule of the estate, and letting it be until a day."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from inventory import filters
from inventory.actions.findings import reinstate, waive
from inventory.models import Component, Environment, Finding, Service
from inventory.rules import RULES
from portal.api import NounApi, Route, VerbInput, router


class FindingSerializer(serializers.ModelSerializer[Finding]):
    """One finding. ``component`` is null when it is about a whole service; ``gone_at`` says when it was mended."""

    severity = serializers.SerializerMethodField(help_text="critical, high, medium or low")
    title = serializers.SerializerMethodField()
    mend = serializers.SerializerMethodField(help_text="What to do about it.")
    component = serializers.SlugRelatedField[Component](slug_field="slug", read_only=True, allow_null=True)
    service = serializers.SlugRelatedField[Service](slug_field="slug", read_only=True)
    environment = serializers.SlugRelatedField[Environment](slug_field="slug", read_only=True, allow_null=True)

    class Meta:
        model = Finding
        fields = [
            *("id", "rule", "title", "severity", "component", "service", "environment", "detail", "mend"),
            *("since", "gone_at", "exempt_until", "exempt_reason"),
        ]

    def get_severity(self, finding: Finding) -> str:
        return str(finding.get_severity_display()).lower()

    def get_title(self, finding: Finding) -> str:
        return RULES[finding.rule].title if finding.rule in RULES else finding.rule

    def get_mend(self, finding: Finding) -> str:
        return RULES[finding.rule].mend if finding.rule in RULES else ""


class WaiveInput(VerbInput):
    expected_version = None  # type: ignore[assignment]  # a finding has no version: it is found, not moved
    until = serializers.DateField(help_text="The last day of the exemption.")
    reason = serializers.CharField(max_length=1000)


class ReinstateInput(VerbInput):
    expected_version = None  # type: ignore[assignment]
    reason = serializers.CharField(max_length=1000, required=False, allow_blank=True)


class FindingApi(NounApi):
    """What breaks a rule of the estate now, the worst first. ``?state=`` open (default), exempt, mended or all."""

    queryset = Finding.objects.select_related("component", "service", "environment")
    serializer_class = FindingSerializer
    filterset_class = filters.FindingFilter
    ordering = ("severity", "since")

    def filter_queryset(self, queryset: Any) -> Any:
        # One that is exempted or mended has an address as well, though lists leave it out.
        return queryset if self.detail else super().filter_queryset(queryset)

    verbs: dict[str, Any] = {"waive": Route(waive, WaiveInput), "reinstate": Route(reinstate, ReinstateInput)}


router.register("findings", FindingApi, basename="finding")
