"""REST of identity: who am I, and my tokens."""

from __future__ import annotations

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import mixins, serializers, status
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet, ViewSet

from identity import actions
from identity.models import Account, ApiToken
from portal import events
from portal.api import Problem, VerbInput, router


class MeSerializer(serializers.ModelSerializer[Account]):
    """The account behind this request, and what it may do somewhere."""

    name = serializers.CharField(source="__str__")
    person = serializers.CharField(source="person.name", default=None)
    teams: Any = serializers.SlugRelatedField("slug", many=True, read_only=True)
    actions = serializers.SerializerMethodField()
    second_factor_fresh = serializers.SerializerMethodField()

    class Meta:
        model = Account
        fields = ("id", "username", "name", "kind", "person", "teams", "actions", "second_factor_fresh")

    def get_actions(self, account: Account) -> list[str]:
        return sorted(account.get_all_permissions())

    def get_second_factor_fresh(self, account: Account) -> bool:
        return events.stepped_up()


class MeApi(ViewSet):
    """The account behind this request."""

    @extend_schema(responses=MeSerializer)
    def list(self, request: Request) -> Response:
        """Who I am here, and which actions I hold on at least one scope."""
        account: Any = request.user
        return Response(MeSerializer(account).data)


class TokenSerializer(serializers.ModelSerializer[ApiToken]):
    class Meta:
        model = ApiToken
        fields = ("id", "label", "created_at", "expires_at", "last_used_at", "revoked_at")


class NewTokenSerializer(TokenSerializer):
    """The only answer that ever holds the token's text."""

    text = serializers.CharField()

    class Meta(TokenSerializer.Meta):
        fields = (*TokenSerializer.Meta.fields, "text")  # type: ignore[assignment]


class TokenInput(VerbInput):
    expected_version = None  # type: ignore[assignment]
    label = serializers.CharField(max_length=80)  # type: ignore[assignment]
    days = serializers.IntegerField(min_value=1, max_value=90, default=30)


class NoInput(VerbInput):
    expected_version = None  # type: ignore[assignment]


REFUSALS = {code: OpenApiResponse(Problem) for code in (400, 401, 403, 404, 409, 422)}


class TokenApi(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[ApiToken]):
    """One's own API tokens."""

    queryset = ApiToken.objects.all()
    serializer_class = TokenSerializer
    lookup_value_converter = "uuid"
    ordering = ("-created_at",)

    def get_queryset(self) -> Any:
        return ApiToken.objects.filter(account=self.request.user.pk)

    @extend_schema(request=TokenInput, responses={201: NewTokenSerializer, **REFUSALS})
    def create(self, request: Request) -> Response:
        """Make a token; its text is in this answer and nowhere else. Needs a fresh second factor (`X-OTP`)."""
        given = TokenInput(data=request.data)
        given.is_valid(raise_exception=True)
        account: Any = request.user
        token, text = actions.create_token(account, by=account, **given.validated_data)
        body = {**TokenSerializer(token).data, "text": text}
        return Response(body, status=status.HTTP_201_CREATED)

    @extend_schema(request=NoInput, responses={200: TokenSerializer, **REFUSALS})
    @action(detail=True, methods=["post"])
    def revoke(self, request: Request, pk: Any = None) -> Response:
        """End a token at once."""
        token = self.get_object()
        NoInput(data=request.data).is_valid(raise_exception=True)
        return Response(TokenSerializer(actions.revoke_token(token, by=request.user)).data)  # type: ignore[arg-type]


router.register("me", MeApi, basename="me")
router.register("tokens", TokenApi, basename="token")
