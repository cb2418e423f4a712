"""Screens to look at: an environment's architecture, the explorer, the map of data centers, and the matrix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from inventory.filters import ListFilters
from inventory.models import Component, Dependency, Environment
from observability import queries
from observability.filters import MATRIX
from observability.forms import ExplorerForm, PageForm
from observability.matrix import matrix as services_by_environment
from observability.pictures import centers, figure
from observability.pictures.neighbours import around, explored
from observability.pictures.queries import counted, needs_of, replications
from observability.pictures.scene import Scene, gather
from observability.views.paging import paged
from portal import ui
from portal.errors import Invalid
from portal.http import page


@require_GET
def topology(request: HttpRequest, slug: str) -> HttpResponse:
    """The architecture of one environment: delivery, edge, services, runtime and stores, and the same as a table."""
    environments = _ordered(Environment.objects.visible_to(request.user))
    environment = _chosen(environments, slug)
    if environment is None:
        raise Http404
    rows = Component.objects.visible_to(request.user).filter(environment=environment)
    links = Dependency.objects.visible_to(request.user).filter(source__environment=environment)
    scene = gather(rows, links, _opening(environment.slug))
    context = {
        "title": f"Architecture of {environment}",
        "environment": environment,
        "environments": environments,
        **_drawn(scene, f"Architecture of {environment}"),
    }
    return page(request, "observability/topology.html", context)


@require_GET
def explorer(request: HttpRequest) -> HttpResponse:
    """What is around one component (``?focus=``), or an environment of which services are opened step by step."""
    form = ExplorerForm(request.GET)
    asked, visible = form.asked(), Component.objects.visible_to(request.user)
    environments = [] if asked["focus"] else _ordered(Environment.objects.visible_to(request.user))
    chosen = _chosen(environments, asked["environment"] if environments else "")
    focus = get_object_or_404(visible, slug=asked["focus"]) if asked["focus"] else None
    opened = [slug for slug in request.GET.getlist("open") if "\x00" not in slug][:20]
    links = Dependency.objects.visible_to(request.user)
    near = around(focus, links, asked["direction"], asked["hops"]) if focus else None
    how = (_opening_here(request), opened, focus and focus.pk)
    scene = explored(visible, links, near.keys if near else chosen, how)
    context = {
        "title": f"Around {focus.name}" if focus else "Explorer",
        "focus": focus,
        "near": near,
        "asked": asked,
        "form": form,
        "opened": opened,
        "chosen": chosen,
        **_drawn(scene, f"What {focus} is linked with" if focus else f"Parts of {chosen}", bands=focus is None),
        "environments": environments,
    }
    return page(request, "observability/explorer.html", context)


def _drawn(scene: Scene, name: str, *, bands: bool = True) -> dict[str, Any]:
    """A picture and its table twin."""
    picture = figure.draw(scene.things, scene.links, bands=bands)
    return {"scene": scene, "picture": picture, "needs": needs_of(scene), "name": name}


def _ordered(environments: Iterable[Environment]) -> list[Environment]:
    """What matters most comes first."""
    return sorted(environments, key=lambda one: (queries.KINDS.index(one.kind), one.slug))  # type: ignore[arg-type]


def _chosen(environments: list[Environment], slug: str) -> Environment | None:
    """The environment that the address names, or the first. Raises ``Http404`` for one that may not be seen."""
    found = next((one for one in environments if not slug or one.slug == slug), None)
    if slug and found is None:
        raise Http404
    return found


def _opening(environment: str) -> Any:
    """A bundle of an environment's figure leads to the explorer, which opens it."""
    base = reverse("explorer")
    return lambda of: (
        f"{base}?{urlencode({'environment': environment, 'open': of['service']})}"
        if of["service"]
        else (f"{reverse('component-list')}?{urlencode({'environment': environment, 'kind': of['kind']})}")
    )


def _opening_here(request: HttpRequest) -> Any:
    """A bundle of the explorer is opened beside what is open already."""

    def address(of: Mapping[str, str]) -> str:
        if not of["service"]:
            return f"{reverse('component-list')}?{urlencode({'kind': of['kind']})}"
        query = request.GET.copy()
        query.setlist("open", list(dict.fromkeys([*query.getlist("open"), of["service"]])))
        return f"{request.path}?{query.urlencode()}"

    return address


@require_GET
def data_center_map(request: HttpRequest) -> HttpResponse:
    """Data centers with what stands there, and what replication between them is now."""
    environments = _ordered(Environment.objects.visible_to(request.user))
    environment = _chosen(environments, request.GET.get("environment", ""))
    found = replications(request.user, environment)
    context = {
        "title": "Data centers",
        "environments": environments,
        "chosen": environment,
        "replications": found,
        "drawn": found[: centers.MOST_ARROWS],
        "map": centers.draw(counted(Component.objects.visible_to(request.user).filter(environment=environment)), found),
    }
    return page(request, "observability/map.html", context)


@require_GET
def matrix(request: HttpRequest) -> HttpResponse:
    """Environment × service: the worst health, how many, versions, and what other apps have to say about the cell."""
    seen = Component.objects.visible_to(request.user)
    narrowed = ListFilters("component", request.GET, queryset=seen, request=request, shown=MATRIX)
    number = PageForm(request.GET).asked()["page"]
    if not narrowed.is_valid():
        raise Invalid("The matrix cannot be narrowed by that.")
    shown = services_by_environment(narrowed.qs, number)
    for place in ("dashboard-cells", "matrix-cells"):
        queries.mark(shown, ui.panels_for(request, place, shown))
    context = {"title": "Environments and services", "shown": shown, "filter": narrowed}
    context |= paged(request, number, shown.total)
    return page(request, "observability/matrix.html", context)
