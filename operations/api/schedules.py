"""REST of schedules."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from operations import actions, queries
from operations.api.operations import ReasonInput
from operations.models import Schedule
from portal.api import NounApi, Problem, Route, VerbInput, router
from portal.errors import Invalid

REFUSALS = {code: OpenApiResponse(Problem) for code in (400, 401, 403, 422)}


class ScheduleSerializer(serializers.ModelSerializer[Schedule]):
    label = serializers.CharField(read_only=True)  # type: ignore[assignment]  # a field of that name, not its label
    environment = serializers.CharField(source="scope.environment", read_only=True)
    service = serializers.CharField(source="scope.service", read_only=True)
    upcoming = serializers.SerializerMethodField()

    class Meta:
        model = Schedule
        fields = [
            *("id", "number", "label", "plan_kind", "params", "subject_type", "subject_id", "subject_label"),
            *("environment", "service", "cron", "time_zone", "reason", "in_window", "state", "next_at", "upcoming"),
            *("last_at", "problem", "created_at", "row_version"),
        ]
        read_only_fields = fields

    def get_upcoming(self, schedule: Schedule) -> list[str]:
        return [instant.isoformat() for instant in schedule.upcoming()] if schedule.next_at else []


class ScheduleInput(VerbInput):
    expected_version = None  # type: ignore[assignment]  # DRF's way to drop a field
    subject = serializers.CharField(max_length=160, help_text="What it acts on: `inventory.component:<id>`.")
    plan = serializers.CharField(max_length=80)
    params = serializers.DictField(required=False)
    cron = serializers.CharField(max_length=120)
    time_zone = serializers.CharField(max_length=64, required=False)
    in_window = serializers.BooleanField(required=False)
    reason = serializers.CharField(max_length=500)


class ScheduleApi(NounApi):
    """Plans that ask for themselves at set times."""

    queryset = Schedule.objects.select_related("scope")
    serializer_class = ScheduleSerializer
    ordering = ("number",)
    verbs = {
        "suspend": Route(actions.suspend, ReasonInput),
        "reactivate": Route(actions.reactivate),
        "retire": Route(actions.retire, ReasonInput),
    }

    @extend_schema(request=ScheduleInput, responses={201: ScheduleSerializer, **REFUSALS}, summary="Schedule a plan")
    def create(self, request: Request) -> Response:
        """Let a plan ask for itself on one thing at each instant of a cron expression."""
        given = ScheduleInput(data=request.data)
        given.is_valid(raise_exception=True)
        values: dict[str, Any] = dict(given.validated_data)
        subject = queries.named(values.pop("subject"), request.user)
        if subject is None:
            raise Invalid(
                "There is no such thing that you may see.", fields={"subject": ["app.model:key is expected."]}
            )
        made = actions.schedule(subject, by=request.user, **values)
        return Response(ScheduleSerializer(made).data, status=status.HTTP_201_CREATED)


router.register("schedules", ScheduleApi, basename="schedule")
