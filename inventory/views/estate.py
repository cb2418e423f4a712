"""Screens that answer “what is there?”: one service, component, environment or data center, and the catalog."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.contrib import messages
from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef
from django.db.models.functions import JSONObject
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_GET, require_POST

from inventory import forms
from inventory.actions.catalog import PERMISSION, apply_catalog
from inventory.actions.reload import RELOAD
from inventory.catalog import compare, load
from inventory.models import AppliedCatalog, Component, DataCenter, Dependency, Environment, Service
from portal.errors import Invalid, Refused
from portal.http import go, page
from portal.lifecycle import authorize


def _links(request: HttpRequest, **ends: Any) -> ArraySubquery:
    """Dependencies between visible components as part of another query: source, target (slugs) and kind."""
    rows = Dependency.objects.visible_to(request.user).filter(**ends).order_by("source__slug", "target__slug")
    return ArraySubquery(rows.values(link=JSONObject(source="source__slug", target="target__slug", kind="kind")))


@require_GET
def service_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One service: what it is, what it needs, what needs it, and what the other apps know about it."""
    outer, other = {"source__service": OuterRef("pk")}, {"target__service": OuterRef("pk")}
    services = Service.objects.visible_to(request.user).select_related("owner")
    service: Any = get_object_or_404(
        services.annotate(needs=_links(request, **outer), needed_by=_links(request, **other)), slug=slug
    )
    # Links within the service are in both lists, and say nothing about it as a whole.
    needs = [link for link in service.needs if link not in service.needed_by]
    needed_by = [link for link in service.needed_by if link not in service.needs]
    context = {"title": service.name, "service": service, "needs": needs, "needed_by": needed_by}
    return page(request, "inventory/service_detail.html", context | {"crumbs": [("Services", reverse("service-list"))]})


@require_GET
def component_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One component: what was declared about it, both ways of its dependencies, and its health."""
    rows = Component.objects.visible_to(request.user).select_related("environment", "service", "data_center", "health")
    rows = rows.annotate(needed=_links(request, source=OuterRef("pk")), needing=_links(request, target=OuterRef("pk")))
    component: Any = get_object_or_404(rows, slug=slug)
    context = {
        "title": component.name,
        "component": component,
        "environment": component.environment,
        "needs": component.needed,
        "needed_by": component.needing,
        "may_reload": component.kind == Component.Kind.APP and request.user.has_perm(RELOAD.permission, component),
        "crumbs": [
            ("Components", reverse("component-list")),
            (component.service.name, component.service.get_absolute_url()),
        ],
    }
    return page(request, "inventory/component_detail.html", context)


@require_GET
def environment_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One environment."""
    environment = get_object_or_404(Environment.objects.visible_to(request.user), slug=slug)
    context = {"title": environment.name, "environment": environment}
    return page(request, "inventory/environment_detail.html", context)


@require_GET
def data_center_detail(request: HttpRequest, slug: str) -> HttpResponse:
    """One data center."""
    data_center = get_object_or_404(DataCenter.objects.visible_to(request.user), slug=slug)
    return page(request, "inventory/data_center_detail.html", {"title": data_center.name, "data_center": data_center})


@require_GET
def catalog(request: HttpRequest) -> HttpResponse:
    """What applying the catalog would change, or why it cannot be used."""
    authorize(request.user, PERMISSION)
    context: dict[str, Any] = {"title": "Catalog", "folder": settings.CATALOG_DIR.name}
    context["history"] = AppliedCatalog.objects.all()[:10]
    try:
        context["difference"] = compare(load(settings.CATALOG_DIR))
    except Refused as refusal:
        context["error"] = refusal
    return page(request, "inventory/catalog.html", context)


@require_POST
def catalog_apply(request: HttpRequest) -> HttpResponse:
    """Make the difference that was read true."""
    form = forms.ApplyCatalogForm(request.POST)
    if not form.is_valid():
        raise Invalid("Look at the difference first, then apply it.")
    difference = apply_catalog(load(settings.CATALOG_DIR), by=request.user, **form.cleaned_data)
    messages.success(request, f"The catalog was applied: {difference.summary}")
    return go(request, reverse("catalog"))
