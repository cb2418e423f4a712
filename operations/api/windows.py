"""REST of freezes and maintenance windows."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from operations import actions
from operations.api.operations import ReasonInput
from operations.models import ChangeWindow
from portal.api import NounApi, Problem, Route, VerbInput, router
from portal.lifecycle import authorize

REFUSALS = {code: OpenApiResponse(Problem) for code in (400, 401, 403, 422)}


class WindowSerializer(serializers.ModelSerializer[ChangeWindow]):
    phase = serializers.CharField(read_only=True)

    class Meta:
        model = ChangeWindow
        fields = [
            *("id", "kind", "environment", "service", "starts_at", "ends_at", "reason", "state", "phase"),
            *("declared_label", "created_at", "row_version"),
        ]
        read_only_fields = fields


class DeclareInput(VerbInput):
    expected_version = None  # type: ignore[assignment]  # DRF's way to drop a field
    kind = serializers.ChoiceField(choices=ChangeWindow.Kind.choices)
    environment = serializers.CharField(max_length=64, required=False)
    service = serializers.CharField(max_length=64, required=False)
    starts_at = serializers.DateTimeField()
    ends_at = serializers.DateTimeField()
    reason = serializers.CharField(max_length=500)


class WindowApi(NounApi):
    """When operations may begin."""

    queryset = ChangeWindow.objects.all()
    serializer_class = WindowSerializer
    ordering = ("-starts_at",)
    verbs = {"lift": Route(actions.lift, ReasonInput)}

    def get_queryset(self) -> Any:
        authorize(self.request.user, "operations.view")
        return ChangeWindow.objects.all()

    @extend_schema(request=DeclareInput, responses={201: WindowSerializer, **REFUSALS}, summary="Declare a window")
    def create(self, request: Request) -> Response:
        """Declare a freeze or a maintenance window."""
        given = DeclareInput(data=request.data)
        given.is_valid(raise_exception=True)
        made = actions.declare(by=request.user, **given.validated_data)
        return Response(WindowSerializer(made).data, status=status.HTTP_201_CREATED)


router.register("windows", WindowApi, basename="window")
