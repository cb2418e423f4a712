"""Where access shows up: the navigation, and every service's page."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest

from access import queries
from portal import ui

ui.nav("My access", "my-access", icon="key", order=60, action="access.request", section="Access")
ui.nav("Access requests", "access-request-list", icon="user-question", order=61, action="access.view", section="Access")
ui.nav("Grants", "grant-list", icon="user-check", order=62, action="access.view", section="Access")


@ui.panel("service-detail", order=40)
def temporary_access(request: HttpRequest, service: Any) -> ui.Panel | None:
    """Who may act on this service for a while, and the way to ask for it."""
    may_ask = request.user.has_perm("access.request")
    grants = list(queries.on_service(service.slug, request.user)[:20])
    if not (may_ask or grants or request.user.has_perm("access.view")):
        return None
    context = {"grants": grants, "may_ask": may_ask, "service": service}
    return ui.Panel("Temporary access", "access/service_panel.html", context, slug="temporary-access", icon="key")
