"""Screens that answer “how is it?”: the dashboard, the topology of an environment, and the lists with health."""

from __future__ import annotations

from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from inventory import lists
from inventory.models import Component, Dependency, Environment, Service
from observability import queries
from observability.topology import draw
from portal import ui
from portal.http import page


def dashboard(request: HttpRequest) -> HttpResponse:
    """Environment × service: the worst health, how old it is, what runs; and the data centers."""
    components = queries.with_health(Component.objects.visible_to(request.user))
    shown = queries.dashboard(components)
    for counts in ui.panels_for(request, "dashboard-cells", shown):
        # Another app's counts per (environment slug, service slug), each with the address that lists them.
        for cell in shown.cells():
            count, url = counts.context["counts"].get((cell.environment.slug, cell.service.slug), (0, ""))
            if count:
                cell.marks.append((counts.title, count, url))
    return page(request, "observability/dashboard.html", {"title": "Dashboard", "shown": shown})


def topology(request: HttpRequest, slug: str) -> HttpResponse:
    """The picture of one environment, and the same as a table."""
    environments = list(Environment.objects.visible_to(request.user))
    environment = next((found for found in environments if found.slug == slug), None)
    if environment is None:
        raise Http404
    rows = Component.objects.visible_to(request.user).filter(environment=environment)
    components = queries.with_health(rows)
    links = list(Dependency.objects.visible_to(request.user).filter(source__environment=environment))
    context = {
        "title": f"Topology of {environment}",
        "environment": environment,
        "environments": environments,
        "picture": draw(components, links),
        "needs": _names(components, links),
    }
    return page(request, "observability/topology.html", context)


def _names(components: list[Component], links: list[Dependency]) -> list[tuple[Component, list[str]]]:
    """Each component with the names of what it needs, for the table twin of the picture."""
    by_id = {component.pk: component for component in components}
    needs: dict[object, list[str]] = {}
    for link in links:
        if target := by_id.get(link.target_id):
            needs.setdefault(link.source_id, []).append(target.name)
    return [(component, sorted(needs.get(component.pk, []))) for component in components]


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
