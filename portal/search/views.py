"""Search: the page that works without a script, the palette's part of it, and REST."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_POST, require_safe
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.viewsets import ViewSet

from portal import ui
from portal.api import Problem, router
from portal.errors import Invalid
from portal.http import page
from portal.search.finding import SHOWN, Found, Hit, find, matching, named, which
from portal.search.sources import Offer, Offers, Source, offers, registry
from portal.search.words import read
from portal.ui import navigation

LONGEST, MOST, RECENT = 200, 50, 8
VISITED = "visited"


@offers("place", "Go to", icon="arrow-right", place=2)
def places(reader: Any, held: frozenset[str]) -> Iterator[Offer]:
    """Every place in the navigation that the reader may open."""
    for entry in navigation.entries.values():
        if (not entry.action or entry.action in held) and (url := navigation.address(entry.url_name)):
            yield Offer(entry.label, url, entry.section)


def _text(given: Any) -> str:
    text: str = given.get("q", "").strip()
    if len(text) > LONGEST or "\x00" in text:
        raise Invalid("The search text is too long or has characters that no text has.")
    return text


@require_safe
def search(request: HttpRequest) -> HttpResponse:
    """What ``?q=`` finds, by kind; one kind as a list with pages; without a text, what was opened last."""
    text, kind = _text(request.GET), request.GET.get("kind", "")
    if kind and kind not in registry:
        raise Invalid(f"There is no kind “{kind}” to search. Kinds: {', '.join(sorted(registry))}.")
    context: dict[str, Any] = {"title": "Search", "q": text, "kind": registry.get(kind)}
    if isinstance(source := registry.get(kind), Source) and text:
        return page(request, "search.html", context | {"table": _listed(request, source)})
    if not text:
        actions, held = registry.get("action"), navigation.rights_of(request.user.pk).held
        offered = list(actions.made(request.user, frozenset(held))) if isinstance(actions, Offers) else []
        context |= {"recent": named(request.user, _visited(request)), "actions": offered}
    return page(request, "search.html", context | {"found": _found(request.user, text, kind, SHOWN)})


def _found(user: Any, text: str, kind: str, limit: int) -> Found:
    if not text:
        return Found(read(text), [])
    account = navigation.with_rights(user.pk, tables=which(text)).get()
    return find(user, text, held=account.held, tables=account.tables, kind=kind, limit=limit)


def _listed(request: HttpRequest, source: Source) -> ui.Table:
    rows = source.rows(request.user)
    shown = {name: source.text(name) for name in ("title", "detail", "key")}
    columns = [
        ui.Column("found_title", source.label, sort=False, link=lambda row: source.url(row.found_key)),
        ui.Column("found_detail", "Details", sort=False),
    ]
    return ui.Table(
        request, rows.annotate(**{f"found_{name}": value for name, value in shown.items()}), columns,
        order=source.order, caption=source.label,
        search=lambda rows, text: matching(rows, text, words=source.words, inside=source.inside),
    )  # fmt: skip


def _visited(request: HttpRequest) -> list[tuple[str, str]]:
    return [(kind, key) for kind, key in request.session.get(VISITED, [])]


@require_POST
def visited(request: HttpRequest) -> HttpResponse:
    """Remember in the session what was opened from the search, so that it is offered next time."""
    kind, key = request.POST.get("kind", ""), request.POST.get("key", "")
    if isinstance(registry.get(kind), Source) and 0 < len(key) <= LONGEST:
        others = [list(pair) for pair in _visited(request) if pair != (kind, key)]
        request.session[VISITED] = [[kind, key], *others][:RECENT]
    return HttpResponse(status=204)


class HitSerializer(serializers.Serializer[Hit]):
    kind = serializers.CharField()
    key = serializers.CharField(help_text="The id; the address where there is none.")
    title = serializers.CharField()
    detail = serializers.CharField()
    url = serializers.CharField(help_text="The page in the portal.")


class GroupSerializer(serializers.Serializer[Any]):
    kind = serializers.CharField()
    label = serializers.CharField()  # type: ignore[assignment]  # the metaclass takes it off the class
    more = serializers.BooleanField(help_text="There is more than is listed.")
    hits = HitSerializer(many=True)


class FoundSerializer(serializers.Serializer[Any]):
    """``guessed``: nothing matches as it was typed; these are what was probably meant."""

    guessed = serializers.BooleanField()
    groups = GroupSerializer(many=True)


class SearchApi(ViewSet):
    """Everything that can be found, by kind."""

    @extend_schema(
        parameters=[
            OpenApiParameter("q", str, required=True, description="Words; all must be there."),
            OpenApiParameter("kind", str, description="Only this kind."),
            OpenApiParameter("limit", int, description=f"Hits of each kind, up to {MOST}."),
        ],
        responses={200: FoundSerializer, 422: OpenApiResponse(Problem)},
        summary="Search over everything",
    )
    def list(self, request: Request) -> Response:
        """Exact names first, then beginnings, then words; a slip in a word is forgiven when nothing else is found."""
        given = request.query_params
        limit, kind = given.get("limit", "10"), given.get("kind", "")
        if not (limit.isascii() and limit.isdigit() and 0 < int(limit[:9]) <= MOST):
            raise Invalid(f"The limit is a number from 1 to {MOST}.")
        if kind and kind not in registry:
            raise Invalid(f"There is no kind “{kind}” to search. Kinds: {', '.join(sorted(registry))}.")
        return Response(FoundSerializer(_found(request.user, _text(given), kind, int(limit))).data)


router.register("search", SearchApi, basename="search")
