"""Screens that answer “how is it?”: the dashboard, and the lists with health."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from inventory import lists
from inventory.models import Component, Environment
from observability import queries
from observability.matrix import cells_of, overview
from observability.queries import KINDS
from portal import ui
from portal.http import page
from portal.ui.cells import badge

SERVICES = 30
"""Services on a page: each has a cell in every environment."""
NAMED = 500
"""With more components than this the dashboard counts them instead of naming each."""


@require_safe
def dashboard(request: HttpRequest) -> HttpResponse:
    """Environment × service: the worst health, how old it is, what runs; and the data centers."""
    rows = Component.objects.visible_to(request.user)
    few = rows.order_by()[: NAMED + 1].count() <= NAMED
    shown: Any = queries.dashboard(queries.with_health(rows)) if few else overview(rows)
    queries.mark(shown, ui.panels_for(request, "dashboard-cells", shown))
    return page(request, "observability/dashboard.html", {"title": "Dashboard", "shown": shown})


@require_safe
def service_list(request: HttpRequest) -> HttpResponse:
    """Every visible service, with its health in each environment."""
    environments = sorted(Environment.objects.visible_to(request.user), key=lambda e: (KINDS.index(e.kind), e.slug))  # type: ignore[arg-type]
    rows = Component.objects.visible_to(request.user).order_by()

    @functools.cache
    def cells() -> dict[Any, Any]:
        known = {environment.pk: environment for environment in environments}
        return cells_of(rows.filter(service__in=table.objects), table.objects, known)

    columns = list(lists.COLUMNS["service"])
    columns[4:4] = [_in(environment, cells) for environment in environments]
    table = lists.table(
        request, "service", topic="observability.health", order="tier", columns=columns, page_size=SERVICES
    )
    context = {"title": "Services", "table": table, "may_create": any(verb == "Edit" for verb, _ in table.bulk)}
    return page(request, "observability/service_list.html", context)


def _in(environment: Environment, cells: Callable[[], dict[Any, Any]]) -> ui.Column:
    """The health of a service in one environment."""

    def of(service: Any) -> Any:
        return cells().get((environment.pk, service.pk))

    template = "observability/service_cell.html"
    return ui.Column(f"in-{environment.slug}", environment.name, value=of, template=template, sort=False, minor=True)


def _health(row: Component) -> str:
    health = queries.health_of(row)
    return badge(health) if health else badge("Unknown", "muted")


HEALTH = (
    ui.Column("health.state", "Health", kind="badge", sort=False, template=_health),
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
