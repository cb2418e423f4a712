"""Screens that answer “how is it?”: the dashboard, and the lists with health."""

from __future__ import annotations

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from inventory import lists
from inventory.models import Component, Service
from observability import queries
from portal import ui
from portal.http import page


def dashboard(request: HttpRequest) -> HttpResponse:
    """Environment × service: the worst health, how old it is, what runs; and the data centers."""
    components = queries.with_health(Component.objects.visible_to(request.user))
    shown = queries.dashboard(components)
    queries.mark(shown, ui.panels_for(request, "dashboard-cells", shown))
    return page(request, "observability/dashboard.html", {"title": "Dashboard", "shown": shown})


def service_list(request: HttpRequest) -> HttpResponse:
    """Every visible service with its health in each environment."""
    components = queries.with_health(Component.objects.visible_to(request.user))
    shown = queries.dashboard(components)
    services = Service.objects.visible_to(request.user).select_related("owner").order_by("tier", "name")
    cells = {service.pk: row for service, row in shown.rows}
    rows = [(service, cells.get(service.pk, [])) for service in services]
    context = {"title": "Services", "rows": rows, "environments": shown.environments}
    return page(request, "observability/service_list.html", context)


HEALTH = (
    ui.Column("health.state", "Health", kind="badge", sort=False, template="observability/health_cell.html"),
    ui.Column("health.version", "Version", kind="code", sort=False, minor=True),
    ui.Column("health.observed_at", "Read", kind="instant", sort=False),
)
"""What is seen of a component. Not to be sorted by: no index could give that order over two tables."""


@require_safe
def component_list(request: HttpRequest) -> HttpResponse:
    """Every visible component with its health, to be searched and narrowed."""
    own = lists.COLUMNS["component"]
    columns = [own[0], HEALTH[0], *own[1:3], *HEALTH[1:], *own[3:]]
    table = lists.table(request, "component", topic="observability.health", columns=columns)
    context = {"title": "Components", "table": table, "may_create": any(verb == "Edit" for verb, _ in table.bulk)}
    return page(request, "observability/component_list.html", context)
