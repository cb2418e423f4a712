"""REST of the catalog that declares the estate."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from inventory.actions.catalog import PERMISSION, apply_catalog
from inventory.catalog import Difference, compare, load
from portal.api import REFUSALS, VerbInput, router
from portal.lifecycle import authorize


class FieldSerializer(serializers.Serializer[Any]):
    name = serializers.CharField()
    before = serializers.JSONField(allow_null=True)
    after = serializers.JSONField(allow_null=True)


class ChangeSerializer(serializers.Serializer[Any]):
    act = serializers.ChoiceField(["create", "change", "remove"])
    noun = serializers.CharField()
    key = serializers.CharField()
    fields_ = FieldSerializer(many=True)

    def get_fields(self) -> dict[str, Any]:
        # “fields” is an attribute of every serializer, so the field of that name is added by hand.
        found = super().get_fields()
        found["fields"] = found.pop("fields_")
        return found

    def to_representation(self, change: Any) -> dict[str, Any]:
        fields = [{"name": name, "before": before, "after": after} for name, before, after in change.fields]
        return {"act": change.act, "noun": change.noun, "key": change.key, "fields": fields}


class DifferenceSerializer(serializers.Serializer[Any]):
    """What applying the catalog changes. ``problems`` say why it cannot be applied."""

    catalog = serializers.CharField()
    summary = serializers.CharField()
    digest = serializers.CharField()
    counts = serializers.DictField(child=serializers.IntegerField())
    changes = ChangeSerializer(many=True)
    problems = serializers.SerializerMethodField()

    def get_problems(self, difference: Difference) -> list[str]:
        return [str(problem) for problem in difference.problems]


class PlanInput(VerbInput):
    expected_version = None  # type: ignore[assignment]  # DRF's way to drop a field


class ApplyInput(PlanInput):
    expected = serializers.CharField(
        required=False, allow_blank=True, max_length=64, help_text="Digest of the plan that was read."
    )


class CatalogApi(ViewSet):
    """The folder of YAML that the server was started with."""

    @extend_schema(request=PlanInput, responses={200: DifferenceSerializer, **REFUSALS}, summary="Compare the catalog")
    @action(detail=False, methods=["post"])
    def plan(self, request: Request) -> Response:
        """What applying the catalog would change. Changes nothing."""
        authorize(request.user, PERMISSION)
        PlanInput(data=request.data).is_valid(raise_exception=True)
        return Response(DifferenceSerializer(compare(load(settings.CATALOG_DIR))).data)

    @extend_schema(request=ApplyInput, responses={200: DifferenceSerializer, **REFUSALS}, summary="Apply the catalog")
    @action(detail=False, methods=["post"])
    def apply(self, request: Request) -> Response:
        """Make the catalog true; all of it or nothing. Answers what was changed."""
        authorize(request.user, PERMISSION)
        given = ApplyInput(data=request.data)
        given.is_valid(raise_exception=True)
        difference = apply_catalog(load(settings.CATALOG_DIR), by=request.user, **given.validated_data)
        return Response(DifferenceSerializer(difference).data)


router.register("catalog", CatalogApi, basename="catalog")
