"""REST of drift and of the runs that find it."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response

from inventory.actions import discovery, drift
from inventory.catalog.proposal import of_folder
from inventory.filters import DiscoveryFilter, DriftFilter
from inventory.models import DiscoveryRun, Drift
from portal.api import REFUSALS, NounApi, Route, VerbInput, router


class ReasonInput(VerbInput):
    reason = serializers.CharField(max_length=1000, required=False, allow_blank=True)


class ExemptInput(VerbInput):
    until = serializers.DateTimeField()
    reason = serializers.CharField(max_length=1000)


class DriftSerializer(serializers.ModelSerializer[Drift]):
    about = serializers.CharField(read_only=True, help_text="The component's slug, or the address of a stray thing.")
    # A declared field, which the metaclass takes off the class: it does not hide ``Field.source``.
    source = serializers.CharField(read_only=True)  # type: ignore[assignment]
    operation = serializers.IntegerField(source="operation.number", read_only=True, allow_null=True)

    class Meta:
        model = Drift
        fields = [
            *("id", "about", "kind", "field", "declared", "observed", "others", "source", "since", "state"),
            *("component", "decided_at", "decided_by", "reason", "exempt_until", "operation", "settled_at"),
            "row_version",
        ]
        read_only_fields = fields


class ProposalSerializer(serializers.Serializer[Any]):
    """The change of one file of the catalog; both empty when none would settle the drift."""

    file = serializers.CharField(allow_blank=True)
    diff = serializers.CharField(allow_blank=True)


class DriftApi(NounApi):
    """What is seen otherwise than it is declared. Without `state` only what is not settled is listed."""

    queryset = Drift.objects.select_related("component", "sighting", "operation")
    serializer_class = DriftSerializer
    filterset_class = DriftFilter
    ordering = ("-since",)
    verbs = {
        "accept": Route(drift.accept, ReasonInput),
        "plan": Route(drift.plan, ReasonInput),
        "exempt": Route(drift.exempt, ExemptInput),
        "revoke": Route(drift.revoke, ReasonInput),
    }

    @extend_schema(responses={200: ProposalSerializer, **REFUSALS}, filters=False, summary="The catalog's change")
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def proposal(self, request: Request, **kwargs: Any) -> Response:
        """The change of the catalog's files, as a unified diff, that would settle the drift."""
        found = of_folder(self.get_object(), settings.CATALOG_DIR)
        return Response({"file": found.file if found else "", "diff": found.diff if found else ""})


class DiscoverySerializer(serializers.ModelSerializer[DiscoveryRun]):
    source = serializers.CharField(read_only=True)  # type: ignore[assignment]

    class Meta:
        model = DiscoveryRun
        fields = [
            *("id", "source", "driver", "listed", "state", "at", "started_at", "finished_at"),
            *("found", "new", "changed", "gone", "known", "vanished", "problem", "row_version"),
        ]
        read_only_fields = fields


class DiscoveryApi(NounApi):
    """Each reading of each scope of each source."""

    queryset = DiscoveryRun.objects.all()
    serializer_class = DiscoverySerializer
    filterset_class = DiscoveryFilter
    ordering = ("-started_at",)
    verbs = {
        "confirm-removal": Route(discovery.confirm_removal, ReasonInput),
        "dismiss": Route(discovery.dismiss, ReasonInput),
    }


router.register("drift", DriftApi, basename="drift")
router.register("discoveries", DiscoveryApi, basename="discovery")
