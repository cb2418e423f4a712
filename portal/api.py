"""REST: the base of every noun's routes, paging, and refusals as problem JSON (RFC 9457).

A noun is ``class IncidentApi(NounApi)``: a queryset, a serializer, and one ``Route`` per verb.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from django.core.exceptions import PermissionDenied
from django.db import DataError
from django.http import Http404
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import exceptions, mixins, routers, serializers, status
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.routers import DefaultRouter
from rest_framework.viewsets import GenericViewSet

from portal import events
from portal.errors import Refused, out_of_range
from portal.lifecycle import expect_version

PROBLEM = "application/problem+json"


class Problem(serializers.Serializer[Any]):
    """Why a request was refused."""

    title = serializers.CharField()
    status = serializers.IntegerField()
    detail = serializers.CharField()
    problems = serializers.ListField(child=serializers.CharField(), required=False)
    # The metaclass takes declared fields off the class, so this one does not hide the serializer's own ``fields``.
    fields = serializers.DictField(  # type: ignore[assignment]
        child=serializers.ListField(child=serializers.CharField()), required=False
    )
    request_id = serializers.CharField()


REFUSALS = {code: OpenApiResponse(Problem) for code in (400, 401, 403, 404, 409, 422)}


class VerbInput(serializers.Serializer[Any]):
    """Base of every verb's input. ``expected_version`` refuses a decision on an outdated view."""

    expected_version = serializers.IntegerField(required=False, min_value=1)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        unknown = set(getattr(self, "initial_data", {})) - set(self.fields)
        if unknown:
            raise serializers.ValidationError({name: ["There is no such field."] for name in sorted(unknown)})
        return attrs


@dataclass(frozen=True)
class Route:
    """``POST …/<verb>/``: validates ``input``, calls ``verb(obj, by=…, **input)``, answers with the noun."""

    verb: Callable[..., Any]
    input: type[VerbInput] = VerbInput


class NounApi(mixins.ListModelMixin, mixins.RetrieveModelMixin, GenericViewSet[Any]):
    """List and detail through ``visible_to``, and one POST route per entry of ``verbs``."""

    verbs: dict[str, Route] = {}
    lookup_value_regex = "[^/]+"

    def get_queryset(self) -> Any:
        return self.queryset.all().visible_to(self.request.user)  # type: ignore[union-attr, arg-type]

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name, route in cls.verbs.items():
            setattr(cls, name.replace("-", "_"), _verb_method(cls, name, route))


def _verb_method(view: type[NounApi], name: str, route: Route) -> Any:
    from rest_framework.decorators import action

    def act(self: NounApi, request: Request, **kwargs: Any) -> Response:
        obj = self.get_object()
        given = route.input(data=request.data)
        given.is_valid(raise_exception=True)
        values = dict(given.validated_data)
        expect_version(obj, values.pop("expected_version", None))
        result = route.verb(obj, by=request.user, **values)
        return Response(self.get_serializer(result if isinstance(result, type(obj)) else obj).data)

    act.__name__ = name.replace("-", "_")
    act.__doc__ = route.verb.__doc__
    act = extend_schema(
        request=route.input,
        responses={
            200: view.serializer_class,
            **REFUSALS,
        },
        summary=(route.verb.__doc__ or name).strip().splitlines()[0],
    )(act)
    return action(detail=True, methods=["post"], url_path=name, url_name=name)(act)


def problem(error: Exception, context: dict[str, Any]) -> Response | None:
    """DRF's exception handler: every 4xx is a problem document with a sentence that says what is wrong."""
    if isinstance(error, DataError):
        error = out_of_range(error)
    if isinstance(error, Refused):
        return _document(
            error.status, error.title, error.detail, problems=error.problems, fields=error.fields, errors=error.errors
        )
    if isinstance(error, Http404):
        return _document(404, "Not found", "There is nothing here that you may see.")
    if isinstance(error, PermissionDenied):
        return _document(403, "Not allowed", str(error) or "You may not do this.")
    if isinstance(error, exceptions.ValidationError):
        return _document(400, "Invalid input", "Some fields are not right.", fields=_flatten(error.detail))
    if isinstance(error, exceptions.APIException):
        response = _document(error.status_code, error.default_code.replace("_", " ").capitalize(), str(error.detail))
        if challenge := getattr(error, "auth_header", None):
            response["WWW-Authenticate"] = challenge
        return response
    return None


def _flatten(detail: Any, prefix: str = "") -> dict[str, list[str]]:
    if isinstance(detail, dict):
        flat: dict[str, list[str]] = {}
        for name, inner in detail.items():
            flat |= _flatten(inner, f"{prefix}.{name}" if prefix else str(name))
        return flat
    return {prefix or "non_field_errors": [str(item) for item in (detail if isinstance(detail, list) else [detail])]}


def _document(code: int, title: str, detail: str, **more: Any) -> Response:
    body = {"title": title, "status": code, "detail": detail, "request_id": events.context().request_id}
    body |= {name: value for name, value in more.items() if value}
    response = Response(body, status=code, content_type=PROBLEM)
    if code == status.HTTP_401_UNAUTHORIZED and title != "Unauthorized":
        response["WWW-Authenticate"] = 'Bearer error="insufficient_user_authentication"'
    return response


class Router(DefaultRouter):
    """Lists may also be written as a whole, where a noun has the methods for it."""

    routes = [
        route._replace(mapping={**route.mapping, "put": "upsert_many", "patch": "change_many", "delete": "remove_many"})
        if isinstance(route, routers.Route) and "post" in route.mapping
        else route
        for route in DefaultRouter.routes
    ]


router = Router()
router.include_root_view = True
