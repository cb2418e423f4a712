"""REST of the estate: what is there, and the catalog that declares it.

Data centers, environments and services are looked up by slug. A component's slug holds slashes, so components are
looked up by id, and ``GET /components/?slug=production/us-central/api`` finds one by its slug.
"""

from __future__ import annotations

from typing import Any

from django.conf import settings
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from identity.models import Team
from inventory import filters
from inventory.actions.catalog import PERMISSION, apply_catalog
from inventory.actions.operate import fitting, operate
from inventory.actions.reload import reload
from inventory.catalog import Difference, compare, load
from inventory.models import Component, DataCenter, Dependency, Environment, Service
from operations.api import PlanSerializer, RequestInput, RunInput, planning
from portal.api import NounApi, Problem, VerbInput, router
from portal.lifecycle import authorize

REFUSALS = {code: OpenApiResponse(Problem) for code in (400, 401, 403, 404, 409, 422)}


class DataCenterSerializer(serializers.ModelSerializer[DataCenter]):
    class Meta:
        model = DataCenter
        fields = ["id", "slug", "name", "provider", "region", "role"]


class EnvironmentSerializer(serializers.ModelSerializer[Environment]):
    class Meta:
        model = Environment
        fields = ["id", "slug", "name", "kind", "description"]


class ServiceSerializer(serializers.ModelSerializer[Service]):
    owner = serializers.SlugRelatedField[Team](slug_field="slug", read_only=True)

    class Meta:
        model = Service
        fields = ["id", "slug", "name", "description", "tier", "language", "repository", "runbook", "owner"]


class ComponentSerializer(serializers.ModelSerializer[Component]):
    environment = serializers.SlugRelatedField[Environment](slug_field="slug", read_only=True)
    service = serializers.SlugRelatedField[Service](slug_field="slug", read_only=True)
    data_center = serializers.SlugRelatedField[DataCenter](slug_field="slug", read_only=True, allow_null=True)

    class Meta:
        model = Component
        fields = [
            *("id", "slug", "name", "kind", "environment", "service", "data_center"),
            *("endpoint", "connection", "attributes", "created_at"),
        ]


class DependencySerializer(serializers.ModelSerializer[Dependency]):
    # A declared field, which the metaclass takes off the class: it does not hide ``Field.source``.
    source = serializers.SlugRelatedField[Component](  # type: ignore[assignment]
        slug_field="slug", read_only=True
    )
    target = serializers.SlugRelatedField[Component](slug_field="slug", read_only=True)

    class Meta:
        model = Dependency
        fields = ["id", "source", "target", "kind"]


class DataCenterApi(NounApi):
    """Places where things run."""

    queryset = DataCenter.objects.all()
    serializer_class = DataCenterSerializer
    filterset_class = filters.DataCenterFilter
    lookup_field = "slug"
    ordering = ("slug",)


class EnvironmentApi(NounApi):
    """Local, staging and production."""

    queryset = Environment.objects.all()
    serializer_class = EnvironmentSerializer
    filterset_class = filters.EnvironmentFilter
    lookup_field = "slug"
    ordering = ("slug",)


class ServiceApi(NounApi):
    """What users know by name."""

    queryset = Service.objects.select_related("owner")
    serializer_class = ServiceSerializer
    filterset_class = filters.ServiceFilter
    lookup_field = "slug"
    ordering = ("slug",)


class ReloadInput(RequestInput):
    expected_version = None  # type: ignore[assignment]  # DRF's way to drop it: a component has no version of its own


class OperateInput(RunInput):
    expected_version = None  # type: ignore[assignment]
    plan = serializers.CharField(max_length=80, help_text="The kind of a plan that fits, see `plans`.")
    params = serializers.DictField(required=False, help_text="As the plan's schema describes them.")


class ComponentApi(NounApi):
    """Each thing that runs and can be pointed at."""

    queryset = Component.objects.select_related("environment", "service", "data_center")
    serializer_class = ComponentSerializer
    filterset_class = filters.ComponentApiFilter
    ordering = ("slug",)
    reload = planning(reload, "reload", ReloadInput)
    operate = planning(operate, "operate", OperateInput)

    @extend_schema(responses={200: PlanSerializer(many=True), **REFUSALS}, filters=False, summary="Plans that fit")
    @action(detail=True, methods=["get"], pagination_class=None, filter_backends=[])
    def plans(self, request: Request, **kwargs: Any) -> Response:
        """Every plan that can be asked for on this component, with the schema of its parameters."""
        return Response(PlanSerializer(fitting(self.get_object()), many=True).data)


class DependencyApi(NounApi):
    """What needs what."""

    queryset = Dependency.objects.select_related("source", "target")
    serializer_class = DependencySerializer
    filterset_class = filters.DependencyFilter
    ordering = ("source__slug", "target__slug")


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


router.register("data-centers", DataCenterApi, basename="data-center")
router.register("environments", EnvironmentApi, basename="environment")
router.register("services", ServiceApi, basename="service")
router.register("components", ComponentApi, basename="component")
router.register("dependencies", DependencyApi, basename="dependency")
router.register("catalog", CatalogApi, basename="catalog")
