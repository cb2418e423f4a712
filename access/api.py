"""REST of temporary access: ``/api/v1/access-requests/`` and ``/api/v1/grants/``."""

from __future__ import annotations

from typing import Any

from django.shortcuts import get_object_or_404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.request import Request
from rest_framework.response import Response

from access import actions, queries
from access.filters import AccessRequestFilter, GrantFilter
from access.models import AccessRequest, Grant
from identity.models import Account
from portal.api import NounApi, Problem, Route, VerbInput, router
from portal.errors import Invalid


class AccessRequestSerializer(serializers.ModelSerializer[AccessRequest]):
    """A request for temporary access."""

    environment = serializers.CharField(source="scope.environment")
    service = serializers.CharField(source="scope.service")
    requester = serializers.CharField(source="requester.username")
    beneficiary = serializers.CharField(source="beneficiary.username")
    decided_by = serializers.CharField(source="decided_by.username", default=None)
    minutes = serializers.IntegerField()
    extends = serializers.CharField(source="extends.key", default=None)

    class Meta:
        model = AccessRequest
        fields = (
            *("key", "state", "row_version", "environment", "service", "role", "requester", "beneficiary", "reason"),
            *("minutes", "wanted_from", "requested_at", "decide_by", "content_hash", "extends"),
            *("decided_at", "decided_by", "decision_note", "granted_seconds", "closed_at"),
        )


class RequestInput(VerbInput):
    """``beneficiary``: an account name, when somebody else shall get the access; ``extends``: the key of my grant."""

    expected_version = None  # type: ignore[assignment]
    environment = serializers.SlugField(max_length=64)
    service = serializers.SlugField(max_length=64)
    minutes = serializers.IntegerField(min_value=5, max_value=480)
    reason = serializers.CharField(min_length=10, max_length=2000)
    wanted_from = serializers.DateTimeField(required=False, allow_null=True)
    beneficiary = serializers.CharField(required=False, max_length=64)
    extends = serializers.CharField(required=False, max_length=24)


class ApproveInput(VerbInput):
    minutes = serializers.IntegerField(required=False, min_value=5, max_value=480)
    note = serializers.CharField(required=False, allow_blank=True, max_length=2000)
    content_hash = serializers.CharField(required=False, max_length=64)


class DenyInput(VerbInput):
    note = serializers.CharField(max_length=2000)


class RevokeInput(VerbInput):
    reason = serializers.CharField(max_length=2000)


REFUSALS = {code: OpenApiResponse(Problem) for code in (400, 401, 403, 404, 409, 422)}


class AccessRequestApi(NounApi):
    """Requests for temporary access: one's own, and those of the scopes one may see."""

    queryset = AccessRequest.objects.select_related("scope", "requester", "beneficiary", "decided_by", "extends")
    serializer_class = AccessRequestSerializer
    filterset_class = AccessRequestFilter
    lookup_field = "key"
    ordering = ("-requested_at",)
    verbs = {
        "approve": Route(actions.approve, ApproveInput),
        "deny": Route(actions.deny, DenyInput),
        "cancel": Route(actions.cancel),
    }

    @extend_schema(request=RequestInput, responses={201: AccessRequestSerializer, **REFUSALS})
    def create(self, request: Request) -> Response:
        """Ask for access to one service in one environment for a while."""
        given = RequestInput(data=request.data)
        given.is_valid(raise_exception=True)
        values: dict[str, Any] = dict(given.validated_data)
        scope = queries.scope_named(values.pop("environment"), values.pop("service"))
        if "beneficiary" in values:
            values["beneficiary"] = _beneficiary(values["beneficiary"])
        if key := values.pop("extends", None):
            values["extends"] = get_object_or_404(Grant.objects.live(), key=key, account=request.user, scope=scope)
        made = actions.request_access(scope, by=request.user, **values)  # type: ignore[arg-type]
        return Response(self.get_serializer(made).data, status=status.HTTP_201_CREATED)


def _beneficiary(name: str) -> Account:
    account = Account.objects.filter(username=name).first()
    if account is None:
        text = "This account cannot see the service, or is no person's."
        raise Invalid("This cannot be asked for.", [text], {"beneficiary": [text]})
    return account


class GrantSerializer(serializers.ModelSerializer[Grant]):
    """A role that somebody holds for a while."""

    environment = serializers.CharField(source="scope.environment")
    service = serializers.CharField(source="scope.service")
    account = serializers.CharField(source="account.username")
    request = serializers.CharField(source="request.key")
    live = serializers.BooleanField(source="is_live")
    ended_by = serializers.CharField(source="ended_by.username", default=None)

    class Meta:
        model = Grant
        fields = (
            *("key", "state", "row_version", "live", "environment", "service", "role", "account", "request"),
            *("starts_at", "ends_at", "activated_at", "ended_at", "ended_by", "end_cause"),
        )


class GrantApi(NounApi):
    """Grants: one's own, and those of the scopes one may see. ``live`` is by the clock."""

    queryset = Grant.objects.select_related("scope", "account", "request", "ended_by")
    serializer_class = GrantSerializer
    filterset_class = GrantFilter
    lookup_field = "key"
    ordering = ("-starts_at",)
    verbs = {"revoke": Route(actions.revoke, RevokeInput), "give-back": Route(actions.give_back)}


router.register("access-requests", AccessRequestApi, basename="access-request")
router.register("grants", GrantApi, basename="grant")
