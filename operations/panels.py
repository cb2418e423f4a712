"""Where operations show up on other screens."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from operations.models import Operation
from portal import ui

RECENT = 5

ui.nav("Operations", "operation-list", icon="player-play", order=40, action="operations.view")
ui.nav("Plans", "plan-list", icon="list-check", order=42, action="operations.view")
ui.nav("Schedules", "schedule-list", icon="calendar-time", order=44, action="operations.view")
ui.nav("Freezes and windows", "window-list", icon="snowflake", order=46, action="operations.view")


@ui.panel("component-detail", order=40)
@ui.panel("incident-detail", order=40)
def operations_of(request: HttpRequest, obj: Any) -> ui.Panel | None:
    """The latest operations on the thing, or caused by it."""
    return _panel(Operation.objects.visible_to(request.user).of(obj), "")


@ui.panel("service-detail", order=40)
def operations_of_service(request: HttpRequest, obj: Any) -> ui.Panel | None:
    """The latest operations on anything of the service, in every environment the reader may see."""
    rows = Operation.objects.visible_to(request.user).filter(scope__service=obj.slug)
    return _panel(rows, f"?service={obj.slug}")


def _panel(rows: Any, query: str) -> ui.Panel | None:
    found = list(rows.select_related("scope").order_by("-number")[:RECENT])
    if not found:
        return None
    from django.urls import reverse

    href = reverse("operation-list") + query if query else ""
    template = "operations/operation_panel.html"
    return ui.Panel("Operations", template, {"operations": found}, slug="operations", icon="player-play", href=href)
