"""REST of the catalogue of plans."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from operations import plan as plans
from operations import statistics
from portal.api import Problem, router
from portal.lifecycle import authorize


class ActSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    title = serializers.CharField()
    reversible = serializers.BooleanField()
    taking_back = serializers.CharField()
    timeout_seconds = serializers.FloatField()


class HistorySerializer(serializers.Serializer[Any]):
    """The last 90 days, over what the reader may see. Durations in seconds."""

    done = serializers.IntegerField()
    undone = serializers.IntegerField()
    stuck = serializers.IntegerField()
    success_percent = serializers.IntegerField(allow_null=True)
    median_seconds = serializers.SerializerMethodField()
    last = serializers.DateTimeField(allow_null=True)

    def get_median_seconds(self, history: statistics.History) -> float | None:
        return history.median.total_seconds() if history.median is not None else None


class PlanSerializer(serializers.Serializer[Any]):
    """One plan. ``params_schema`` is a JSON Schema (2020-12)."""

    kind = serializers.CharField()
    version = serializers.IntegerField()
    family = serializers.CharField(source="heading_in_lists")
    title = serializers.CharField(source="short")
    summary = serializers.CharField()
    risk = serializers.ChoiceField(choices=["low", "medium", "high"])
    permission = serializers.CharField()
    applies_to = serializers.CharField()
    needs = serializers.CharField()
    simulated = serializers.CharField()
    mutating = serializers.BooleanField()
    steered = serializers.BooleanField()
    params_schema = serializers.JSONField()
    acts = ActSerializer(many=True)


class PlanWithHistory(PlanSerializer):
    history = HistorySerializer()


class PlanApi(ViewSet):
    """Every plan the portal knows: what it does, on what, its risk, its parameters, and how it has done."""

    lookup_field = "kind"
    lookup_value_regex = "[A-Za-z0-9._-]+"

    @extend_schema(responses={200: PlanSerializer(many=True)}, summary="All plans")
    def list(self, request: Request) -> Response:
        """All plans, newest versions, by kind."""
        authorize(request.user, "operations.view")
        return Response(PlanSerializer(plans.newest(), many=True).data)

    @extend_schema(
        responses={200: PlanWithHistory, 404: OpenApiResponse(Problem)},
        parameters=[OpenApiParameter("kind", OpenApiTypes.STR, OpenApiParameter.PATH)],
        summary="One plan with its history",
    )
    def retrieve(self, request: Request, kind: str) -> Response:
        """One plan, and its history of 90 days."""
        authorize(request.user, "operations.view")
        try:
            known: Any = plans.get(kind)
        except plans.UnknownPlan:
            raise Http404 from None
        history = statistics.histories(request.user, kind).get(kind, statistics.History())
        return Response({**PlanSerializer(known).data, "history": HistorySerializer(history).data})


router.register("plans", PlanApi, basename="plan")
