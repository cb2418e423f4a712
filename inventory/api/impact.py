"""REST of blast radius: what fails with one component or with several at once, and what could have broken one."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from inventory.graph.changes import changed
from inventory.graph.failing import lost_with
from inventory.graph.impact import Impact, Row, what_could_have, what_fails
from inventory.models import Component, DataCenter, Environment, NetworkZone, Server, Service
from portal.api import REFUSALS, VerbInput, router

MOST = 500
NOUNS: dict[str, Any] = {
    "components": Component,
    "servers": Server,
    "data_centers": DataCenter,
    "network_zones": NetworkZone,
    "environments": Environment,
    "services": Service,
}


class PageInput(VerbInput):
    """Which part of the list. ``offset`` counts from 0."""

    expected_version = None  # type: ignore[assignment]  # DRF's way to drop a field
    state = serializers.ChoiceField(["down", "degraded"], required=False, help_text="Only what would be in this state.")
    limit = serializers.IntegerField(required=False, default=50, min_value=1, max_value=MOST)
    offset = serializers.IntegerField(required=False, default=0, min_value=0, max_value=10_000_000)


class DirectionInput(PageInput):
    direction = serializers.ChoiceField(
        ["down", "up"], required=False, default="down", help_text="down: what fails with it; up: what could break it."
    )


def _slugs() -> serializers.ListField:
    return serializers.ListField(child=serializers.CharField(max_length=200), required=False, max_length=100)


class FailingInput(PageInput):
    """What fails at once, by slug. A place or a service fails with all its components."""

    components, servers, data_centers = _slugs(), _slugs(), _slugs()
    network_zones, environments, services = _slugs(), _slugs(), _slugs()


class RowSerializer(serializers.Serializer[Row]):
    id = serializers.UUIDField(source="component.pk")
    component = serializers.CharField(source="component.slug")
    service = serializers.CharField(source="component.service.slug")
    state = serializers.ChoiceField(["down", "degraded"])
    distance = serializers.IntegerField()
    dependents = serializers.IntegerField(help_text="How many need it directly.")
    reason = serializers.CharField()
    changed_at = serializers.DateTimeField(source="suspicion.at", allow_null=True, default=None)


class CountsSerializer(serializers.Serializer[Any]):
    down = serializers.IntegerField()
    degraded = serializers.IntegerField()
    hidden = serializers.IntegerField(help_text="How many others that may not be seen.")
    services = serializers.IntegerField()
    data_centers = serializers.IntegerField()
    environments = serializers.IntegerField()


class ImpactSerializer(serializers.Serializer[Any]):
    """The list, the worst first, and what it comes to. ``next`` is the offset of the following page."""

    direction = serializers.ChoiceField(["down", "up"])
    counts = CountsSerializer()
    next = serializers.IntegerField(allow_null=True)
    results = RowSerializer(many=True)


def _answer(found: Impact, asked: dict[str, Any]) -> Response:
    places = found.only(asked.get("state", ""))
    first, last = asked["offset"], asked["offset"] + asked["limit"]
    told = {
        "direction": found.direction,
        "counts": {**found.states, "hidden": found.hidden, **found.counts},
        "next": last if len(places) > last else None,
        "results": found.rows(places[first:last]),
    }
    return Response(ImpactSerializer(told).data)


class ComponentImpactApi(ViewSet):
    """What fails with one component, or could have broken it."""

    @extend_schema(parameters=[DirectionInput], responses={200: ImpactSerializer, **REFUSALS}, summary="Blast radius")
    def list(self, request: Request, component: str) -> Response:
        """Ranked: down first, then by tier, distance and dependents. ``up``: changed lately first, then the nearest."""
        given = DirectionInput(data=request.query_params.dict())
        given.is_valid(raise_exception=True)
        found = get_object_or_404(Component.objects.visible_to(request.user), pk=component)
        if given.validated_data["direction"] == "up":
            return _answer(what_could_have(request.user, found.pk, changed), given.validated_data)
        return _answer(what_fails(request.user, [found.pk]), given.validated_data)


class ImpactApi(ViewSet):
    """What fails with several things at once."""

    @extend_schema(
        request=FailingInput, responses={200: ImpactSerializer, **REFUSALS}, summary="Blast radius of several"
    )
    def create(self, request: Request) -> Response:
        """Changes nothing. A name that is not there, or may not be seen, is named in the refusal."""
        given = FailingInput(data=request.data)
        given.is_valid(raise_exception=True)
        things: list[Any] = []
        unknown: dict[str, list[str]] = {}
        for name, model in NOUNS.items():
            slugs = set(given.validated_data.get(name, ()))
            found = list(model.objects.visible_to(request.user).filter(slug__in=slugs)) if slugs else []
            if missing := sorted(slugs - {thing.slug for thing in found}):
                unknown[name] = [f"There is no “{slug}”." for slug in missing]
            things += found
        if unknown:
            raise serializers.ValidationError(unknown)
        return _answer(what_fails(request.user, lost_with(things)), given.validated_data)


_KEY = "(?P<component>[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})"
router.register(f"components/{_KEY}/impact", ComponentImpactApi, basename="component-impact")
router.register("impact", ImpactApi, basename="impact")
