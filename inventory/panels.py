"""Places of inventory in the navigation, what people find of the estate, and what it adds to screens and lists."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import F, QuerySet, TextField, Value
from django.db.models.functions import Concat
from django.http import HttpRequest
from django.urls import reverse
from django.utils.http import urlencode

from inventory import addresses, queries
from inventory.addresses import PLACES
from inventory.discovery import showing
from inventory.history import news
from inventory.lists import saved
from inventory.models import (
    NOUNS,
    Component,
    DataCenter,
    Drift,
    Endpoint,
    Environment,
    Finding,
    NetworkZone,
    Note,
    Server,
    ServerGroup,
    Service,
    Watch,
)
from inventory.models.base import held
from inventory.views.findings import severity_of, title_of
from portal import search, ui
from portal.models import Event
from portal.prepared import prepared
from portal.ui.columns import Label
from portal.ui.timeline import entry

SHOWN = 8

ui.nav("Catalog", "catalog", icon="file-diff", order=80, action="inventory.apply_catalog")
ui.nav("Imports", "import-list", icon="file-import", order=81, action="inventory.import", key="m")
ui.nav("Findings", "finding-list", icon="list-check", order=27, action="inventory.view", key="f")
ui.nav("Drift", "drift-list", icon="git-compare", order=26, action="inventory.view", beside=("discovery-list",))

search.source(
    "service", "Services", icon="apps", rows=Service.objects.visible_to, page="service-detail", detail="slug",
    exact=("slug",), place=20,
)  # fmt: skip
search.source(
    "component", "Components", icon="server-2", rows=Component.objects.visible_to, page="component-detail", large=True,
    detail="slug", exact=("slug", "external_id"), first="name", inside="slug", place=21,
)  # fmt: skip
search.source(
    "server", "Servers", icon="server", rows=Server.objects.visible_to, page="server-detail", large=True,
    detail="slug", exact=("slug", "external_id"), first="name", inside="slug", place=22,
)  # fmt: skip
search.source(
    "endpoint", "Endpoints", icon="plug-connected", rows=Endpoint.objects.visible_to, page="component-detail",
    large=True,
    title=Concat(F("name"), Value(" · "), F("host"), Value(":"), F("port"), output_field=TextField()),
    detail="component__slug", key="component__slug", order="name", place=23,
)  # fmt: skip
search.source(
    "environment", "Environments", icon="stack-2", rows=Environment.objects.visible_to, page="environment-detail",
    detail="kind", exact=("slug",), place=24,
)  # fmt: skip
search.source(
    "data-center", "Data centers", icon="building", rows=DataCenter.objects.visible_to, page="data-center-detail",
    detail="region", exact=("slug",), place=25,
)  # fmt: skip
search.source(
    "server-group", "Server groups", icon="server-bolt", rows=ServerGroup.objects.visible_to,
    page="server-group-detail", detail="slug", exact=("slug",), place=26,
)  # fmt: skip
search.source(
    "network-zone", "Network zones", icon="network", rows=NetworkZone.objects.visible_to, page="network-zone-detail",
    detail="slug", exact=("slug",), place=27,
)  # fmt: skip


@prepared
def _standing(reader: Any, component: UUID) -> QuerySet[Drift]:
    return Drift.objects.visible_to(reader).standing().filter(component=component)


@ui.panel("component-detail", order=15)
def seen_of_component(request: HttpRequest, component: Component) -> ui.Panel | None:
    """Each field that sources see beside what is declared, and what differs. Two statements."""
    standing = _standing(request.user, component.pk)
    drifts = [(row, Label(str(row.get_kind_display()), showing.TONES[row.kind])) for row in standing]
    columns = {name: value for name in ("software", "version") if (value := getattr(component, name))}
    fields = list(showing.rows(component.spec, columns | component.attributes, queries.fields_of(component)))
    if not (drifts or fields or component.connection):
        return None
    href = f"{reverse('drift-list')}?{urlencode({'q': component.slug})}" if drifts else ""
    context: dict[str, Any] = {"drifts": drifts, "fields": fields}
    return ui.Panel("Seen", "inventory/drift_panel.html", context, slug="seen", icon="git-compare", href=href)


@ui.panel("dashboard-cells", order=50)
def drift_marks(request: HttpRequest, shown: Any) -> ui.Panel | None:
    """Open drifts of each cell of the dashboard. One statement."""
    counts = {}
    for (environment, service), count in queries.standing(request.user).items():
        query = urlencode({"environment": environment, "service": service, "state": "open"})
        counts[environment, service] = (count, f"{reverse('drift-list')}?{query}")
    return ui.Panel("drifted", "", {"counts": counts}) if counts else None


APART = ("service", "component", "server")
"""Nouns that the navigation names themselves."""
ui.nav(
    "Estate",
    "server-list",
    icon="building",
    order=24,
    action="inventory.view",
    key="t",
    beside=(*(f"{noun}-list" for noun in PLACES if noun not in APART), "removed-list"),
)
ui.nav("Watched", "watched-list", icon="eye", order=26, action="inventory.view", key="w")
NOTES, CHANGES = 20, 10


@ui.panel("list")
def list_views(request: HttpRequest, table: ui.Table) -> ui.Panel | None:
    """The views of a list as tabs above it, and where it opens."""
    match = request.resolver_match
    if (
        not (table.search or table.filterset)
        or match is None
        or match.captured_kwargs  # type: ignore[attr-defined]  # the noun of a list is no part of its address
        or not request.user.is_authenticated
    ):
        return None
    place = match.url_name or ""
    views = saved.of_list(place, request.user)
    tabs = [
        (view, saved.address(view), str(view.pk) == request.GET.get("view"), view.owner_id == request.user.pk)
        for view in views
    ]
    mine = next((view for view in views if view.first and view.owner_id == request.user.pk), None)
    context: dict[str, Any] = {"tabs": tabs, "whole": saved.whole(place) if mine else request.path, "place": place}
    context |= {"query": saved.lasting(request.GET.urlencode()), "any": any(tab[2] for tab in tabs)}
    return ui.Panel("Views", "inventory/list_views.html", context, href=saved.address(mine) if mine else "")


@prepared
def _notes(about: UUID) -> QuerySet[Note]:
    rows = Note.objects.filter(object_id=about).select_related("author__person")
    return rows.order_by("-at", "-pk")[:NOTES]


def journal(request: HttpRequest, obj: Any) -> ui.Panel:
    """What people noted about it, and whether the reader watches it."""
    watched = getattr(obj, "watched", None)
    if watched is None:
        watched = Watch.objects.filter(account=request.user.pk, object_id=obj.pk).exists()
    context = {"notes": _notes(obj.pk), "obj": obj, "watching": watched}
    context |= {"addresses": {verb: addresses.address(obj, verb) for verb in ("note", "watch", "history")}}
    return ui.Panel("Journal", "inventory/journal.html", context, slug="journal", icon="notes")


for _noun in NOUNS:
    ui.panel(f"{_noun}-detail", order=90)(journal)


@ui.panel("service-detail", order=60)
def changes_of_service(request: HttpRequest, service: Service) -> ui.Panel | None:
    """What was done lately to anything of the service, where the reader may see it."""
    events = _lately(request.user, service.slug)
    context = {"entries": [entry(event, request.user.pk) for event in events]}
    return ui.Panel("Lately", "inventory/changes.html", context, slug="changes", icon="history") if events else None


@prepared
def _lately(reader: Any, service: str) -> QuerySet[Event]:
    seen = held(reader, "inventory.view").filter(scope__service=service).values("scope")
    return Event.objects.filter(scope__in=seen).order_by("-at", "-id")[:CHANGES]


@ui.panel("dashboard", order=5)
def watched_news(request: HttpRequest, _shown: Any) -> ui.Panel | None:
    """That something which the reader watches changed."""
    count = news(request.user)
    return ui.Panel("Watched", "inventory/watched_news.html", {"count": count}, icon="eye") if count else None


@ui.panel("component-detail", order=18)
def findings_of_component(request: HttpRequest, component: Component) -> ui.Panel | None:
    """What breaks a rule at this component. One statement."""
    found = _of_component(request.user, component.pk)
    return _findings(found, {"component": component.slug}, named=False)


@ui.panel("service-detail", order=25)
def findings_of_service(request: HttpRequest, service: Service) -> ui.Panel | None:
    """What breaks a rule at this service, the worst first. One statement."""
    found = _of_service(request.user, service.pk)
    return _findings(found, {"service": service.slug}, named=True)


@ui.panel("environment-detail", order=25)
def findings_of_environment(request: HttpRequest, environment: Environment) -> ui.Panel | None:
    """What breaks a rule in this environment, the worst first. One statement."""
    found = _of_environment(request.user, environment.pk)
    return _findings(found, {"environment": environment.slug}, named=True)


def _worst(reader: Any, **where: Any) -> QuerySet[Finding]:
    rows = Finding.objects.visible_to(reader).present().filter(**where).select_related("component", "service")
    return rows.order_by("severity", "since", "pk")[:SHOWN]


_of_component = prepared(lambda reader, component: _worst(reader, component=component))
_of_service = prepared(lambda reader, service: _worst(reader, service=service))
_of_environment = prepared(lambda reader, environment: _worst(reader, environment=environment))


def _findings(rows: list[Finding], query: dict[str, str], *, named: bool) -> ui.Panel | None:
    if not rows:
        return None
    href = f"{reverse('finding-list')}?{urlencode(query)}"
    context = {"findings": [(row, title_of(row), severity_of(row)) for row in rows], "named": named}
    return ui.Panel("Findings", "inventory/finding_panel.html", context, slug="findings", icon="list-check", href=href)


@ui.panel("dashboard-cells", order=55)
def finding_marks(request: HttpRequest, shown: Any) -> ui.Panel | None:
    """Bad findings that count, of each cell of the dashboard. One statement."""
    counts = {}
    for (environment, service), count in queries.breaches(request.user).items():
        query = urlencode({"environment": environment, "service": service})
        counts[environment, service] = (count, f"{reverse('finding-list')}?{query}")
    return ui.Panel("findings", "", {"counts": counts}) if counts else None
