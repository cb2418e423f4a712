"""Screens of artifacts and deployments."""

from __future__ import annotations

import re
from typing import Any

from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from deployments import actions, queries
from deployments.filters import ArtifactFilter, DeploymentFilter
from deployments.forms import ApproveForm, ReasonForm, RequestForm
from deployments.models import Artifact, Deployment
from portal import ui
from portal.http import page
from portal.lifecycle import Tone, Transition, authorize

KEY = re.compile(r"DEP-([0-9]{1,9})")
REQUEST = Transition(
    "request", (), "", "deployments.request", "Deploy", "asked for", fields=("environment",), tone=Tone.INFO
)


def artifact_list(request: HttpRequest) -> HttpResponse:
    """Every version CI announced, newest first."""
    authorize(request.user, "deployments.view")
    table = ui.Table(
        request,
        Artifact.objects.visible_to(request.user).select_related("service"),
        columns=[
            ui.Column("version", "Version", link=True),
            ui.Column("service", "Service"),
            ui.Column("author_label", "Author"),
            ui.Column("commit", "Commit"),
            ui.Column("announced_at", "Announced", kind="instant"),
        ],
        order="-announced_at",
        search=("version", "service__name", "author_label", "commit"),
        filterset=ArtifactFilter,
    )
    return page(request, "deployments/artifact_list.html", {"table": table, "title": "Artifacts"})


def _artifact(request: HttpRequest, pk: Any) -> Artifact:
    return get_object_or_404(Artifact.objects.visible_to(request.user).select_related("service", "scope"), pk=pk)


def artifact_detail(request: HttpRequest, pk: Any) -> HttpResponse:
    """One version: where it came from and where it went."""
    artifact = _artifact(request, pk)
    deployments = Deployment.objects.visible_to(request.user).filter(artifact=artifact)
    context = {
        "artifact": artifact,
        "deployments": deployments.select_related("environment", "artifact").order_by("-number"),
        "title": str(artifact),
        "may_request": request.user.has_perm("deployments.request"),
    }
    return page(request, "deployments/artifact_detail.html", context)


def request(request: HttpRequest, pk: Any) -> HttpResponse:
    """Ask for an artifact in an environment."""
    return ui.act(
        request, _artifact(request, pk), REQUEST, actions.request, RequestForm, artifact=_artifact(request, pk)
    )


def deployment_list(request: HttpRequest) -> HttpResponse:
    """What is on its way, and what arrived."""
    authorize(request.user, "deployments.view")
    table = ui.Table(
        request,
        Deployment.objects.visible_to(request.user).select_related("artifact__service", "environment", "service"),
        columns=[
            ui.Column("url_key", "Number", link=True),
            ui.Column("state", "State", kind="badge"),
            ui.Column("service", "Service"),
            ui.Column("artifact.version", "Version"),
            ui.Column("environment", "Environment"),
            ui.Column("requested_at", "Requested", kind="instant"),
        ],
        order="-number",
        search=("service__name", "artifact__version"),
        filterset=DeploymentFilter,
    )
    return page(request, "deployments/deployment_list.html", {"table": table, "title": "Deployments"})


def _deployment(request: HttpRequest, key: str) -> Deployment:
    match = KEY.fullmatch(key)
    if not match:
        raise Http404
    rows = Deployment.objects.visible_to(request.user).select_related(
        "artifact__service", "artifact__author", "environment", "service", "requested_by__person", "approved_by__person"
    )
    return get_object_or_404(rows, number=int(match[1]))


def deployment_detail(request: HttpRequest, key: str) -> HttpResponse:
    """One deployment: its waves, each step as planned and as it goes, and the traffic picture."""
    deployment = _deployment(request, key)
    waves = queries.waves(deployment)
    context = {
        "deployment": deployment,
        "waves": waves,
        "topics": queries.topics(waves),
        "title": deployment.url_key,
        "environment": deployment.environment.kind,
        "crumbs": [("Deployments", reverse("deployment-list"))],
    }
    return page(request, "deployments/deployment_detail.html", context)


def approve(request: HttpRequest, key: str) -> HttpResponse:
    return ui.act(request, _deployment(request, key), "approve", actions.approve, ApproveForm)


def reject(request: HttpRequest, key: str) -> HttpResponse:
    return ui.act(request, _deployment(request, key), "reject", actions.reject, ReasonForm)


def cancel(request: HttpRequest, key: str) -> HttpResponse:
    return ui.act(request, _deployment(request, key), "cancel", actions.cancel, ReasonForm)


def withdraw(request: HttpRequest, key: str) -> HttpResponse:
    return ui.act(request, _deployment(request, key), "withdraw", actions.withdraw, ReasonForm)


def settle(request: HttpRequest, key: str) -> HttpResponse:
    return ui.act(request, _deployment(request, key), "settle", actions.settle, ReasonForm)
