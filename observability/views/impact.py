"""Screens that answer “what if it fails?” and “what could have broken it?”: a ranked list, and a picture beside it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from itertools import batched
from typing import Any

from django.http import HttpRequest, HttpResponseBase
from django.shortcuts import get_object_or_404
from django.urls import NoReverseMatch
from django.views.decorators.http import require_GET

from inventory.graph.failing import lost_with
from inventory.graph.impact import Impact, what_could_have, what_fails
from inventory.models import Component, DataCenter, Environment, NetworkZone, Server, Service
from observability.forms import ImpactForm
from observability.pictures.consequences import picture
from observability.suspects import suspects
from observability.views.paging import PAGE, paged, url
from portal.errors import Invalid
from portal.http import page
from portal.ui import export

PARAMETERS: dict[str, Any] = {
    "component": Component,
    "server": Server,
    "data-center": DataCenter,
    "zone": NetworkZone,
    "environment": Environment,
    "service": Service,
}
"""What can be said to fail, by its name in an address; each may be given several times."""
MOST_NAMED = 20
_UP = {"down": "take it down", "degraded": "degrade it"}


@require_GET
def component_impact(request: HttpRequest, slug: str) -> HttpResponseBase:
    """What fails with one component, or what could have broken it (``?direction=up``)."""
    component = get_object_or_404(Component.objects.visible_to(request.user), slug=slug)
    if request.GET.get("direction") != "up":
        return _answer(request, [component], what_fails(request.user, [component.pk]))
    return _answer(request, [component], what_could_have(request.user, component.pk, suspects))


@require_GET
def server_impact(request: HttpRequest, slug: str) -> HttpResponseBase:
    """What fails with everything on one server."""
    return _failing(request, [get_object_or_404(Server.objects.visible_to(request.user), slug=slug)])


@require_GET
def data_center_impact(request: HttpRequest, slug: str) -> HttpResponseBase:
    """What fails with everything in one data center."""
    return _failing(request, [get_object_or_404(DataCenter.objects.visible_to(request.user), slug=slug)])


@require_GET
def network_zone_impact(request: HttpRequest, slug: str) -> HttpResponseBase:
    """What fails with everything in one network zone."""
    return _failing(request, [get_object_or_404(NetworkZone.objects.visible_to(request.user), slug=slug)])


@require_GET
def service_impact(request: HttpRequest, slug: str) -> HttpResponseBase:
    """What fails with every component of one service."""
    return _failing(request, [get_object_or_404(Service.objects.visible_to(request.user), slug=slug)])


@require_GET
def impact(request: HttpRequest) -> HttpResponseBase:
    """What fails with several things at once: ``?component=…&server=…&data-center=…``, each as often as needed."""
    wanted = [(name, slug) for name in PARAMETERS for slug in request.GET.getlist(name)]
    if len(wanted) > MOST_NAMED or any("\x00" in slug for _, slug in wanted):
        raise Invalid(f"Name at most {MOST_NAMED} things that fail at once.")
    things = [get_object_or_404(PARAMETERS[name].objects.visible_to(request.user), slug=slug) for name, slug in wanted]
    return _failing(request, things)


def _failing(request: HttpRequest, things: list[Any]) -> HttpResponseBase:
    return _answer(request, things, what_fails(request.user, lost_with(things)))


def _answer(request: HttpRequest, things: list[Any], found: Impact) -> HttpResponseBase:
    asked = ImpactForm(request.GET).asked()
    places, number = found.only(asked["state"]), asked["page"]
    if request.GET.get("export") == "csv":
        return export.answer(request, "impact", "csv", export.csv_lines(_lines(found, places)))
    some = places[(number - 1) * PAGE : number * PAGE]
    context = {
        "title": _title(things, found.direction),
        "things": things,
        "impact": found,
        "rows": found.rows(some, "health"),
        **paged(request, number, len(places)),
        "tabs": _tabs(request, found, asked["state"]),
        "export": url(request, export="csv", page=None),
        "picture": picture(request.user, found),
        "crumbs": _crumbs(things),
    }
    return page(request, "observability/impact.html", context)


def _tabs(request: HttpRequest, found: Impact, state: str) -> list[tuple[str, int, str, bool]]:
    """(label, how many, address, whether it is the present one)"""
    words = _UP if found.direction == "up" else {}
    tabs = [("all", len(found.ranked), url(request, state=None, page=None), not state)]
    for name, many in found.states.items():
        tabs.append((words.get(name, name), many, url(request, state=name, page=None), state == name))
    return tabs


def _crumbs(things: list[Any]) -> list[tuple[str, str]]:
    """Back to what was asked about, where it has a page of its own."""
    with suppress(NoReverseMatch):
        return [(str(thing), thing.get_absolute_url()) for thing in things[:1]]
    return []


def _title(things: list[Any], direction: str) -> str:
    names = ", ".join(str(thing) for thing in things[:3]) + (f" and {len(things) - 3} more" if len(things) > 3 else "")
    if not things:
        return "If something fails"
    return (
        f"What could have broken {names}" if direction == "up" else f"If {names} fail{'s' if len(things) == 1 else ''}"
    )


def _lines(found: Impact, places: list[int]) -> Iterator[list[Any]]:
    """The whole list for a file, read some at a time."""
    yield ["component", "state", "distance", "reason", "service", "tier", "environment", "data center", "dependents"]
    for some in batched(places, 2000):
        for row in found.rows(some):
            it = row.component
            place = [
                it.service.slug,
                it.service.tier,
                it.environment.slug,
                it.data_center.slug if it.data_center else "",
            ]
            yield [it.slug, row.state, row.distance, str(row.reason), *place, row.dependents]
