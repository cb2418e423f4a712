"""The routes of every noun.

Data centers, environments and services are addressed by slug or id. The slugs of all others hold slashes or are none,
so they are addressed by id; ``?slug=production/us-central/api`` finds one by its slug.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import Http404, HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.decorators import action
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import GenericViewSet

from inventory.actions.operate import fitting, operate
from inventory.actions.reload import reload
from inventory.api import reading, writing
from inventory.api.describing import described
from inventory.api.shapes import address
from inventory.models import NOUNS
from inventory.writing import declaration
from operations.api import PlanSerializer, RequestInput, RunInput, planning
from portal.api import REFUSALS, router


class EstateApi(GenericViewSet[Any]):
    """List, detail, and writing one or many rows, of one noun."""

    noun: str
    lookup_value_regex = "[^/]+"
    filter_backends = ()
    pagination_class = None
    serializer_class = serializers.Serializer  # rows are made by ``inventory.api.reading``

    def list(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return reading.as_json(reading.page(self.noun, request))

    def retrieve(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        row, tag = reading.one(self.noun, request, self._addressed())
        if row is None:
            raise Http404
        # Other rows that are shown along change without this one.
        tag = "" if request.query_params.get("expand") else tag
        if tag and request.headers.get("If-None-Match", "").strip() in (tag, tag.removeprefix("W/")):
            return HttpResponse(status=304, headers={"ETag": tag})
        return reading.as_json(row, tag=tag)

    def create(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return writing.many(self.noun, request, "create")

    def upsert_many(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return writing.many(self.noun, request, "upsert")

    def change_many(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return writing.many(self.noun, request, "update")

    def remove_many(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return writing.many(self.noun, request, "remove")

    def update(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return writing.one(self.noun, request, self._key(), "replace")

    def partial_update(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return writing.one(self.noun, request, self._key(), "update")

    def destroy(self, request: Request, *args: Any, **kwargs: Any) -> HttpResponse:
        return writing.one(self.noun, request, self._key(), "remove")

    def get_object(self) -> Any:
        if (found := self._addressed().first()) is None:
            raise Http404
        return found

    def get_queryset(self) -> Any:
        return reading.visible(self.noun, self.request.user)

    def _addressed(self) -> Any:
        """The row of the address, if the reader may see it."""
        text = self.kwargs[self.lookup_field]
        rows = self.get_queryset().order_by()
        try:
            return rows.filter(pk=UUID(text))
        except ValueError:
            by_slug = self.lookup_field == "slug" and "\x00" not in text
            return rows.filter(slug=text) if by_slug else rows.none()

    def _key(self) -> UUID:
        text = self.kwargs[self.lookup_field]
        try:
            return UUID(text)
        except ValueError:
            key: UUID | None = self._addressed().values_list("pk", flat=True).first()
        if key is None:
            raise Http404
        return key


class ReloadInput(RequestInput):
    expected_version = None  # type: ignore[assignment]  # DRF's way to drop it: a component has no version of its own


class OperateInput(RunInput):
    expected_version = None  # type: ignore[assignment]
    plan = serializers.CharField(max_length=80, help_text="The kind of a plan that fits, see `plans`.")
    params = serializers.DictField(required=False, help_text="As the plan's schema describes them.")


class ComponentRoutes(EstateApi):
    """What else can be asked of a component."""

    reload = planning(reload, "reload", ReloadInput)
    operate = planning(operate, "operate", OperateInput)

    @extend_schema(responses={200: PlanSerializer(many=True), **REFUSALS}, filters=False, summary="Plans that fit")
    @action(detail=True, methods=["get"])
    def plans(self, request: Request, **kwargs: Any) -> Response:
        """Every plan that can be asked for on this component, with the schema of its parameters."""
        return Response(PlanSerializer(fitting(self.get_object()), many=True).data)


BASES: dict[str, type[EstateApi]] = {"component": ComponentRoutes}


def _routes(noun: str) -> type[EstateApi]:
    known = declaration(noun)
    base = BASES.get(noun, EstateApi)
    by_slug = known.key == ("slug",) and not known.placed
    facts = {
        "noun": noun,
        "queryset": known.model._default_manager.all(),
        "lookup_field": "slug" if by_slug else "pk",
        "__doc__": (known.model.__doc__ or "").partition("\n")[0],
        "__module__": __name__,
    }
    return described(noun, type(f"{known.model.__name__}Api", (base,), facts))


for each in NOUNS:
    router.register(address(each), _routes(each), basename=each)
