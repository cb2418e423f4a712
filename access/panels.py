"""Where access shows up: the navigation, and every service's page."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import F, QuerySet, Value
from django.db.models.functions import Replace
from django.http import HttpRequest
from django.urls import reverse

from access import queries
from access.models import AccessRequest, Grant
from portal import search, ui
from portal.prepared import prepared

ui.nav("My access", "my-access", icon="key", order=60, action="access.request", section="Access")
ui.nav("Access requests", "access-request-list", icon="user-question", order=61, action="access.view", section="Access")
ui.nav("Grants", "grant-list", icon="user-check", order=62, action="access.view", section="Access")

STATE = Replace(F("state"), Value("_"), Value(" "))
search.source(
    "access-request", "Access requests", icon="user-question", rows=AccessRequest.objects.visible_to,
    page="access-request-detail", title="key", detail=STATE, key="key", exact=("key",), order="-requested_at",
    place=50,
)  # fmt: skip
search.source(
    "grant", "Grants", icon="user-check", rows=Grant.objects.visible_to, page="grant-detail", title="key",
    detail=STATE, key="key", exact=("key",), order="-starts_at", place=51,
)  # fmt: skip


@search.offers("action", "Actions", icon="bolt", place=1)
def to_ask(reader: Any, held: frozenset[str]) -> Iterator[search.Offer]:
    """What people ask for."""
    if "access.request" in held:
        yield search.Offer("Ask for temporary access", reverse("access-request-create"), "request grant permission")


@prepared
def _on_service(reader: Any, service: str) -> QuerySet[Grant]:
    return queries.on_service(service, reader)[:20]


@ui.panel("service-detail", order=40)
def temporary_access(request: HttpRequest, service: Any) -> ui.Panel | None:
    """Who may act on this service for a while, and the way to ask for it."""
    held = ui.reader(request).held
    may_ask = "access.request" in held
    grants = _on_service(request.user, service.slug)
    if not (may_ask or grants or "access.view" in held):
        return None
    context = {"grants": grants, "may_ask": may_ask, "service": service}
    return ui.Panel("Temporary access", "access/service_panel.html", context, slug="temporary-access", icon="key")
