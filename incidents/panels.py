"""Where incidents show up on other screens."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from uuid import UUID

from django.db.models import Count, F, QuerySet, Value
from django.db.models.functions import Concat, Replace
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from incidents.models import Incident
from incidents.views.incidents import severity_of
from portal import search, ui
from portal.prepared import prepared

SHOWN = 8

ui.nav("Incidents", "incident-list", icon="urgent", order=30, action="incidents.view")
STATE = Replace(F("state"), Value("_"), Value(" "))
search.source(
    "incident", "Incidents", icon="urgent", rows=Incident.objects.visible_to, page="incident-detail",
    title=Concat(F("reference"), Value(" "), F("title")), detail=STATE, key="reference", number=("INC", "number"),
    order="-number", place=10,
)  # fmt: skip
ui.nav("On call", "on-call", icon="phone-call", order=35, action="incidents.view")


@search.offers("action", "Actions", icon="bolt", place=1)
def to_do(reader: Any, held: frozenset[str]) -> Iterator[search.Offer]:
    """What people do most when something is wrong."""
    if "incidents.open" in held:
        yield search.Offer("Open an incident", reverse("incident-open"), "new report outage create")


@ui.panel("dashboard", order=5)
def open_incidents(request: HttpRequest, obj: Any) -> ui.Panel | None:
    """The strip of what is wrong now; nothing when nothing is."""
    return _panel(_working(request.user), "Open incidents", reverse("incident-list"))


@ui.panel("service-detail", order=20)
def of_service(request: HttpRequest, obj: Any) -> ui.Panel | None:
    """What is open on the service, in every environment the reader may see."""
    return _panel(_of_service(request.user, obj.slug), "Incidents", "")


@ui.panel("component-detail", order=20)
def of_component(request: HttpRequest, obj: Any) -> ui.Panel | None:
    """The component's latest incidents, closed ones included."""
    href = f"{reverse('incident-list')}?stage=all&component={obj.slug}"
    return _panel(_of_component(request.user, obj.pk), "Incidents", href)


@prepared
def _working(reader: Any) -> QuerySet[Incident]:
    return _newest(Incident.objects.visible_to(reader).working())


@prepared
def _of_service(reader: Any, service: str) -> QuerySet[Incident]:
    return _newest(Incident.objects.visible_to(reader).open().filter(scope__service=service))


@prepared
def _of_component(reader: Any, component: UUID) -> QuerySet[Incident]:
    return _newest(Incident.objects.visible_to(reader).filter(component=component))


def _newest(rows: QuerySet[Incident]) -> QuerySet[Incident]:
    return rows.select_related("environment").order_by("-number")[:SHOWN]


def _panel(found: list[Incident], title: str, href: str) -> ui.Panel | None:
    if not found:
        return None
    context = {"incidents": [(incident, severity_of(incident)) for incident in found]}
    return ui.Panel(title, "incidents/incident_panel.html", context, slug="incidents", icon="urgent", href=href)


@ui.panel("matrix-cells")
def in_cells(request: HttpRequest, shown: Any) -> ui.Panel:
    """How many incidents are open in each service of each environment."""
    rows = Incident.objects.visible_to(request.user).open().order_by()
    counted = rows.values_list("scope__environment", "scope__service").annotate(Count("pk"))
    base = reverse("incident-list")
    counts = {
        (where, service): (many, f"{base}?{urlencode({'environment': where})}") for where, service, many in counted
    }
    return ui.Panel("Incidents", "", {"counts": counts})
