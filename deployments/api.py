"""REST of artifacts and deployments, and the CI webhook."""

from __future__ import annotations

from typing import Any

from django.http import Http404
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from deployments import actions, intake
from deployments.filters import ArtifactFilter, DeploymentFilter
from deployments.models import Artifact, CiSource, Deployment, Wave
from inventory.models import Environment, Service
from portal.api import NounApi, Problem, Route, VerbInput, router
from portal.errors import Invalid

REFUSALS = {code: OpenApiResponse(Problem) for code in (400, 401, 403, 404, 409, 422)}


class ArtifactSerializer(serializers.ModelSerializer[Artifact]):
    service = serializers.SlugRelatedField[Service](slug_field="slug", read_only=True)
    author = serializers.CharField(source="author_label", read_only=True)

    class Meta:
        model = Artifact
        fields = ["id", "service", "version", "digest", "location", "commit", "author", "run_url", "announced_at"]


class WaveSerializer(serializers.ModelSerializer[Wave]):
    component = serializers.SlugRelatedField[Any](slug_field="slug", read_only=True)
    operation = serializers.SlugRelatedField[Any](slug_field="number", read_only=True)
    back = serializers.SlugRelatedField[Any](slug_field="number", read_only=True)

    class Meta:
        model = Wave
        fields = ["position", "component", "operation", "back"]


class DeploymentSerializer(serializers.ModelSerializer[Deployment]):
    number = serializers.CharField(source="url_key", read_only=True)
    artifact = ArtifactSerializer(read_only=True)
    service = serializers.SlugRelatedField[Service](slug_field="slug", read_only=True)
    environment = serializers.SlugRelatedField[Environment](slug_field="slug", read_only=True)
    waves = WaveSerializer(many=True, read_only=True)
    requested_by = serializers.StringRelatedField[Any]()
    approved_by = serializers.StringRelatedField[Any]()

    class Meta:
        model = Deployment
        fields = [
            *("id", "number", "state", "row_version", "artifact", "service", "environment", "waves", "plan_digest"),
            *("requested_by", "requested_at", "approved_by", "approved_at", "started_at", "finished_at", "outcome"),
        ]


class ApproveInput(VerbInput):
    note = serializers.CharField(required=False, allow_blank=True, default="", max_length=2000)


class ReasonInput(VerbInput):
    reason = serializers.CharField(max_length=2000)


class DeploymentRequest(VerbInput):
    artifact = serializers.UUIDField()
    environment = serializers.SlugField(max_length=64)


class ArtifactApi(NounApi):
    """What CI built. POST announces a version; it goes to staging by itself."""

    queryset = Artifact.objects.select_related("service")
    serializer_class = ArtifactSerializer
    filterset_class = ArtifactFilter
    ordering = ("-announced_at",)

    @extend_schema(request=intake.Announcement, responses={201: ArtifactSerializer, **REFUSALS})
    def create(self, request: Request) -> Response:
        given = intake.Announcement(data=request.data)
        given.is_valid(raise_exception=True)
        values = dict(given.validated_data)
        values.pop("expected_version", None)
        service = Service.objects.visible_to(request.user).filter(slug=values.pop("service")).first()
        if service is None:
            raise Invalid(
                "There is no such service.", fields={"service": ["No service of this name that you may see."]}
            )
        artifact = actions.announce(service, by=request.user, **values)
        return Response(self.get_serializer(artifact).data, status=status.HTTP_201_CREATED)


class DeploymentApi(NounApi):
    """Versions on their way into environments. POST asks for one."""

    queryset = Deployment.objects.select_related(
        "artifact__service", "service", "environment", "scope", "requested_by__person", "approved_by__person"
    ).prefetch_related("waves__component", "waves__operation", "waves__back")
    serializer_class = DeploymentSerializer
    filterset_class = DeploymentFilter
    ordering = ("-number",)
    verbs = {
        "approve": Route(actions.approve, ApproveInput),
        "reject": Route(actions.reject, ReasonInput),
        "cancel": Route(actions.cancel, ReasonInput),
        "withdraw": Route(actions.withdraw, ReasonInput),
        "settle": Route(actions.settle, ReasonInput),
    }

    def get_object(self) -> Deployment:
        """By id, or by number as ``DEP-7``."""
        key = self.kwargs["pk"]
        if key.upper().startswith("DEP-") and key[4:].isascii() and key[4:].isdigit() and len(key) < 14:
            found = self.get_queryset().filter(number=int(key[4:])).first()
            if found is None:
                raise Http404
            return found
        return super().get_object()

    @extend_schema(request=DeploymentRequest, responses={201: DeploymentSerializer, **REFUSALS})
    def create(self, request: Request) -> Response:
        given = DeploymentRequest(data=request.data)
        given.is_valid(raise_exception=True)
        artifact = Artifact.objects.visible_to(request.user).filter(pk=given.validated_data["artifact"]).first()
        environment = (
            Environment.objects.visible_to(request.user).filter(slug=given.validated_data["environment"]).first()
        )
        if artifact is None or environment is None:
            raise Invalid("The artifact or the environment is not there, or you may not see it.")
        deployment = actions.request(artifact, by=request.user, environment=environment)
        return Response(self.get_serializer(deployment).data, status=status.HTTP_201_CREATED)


class CiWebhook(APIView):
    """``POST /api/v1/webhooks/ci/<source>/``: a signed announcement (Standard Webhooks)."""

    authentication_classes = ()
    permission_classes = ()

    @extend_schema(
        request=intake.Announcement,
        parameters=[
            OpenApiParameter(name, str, OpenApiParameter.HEADER, required=True)
            for name in ("webhook-id", "webhook-timestamp", "webhook-signature")
        ],
        responses={202: ArtifactSerializer, **REFUSALS},
        auth=[],
    )
    def post(self, request: Request, source: str) -> Response:
        body = request._request.read(intake.MAX_BODY_BYTES + 1)
        if len(body) > intake.MAX_BODY_BYTES:
            raise Invalid(f"The body is larger than {intake.MAX_BODY_BYTES} bytes.")
        found = CiSource.objects.filter(slug=source, is_active=True).select_related("account").first()
        if found is None:
            raise Http404
        headers = {name.lower(): value for name, value in request.headers.items()}
        artifact = intake.receive(found, headers, body)
        return Response(ArtifactSerializer(artifact).data, status=status.HTTP_202_ACCEPTED)


router.register("artifacts", ArtifactApi, basename="artifact")
router.register("deployments", DeploymentApi, basename="deployment")
