"""Health on the screens of the estate, and the places in the navigation that lead to it."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from inventory.models import Component, DataCenter, Environment, Service
from observability import filters as filters  # the lists of components take its names from here on
from observability import queries, summing
from portal import ui

ui.nav("Dashboard", "dashboard", icon="layout-dashboard", order=10)
ui.nav("Services", "service-list", icon="apps", order=20, action="inventory.view")
ui.nav("Components", "component-list", icon="server-2", order=22, action="inventory.view")


@ui.panel("service-detail", order=10)
def service_health(request: HttpRequest, service: Service) -> ui.Panel | None:
    """Each environment of a service, with its components by data center."""
    return _health(request, "environment", "Health", service=service)


@ui.panel("environment-detail", order=10)
def environment_health(request: HttpRequest, environment: Environment) -> ui.Panel | None:
    """Each service of an environment."""
    return _health(request, "service", "Services", environment=environment)


@ui.panel("data-center-detail", order=10)
def data_center_health(request: HttpRequest, data_center: DataCenter) -> ui.Panel | None:
    """What stands in a data center, by environment."""
    return _health(request, "environment", "Components", data_center=data_center)


def _health(request: HttpRequest, by: summing.By, title: str, **page: Any) -> ui.Panel | None:
    """Visible components of the page's own thing, summed up ``by`` another one, the worst of them by name."""
    groups, more = summing.sums(request.user, by, **page)
    if not groups:
        return None
    narrow = {name: obj.slug for name, obj in page.items()}
    listed = reverse("component-list")
    context = {
        "groups": [(one, whole, f"{listed}?{urlencode({by: one.slug} | narrow)}") for one, whole in groups],
        "more": more,
        "all": f"{listed}?{urlencode(narrow)}",
        "named": any(whole.components for _, whole in groups),
        "here": "data_center" in page,
    }
    return ui.Panel(title, "observability/health_panel.html", context, slug="health", icon="heartbeat")


@ui.panel("component-detail", order=10)
def component_health(request: HttpRequest, component: Component) -> ui.Panel | None:
    """The latest reading with its facts, and latency over the last hours."""
    health = queries.health_of(component)
    context = {"health": health, "latency": queries.latency(component) if health else []}
    return ui.Panel("Health", "observability/component_health.html", context, slug="health", icon="heartbeat")


@ui.panel("component-detail", order=15)
def component_consequences(request: HttpRequest, component: Component) -> ui.Panel:
    """Where to ask what fails with it, what could have broken it, and what is around it."""
    impact, around = reverse("component-impact", args=[component.slug]), urlencode({"focus": component.slug})
    links = [
        ("What breaks with it", impact),
        ("What could have broken it", f"{impact}?direction=up"),
        ("What is around it", f"{reverse('explorer')}?{around}"),
    ]
    return _links(links)


@ui.panel("service-detail", order=15)
@ui.panel("data-center-detail", order=15)
@ui.panel("server-detail", order=15)
@ui.panel("network-zone-detail", order=15)
def consequences(request: HttpRequest, thing: Any) -> ui.Panel:
    """Where to ask what fails with all that stands there or belongs to it."""
    return _links([("What breaks with it", reverse(f"{thing.noun}-impact", args=[thing.slug]))])


def _links(links: list[tuple[str, str]]) -> ui.Panel:
    return ui.Panel("If it fails", "observability/links.html", {"links": links}, slug="consequences", icon="target")
