"""Where operations show up on other screens, and in the search."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import CharField, F, QuerySet, Value
from django.db.models.functions import Cast, Concat, Replace
from django.http import HttpRequest
from django.urls import reverse

from operations import plan as plans
from operations.models import Operation
from portal import search, ui
from portal.prepared import prepared

RECENT = 5

# One place with tabs (templates/operations/tabs.html): four places about the same work would crowd the rest out.
LISTS = ("plan-list", "schedule-list", "window-list")
ui.nav("Operations", "operation-list", icon="player-play", order=40, action="operations.view", beside=LISTS)


STATE = Replace(F("state"), Value("_"), Value(" "))
search.source(
    "operation", "Operations", icon="player-play", rows=Operation.objects.visible_to, page="operation-detail",
    title=Concat(Value("OP-"), Cast("number", CharField()), Value(" "), F("title")), detail=STATE, key="number",
    number=("OP", "number"), order="-number", place=40,
)  # fmt: skip


@search.offers("plan", "Plans", icon="list-check", place=60)
def plans_to_look_at(reader: Any, held: frozenset[str]) -> Iterator[search.Offer]:
    """Every plan that the portal knows."""
    for known in plans.newest() if "operations.view" in held else ():
        yield search.Offer(known.short, reverse("plan-detail", args=[known.kind]), known.kind, known.family)


@ui.panel("component-detail", order=40)
@ui.panel("incident-detail", order=40)
def operations_of(request: HttpRequest, obj: Any) -> ui.Panel | None:
    """The latest operations on the thing, or caused by it."""
    return _panel(_of(request.user, obj._meta.label_lower, str(obj.pk)), "")


@ui.panel("service-detail", order=40)
def operations_of_service(request: HttpRequest, obj: Any) -> ui.Panel | None:
    """The latest operations on anything of the service, in every environment the reader may see."""
    return _panel(_of_service(request.user, obj.slug), f"?service={obj.slug}")


@prepared
def _of(reader: Any, noun: str, key: str) -> QuerySet[Operation]:
    rows = Operation.objects.visible_to(reader).of_key(noun, key)
    return rows.select_related("scope").order_by("-number")[:RECENT]


@prepared
def _of_service(reader: Any, service: str) -> QuerySet[Operation]:
    rows = Operation.objects.visible_to(reader).filter(scope__service=service)
    return rows.select_related("scope").order_by("-number")[:RECENT]


def _panel(found: list[Operation], query: str) -> ui.Panel | None:
    if not found:
        return None
    href = reverse("operation-list") + query if query else ""
    template = "operations/operation_panel.html"
    return ui.Panel("Operations", template, {"operations": found}, slug="operations", icon="player-play", href=href)
