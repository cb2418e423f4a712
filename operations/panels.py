"""Where operations show up on other screens."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from operations.models import Operation
from portal import ui

RECENT = 5

# One place with tabs (templates/operations/tabs.html): four places about the same work would crowd the rest out.
LISTS = ("plan-list", "schedule-list", "window-list")
ui.nav("Operations", "operation-list", icon="player-play", order=40, action="operations.view", beside=LISTS)


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
    href = reverse("operation-list") + query if query else ""
    template = "operations/operation_panel.html"
    return ui.Panel("Operations", template, {"operations": found}, slug="operations", icon="player-play", href=href)
