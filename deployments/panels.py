"""What deployments add to the navigation and to other apps' screens."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.db.models import CharField, F, QuerySet, Value
from django.db.models.functions import Cast, Concat
from django.http import HttpRequest

from deployments.models import Artifact, Deployment
from portal import search, ui
from portal.prepared import prepared

ui.nav("Deployments", "deployment-list", icon="rocket", order=50, action="deployments.view")
ui.nav("Artifacts", "artifact-list", icon="package", order=55, action="deployments.view")

search.source(
    "deployment", "Deployments", icon="rocket", rows=Deployment.objects.visible_to, page="deployment-detail",
    title=Concat(Value("DEP-"), Cast("number", CharField()), Value(" "), F("service__name"), Value(" "),
                 F("artifact__version")),
    detail="environment__slug", key=Concat(Value("DEP-"), Cast("number", CharField())),
    words="artifact__version", number=("DEP", "number"), order="-number", place=41,
)  # fmt: skip
search.source(
    "artifact", "Artifacts", icon="package", rows=Artifact.objects.visible_to, page="artifact-detail",
    title=Concat(F("service__name"), Value(" "), F("version")), detail="digest", key="id", exact=("digest",),
    order="-announced_at", place=42,
)  # fmt: skip


@ui.panel("service-detail", order=40)
def of_service(request: HttpRequest, service: Any) -> ui.Panel | None:
    """The last deployments of a service."""
    latest = _of_service(request.user, service.pk)
    if not latest:
        return None
    return ui.Panel("Deployments", "deployments/_latest.html", {"latest": latest}, slug="deployments", icon="rocket")


@prepared
def _of_service(reader: Any, service: UUID) -> QuerySet[Deployment]:
    rows = Deployment.objects.visible_to(reader).filter(service=service)
    return rows.select_related("artifact", "environment").order_by("-number")[:5]


@prepared
def _under_way(reader: Any) -> QuerySet[Deployment]:
    rows = Deployment.objects.visible_to(reader).open().exclude(state="queued")
    return rows.select_related("artifact__service", "environment").order_by("-number")[:5]


@ui.panel("dashboard", order=40)
def waiting(request: HttpRequest, _: Any) -> ui.Panel | None:
    """Deployments that run, or wait for a person."""
    latest = _under_way(request.user)
    if not latest:
        return None
    return ui.Panel("Deployments under way", "deployments/_latest.html", {"latest": latest}, slug="deployments")
