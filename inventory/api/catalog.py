"""REST of the catalog that declares the estate."""

from __future__ import annotations

from typing import Any

from django.http import StreamingHttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.parsers import JSONParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from inventory.actions.catalog import PERMISSION, apply_catalog
from inventory.catalog import Difference, compare, export
from inventory.forms.catalog import PLACING, ExportForm
from inventory.models import AppliedCatalog
from inventory.reconcile.catalogs import Reading, read_catalog
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
    """Where the catalog is read. Without ``source`` and ``file`` it is the folder that the portal was started with."""

    expected_version = None  # type: ignore[assignment]  # DRF's way to drop a field
    # A declared field, which the metaclass takes off the class: it does not hide ``Field.source``.
    source = serializers.CharField(  # type: ignore[assignment]
        required=False, allow_blank=True, max_length=64, help_text="A repository by its name in the portal's settings."
    )
    ref = serializers.CharField(required=False, allow_blank=True, max_length=200, help_text="Branch, tag or commit.")
    file = serializers.FileField(
        required=False, help_text="YAML, a tar or zip of YAML files, or a state of Terraform (multipart)."
    )
    catalog = serializers.SlugField(required=False, max_length=50, help_text="Of a state: the name of its catalog.")
    environment = serializers.SlugField(required=False, max_length=64, help_text="Of a state: of its resources.")
    service = serializers.SlugField(required=False, max_length=64, help_text="Of a state: of its resources.")
    data_center = serializers.SlugField(required=False, max_length=64)

    def read(self) -> Reading:
        """The catalog that is asked for."""
        given = self.validated_data
        where = {name: given.get(name, "") for name in ("source", "ref")}
        placing = {name: given.get(name, "") for name in PLACING}
        return read_catalog(**where, file=given.get("file"), placing=placing)


class ApplyInput(PlanInput):
    expected = serializers.CharField(
        required=False, allow_blank=True, max_length=64, help_text="Digest of the plan that was read."
    )
    reason = serializers.CharField(required=False, allow_blank=True, max_length=1000)


class AppliedSerializer(serializers.ModelSerializer[AppliedCatalog]):
    class Meta:
        model = AppliedCatalog
        fields = [
            *("id", "catalog", "applied_at", "applied_by", "source", "commit", "digest"),
            *("created", "changed", "removed", "nouns"),
        ]


class CatalogApi(ViewSet):
    """What declares the estate: read from a folder, a repository or an upload, compared, applied and exported."""

    parser_classes = [JSONParser, MultiPartParser]

    @extend_schema(request=PlanInput, responses={200: DifferenceSerializer, **REFUSALS}, summary="Compare a catalog")
    @action(detail=False, methods=["post"])
    def plan(self, request: Request) -> Response:
        """What applying the catalog would change. Changes nothing."""
        authorize(request.user, PERMISSION)
        given = PlanInput(data=request.data)
        given.is_valid(raise_exception=True)
        return Response(DifferenceSerializer(compare(given.read().estate())).data)

    @extend_schema(request=ApplyInput, responses={200: DifferenceSerializer, **REFUSALS}, summary="Apply a catalog")
    @action(detail=False, methods=["post"])
    def apply(self, request: Request) -> Response:
        """Make the catalog true; all of it or nothing. Answers what was changed."""
        authorize(request.user, PERMISSION)
        given = ApplyInput(data=request.data)
        given.is_valid(raise_exception=True)
        reading = given.read()
        said = {name: given.validated_data[name] for name in ("expected", "reason") if name in given.validated_data}
        difference = apply_catalog(reading.estate(), by=request.user, **reading.facts, **said)
        return Response(DifferenceSerializer(difference).data)

    @extend_schema(
        responses={(200, "application/yaml"): OpenApiTypes.STR, **REFUSALS},
        parameters=[OpenApiParameter(name) for name in ExportForm.base_fields],
        summary="Export the estate",
    )
    @action(detail=False, methods=["get"])
    def export(self, request: Request) -> StreamingHttpResponse:
        """The estate, or a part of it, as YAML that loads again without a difference: as much as the reader may see."""
        asked = ExportForm(request.query_params).asked()
        return StreamingHttpResponse(export.whole(actor=request.user, **asked), content_type="application/yaml")

    @extend_schema(responses={200: AppliedSerializer(many=True), **REFUSALS}, summary="Catalogs that were applied")
    @action(detail=False, methods=["get"])
    def applied(self, request: Request) -> Response:
        """The last hundred times that a catalog was applied, the newest first."""
        authorize(request.user, PERMISSION)
        return Response(AppliedSerializer(AppliedCatalog.objects.all()[:100], many=True).data)


router.register("catalog", CatalogApi, basename="catalog")
