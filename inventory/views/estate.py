"""Screens that answer “what is there?”: one service, component, environment or data center."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Q, QuerySet
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html, format_html_join
from django.utils.http import urlencode
from django.utils.safestring import SafeString
from django.views.decorators.http import require_GET

from inventory.actions.reload import RELOAD
from inventory.models import Component, DataCenter, Dependency, Endpoint, Environment, Service
from inventory.views.nouns import described, facts
from inventory.views.tools import rights, tools, watching
from portal.http import page
from portal.prepared import first_or_404, prepared

SOME = "-/-/-"
"""Stands for the slug of a component in the address of its page."""
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


def _links(reader: Any, *narrow: Q, **ends: Any) -> ArraySubquery:
    """Dependencies between visible components as part of another query: source, target (slugs), kind and relation.

    The page's own end is put in order first: an index has it so, and the limit is reached after a few rows.
    """
    own = ("target", "source") if any(end.startswith("target") for end in ends) else ("source", "target")
    rows = Dependency.objects.visible_to(reader).filter(*narrow, **ends)
    rows = rows.order_by(*(f"{end}__slug" for end in own))
    names = {"source": "source__slug", "target": "target__slug", "kind": "kind", "relation": "relation"}
    return ArraySubquery(rows.values(link=JSONObject(**names))[: LINKS + 1])


def _both_ways(needs: list[Any], needed_by: list[Any], *, near: bool = False, **more: str) -> dict[str, Any]:
    """Context of both lists of dependencies; ``more`` leads to what does not fit. ``near``: both ends are named."""
    arrow = "{source} → " if near else "", " → {target}" if near else ""
    context: dict[str, Any] = {
        "needs": _listed(needs, f'{arrow[0]}<a href="{{there}}">{{target}}</a>', "target"),
        "needed_by": _listed(needed_by, f'<a href="{{there}}">{{source}}</a>{arrow[1]}', "source"),
    }
    for name, found in (("more_needs", needs), ("more_needed_by", needed_by)):
        context[name] = f"{reverse('dependency-list')}?{more[name]}" if len(found) > LINKS else ""
    return context


def _listed(links: list[dict[str, str]], text: str, far: str) -> SafeString:
    """An item for each link; its ``text`` leads ``there``, to the far end."""
    there = reverse("component-detail", args=[SOME])
    facts = ({**link, "there": there.replace(SOME, quote(link[far]))} for link in links[:LINKS])
    return format_html_join("", f'<li>{text} <span class="soft">{{kind}}</span></li>', facts)


@require_GET
def service_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One service: what it is, what it needs, what needs it, and what the other apps know about it."""
    service: Any = first_or_404(_service(request.user, slug))
    context = {"title": service.name, "service": service, "facts": _of_service(service)} | tools(request, service)
    search = urlencode({"q": slug})
    context |= _both_ways(service.needs, service.needed, near=True, more_needs=search, more_needed_by=search)
    return page(request, "inventory/service_detail.html", context | {"crumbs": [("Services", reverse("service-list"))]})


@prepared
def _service(reader: Any, slug: str) -> QuerySet[Service]:
    own = OuterRef("pk")
    # Links within the service say nothing about it as a whole.
    needs = _links(reader, ~Q(target__service=own), source__service=own)
    needed = _links(reader, ~Q(source__service=own), target__service=own)
    services = Service.objects.visible_to(reader).select_related("owner")
    return services.annotate(needs=needs, needed=needed, watched=watching(reader)).filter(slug=slug)


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
    component: Any = first_or_404(_component(request.user, slug))
    context = {"title": component.name, "component": component, "facts": facts(component)} | tools(request, component)
    context["environment"] = component.environment
    context["may_reload"] = component.kind == Component.Kind.APP and RELOAD.permission in context["held"]
    needs, needed_by = urlencode({"source": slug}), urlencode({"target": slug})
    context |= _both_ways(component.needed, component.needing, more_needs=needs, more_needed_by=needed_by)
    service = (component.service.name, component.service.get_absolute_url())
    context["crumbs"] = [("Components", reverse("component-list")), service]
    return page(request, "inventory/component_detail.html", context)


@prepared
def _component(reader: Any, slug: str) -> QuerySet[Component]:
    joined = ("environment", "service", "data_center", "server", "part_of", "health")
    rows = Component.objects.visible_to(reader).select_related(*joined)
    rows = rows.annotate(needed=_links(reader, source=OuterRef("pk")), needing=_links(reader, target=OuterRef("pk")))
    return rows.annotate(watched=watching(reader), held=rights(reader), ports=PORTS).filter(slug=slug)


@require_GET
def environment_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One environment."""
    environment = first_or_404(_environment(request.user, slug))
    context = {"title": environment.name, "environment": environment, "facts": facts(environment)}
    context["crumbs"] = [("Environments", reverse("environment-list"))]
    return page(request, "inventory/environment_detail.html", context | tools(request, environment))


@prepared
def _environment(reader: Any, slug: str) -> QuerySet[Environment]:
    return Environment.objects.visible_to(reader).annotate(watched=watching(reader)).filter(slug=slug)


@require_GET
def data_center_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One data center."""
    center = first_or_404(_data_center(request.user, slug))
    context = {"title": center.name, "facts": facts(center), "crumbs": [("Data centers", reverse("data-center-list"))]}
    return page(request, "inventory/data_center_detail.html", context | tools(request, center))


@prepared
def _data_center(reader: Any, slug: str) -> QuerySet[DataCenter]:
    return DataCenter.objects.visible_to(reader).annotate(watched=watching(reader)).filter(slug=slug)
