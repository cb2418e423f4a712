"""Screens that answer “what is there?”: one service, component, environment or data center."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Q
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.views.decorators.http import require_GET

from inventory.actions.reload import RELOAD
from inventory.models import Component, DataCenter, Dependency, Endpoint, Environment, Service
from inventory.views.nouns import described, facts
from inventory.views.tools import rights, tools, watching
from portal.http import page

LINKS = 30
"""How many dependencies a page names each way; the rest is in their list."""


PORTS = ArraySubquery(
    Endpoint.objects.filter(component=OuterRef("pk"))
    .order_by("port", "name")
    .values(told=JSONObject(**{name: name for name in ("id", "name", "protocol", "host", "port", "path", "tls")}))[
        :LINKS
    ]
)
"""The endpoints of a component as part of the query for it."""


def _links(request: HttpRequest, *narrow: Q, **ends: Any) -> ArraySubquery:
    """Dependencies between visible components as part of another query: source, target (slugs), kind and relation.

    The page's own end is put in order first: an index has it so, and the limit is reached after a few rows.
    """
    own = ("target", "source") if any(end.startswith("target") for end in ends) else ("source", "target")
    rows = Dependency.objects.visible_to(request.user).filter(*narrow, **ends)
    rows = rows.order_by(*(f"{end}__slug" for end in own))
    names = {"source": "source__slug", "target": "target__slug", "kind": "kind", "relation": "relation"}
    return ArraySubquery(rows.values(link=JSONObject(**names))[: LINKS + 1])


def _both_ways(needs: list[Any], needed_by: list[Any], **more: str) -> dict[str, Any]:
    """Context of both lists of dependencies; ``more`` leads to what does not fit."""
    context: dict[str, Any] = {"needs": needs[:LINKS], "needed_by": needed_by[:LINKS]}
    for name, found in (("more_needs", needs), ("more_needed_by", needed_by)):
        context[name] = f"{reverse('dependency-list')}?{more[name]}" if len(found) > LINKS else ""
    return context


@require_GET
def service_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One service: what it is, what it needs, what needs it, and what the other apps know about it."""
    own = OuterRef("pk")
    # Links within the service say nothing about it as a whole.
    needs = _links(request, ~Q(target__service=own), source__service=own)
    needed = _links(request, ~Q(source__service=own), target__service=own)
    services = Service.objects.visible_to(request.user).select_related("owner")
    service: Any = get_object_or_404(
        services.annotate(needs=needs, needed=needed, watched=watching(request)), slug=slug
    )
    context = {"title": service.name, "service": service, "facts": _of_service(service)} | tools(request, service)
    search = urlencode({"q": slug})
    context |= _both_ways(service.needs, service.needed, more_needs=search, more_needed_by=search)
    return page(request, "inventory/service_detail.html", context | {"crumbs": [("Services", reverse("service-list"))]})


def _of_service(service: Service) -> list[tuple[Any, ...]]:
    """Who answers for it, how much it matters, and where to read more."""
    found: list[tuple[Any, ...]] = [("Owner", service.owner and service.owner.name), ("Tier", service.tier)]
    found += [("SLO", f"{service.slo.normalize():f} %" if service.slo is not None else None)]
    found += [("Language", " ".join(filter(None, (service.language, service.framework))))]
    for label, url in (("Repository", service.repository), ("Runbook", service.runbook)):
        found.append((label, url and format_html('<a href="{0}" rel="noreferrer">{0}</a>', url)))
    return found + described(service)


@require_GET
def component_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One component: what was declared about it, both ways of its dependencies, and its health."""
    joined = ("environment", "service", "data_center", "server", "part_of", "health")
    rows = Component.objects.visible_to(request.user).select_related(*joined)
    rows = rows.annotate(needed=_links(request, source=OuterRef("pk")), needing=_links(request, target=OuterRef("pk")))
    rows = rows.annotate(watched=watching(request), held=rights(request), ports=PORTS)
    component: Any = get_object_or_404(rows, slug=slug)
    context = {"title": component.name, "component": component, "facts": facts(component)} | tools(request, component)
    context["environment"] = component.environment
    context["may_reload"] = component.kind == Component.Kind.APP and RELOAD.permission in context["held"]
    ends = {"more_needs": urlencode({"source": slug}), "more_needed_by": urlencode({"target": slug})}
    context |= _both_ways(component.needed, component.needing, **ends)
    service = (component.service.name, component.service.get_absolute_url())
    context["crumbs"] = [("Components", reverse("component-list")), service]
    return page(request, "inventory/component_detail.html", context)


@require_GET
def environment_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One environment."""
    environment = get_object_or_404(Environment.objects.visible_to(request.user), slug=slug)
    context = {"title": environment.name, "environment": environment, "facts": facts(environment)}
    context["crumbs"] = [("Environments", reverse("environment-list"))]
    return page(request, "inventory/environment_detail.html", context | tools(request, environment))


@require_GET
def data_center_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One data center."""
    center = get_object_or_404(DataCenter.objects.visible_to(request.user), slug=slug)
    context = {"title": center.name, "facts": facts(center), "crumbs": [("Data centers", reverse("data-center-list"))]}
    return page(request, "inventory/data_center_detail.html", context | tools(request, center))
