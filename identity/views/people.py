"""Who is here, in which teams, with which roles: for the security officer, the auditor and whoever administers."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods

from identity import actions
from identity.forms import BindRoleForm, ReasonForm
from identity.models import Account, RoleBinding, Team
from portal import http, ui
from portal.errors import Refused, StepUpRequired
from portal.lifecycle import authorize

VIEW = "identity.view"


def account_list(request: HttpRequest) -> HttpResponse:
    """Every account with its person."""
    authorize(request.user, VIEW)  # type: ignore[arg-type]
    columns = [
        ui.Column("username", "Account"),
        ui.Column("person.name", "Person", sort="person__name"),
        ui.Column("get_kind_display", "Kind"),
        ui.Column("is_active", "Active"),
        ui.Column("last_login", "Last sign-in", kind="instant"),
    ]
    rows = Account.objects.select_related("person")
    table = ui.Table(request, rows, columns=columns, order="username", search=("username", "person__name"))
    return http.page(request, "identity/list.html", {"table": table, "title": "Accounts"})


def team_list(request: HttpRequest) -> HttpResponse:
    """Every team with its members."""
    authorize(request.user, VIEW)  # type: ignore[arg-type]
    teams = Team.objects.prefetch_related("members__person", "services")
    return http.page(request, "identity/team_list.html", {"teams": teams, "title": "Teams"})


def rolebinding_list(request: HttpRequest) -> HttpResponse:
    """Who holds which role where, until when, and who gave it."""
    authorize(request.user, VIEW)  # type: ignore[arg-type]
    columns = [
        ui.Column("holder", "Who", sort="account__username"),
        ui.Column("role", "Role"),
        ui.Column("scope", "Where", sort="scope__environment"),
        ui.Column("valid_until", "Until", kind="instant"),
        ui.Column("origin", "Comes from", sort="grant"),
        ui.Column("created_at", "Since", kind="instant"),
    ]
    rows = RoleBinding.objects.select_related("account__person", "team", "scope", "given_by__person")
    search = ("account__username", "account__person__name", "team__name", "role")
    table = ui.Table(request, rows, columns=columns, order="role", search=search)
    may = request.user.has_perm("identity.bind_role")
    return http.page(request, "identity/rolebinding_list.html", {"table": table, "may_bind": may, "title": "Roles"})


@require_http_methods(["GET", "HEAD", "POST"])
def bind_role(request: HttpRequest) -> HttpResponse:
    """Give a role."""
    authorize(request.user, "identity.bind_role")  # type: ignore[arg-type]
    form = BindRoleForm(request.POST if request.method == "POST" else None)
    facts: dict[str, Any] = {"form": form, "title": "Give a role", "label": "Give role"}
    if request.method == "POST" and form.is_valid():
        try:
            actions.bind_role(by=request.user, **form.cleaned_data)
        except StepUpRequired:
            raise
        except Refused as refusal:
            return http.page(request, "identity/form.html", {**facts, "error": refusal}, status=refusal.status)
        return http.go(request, reverse("rolebinding-list"))
    return http.page(request, "identity/form.html", facts, status=422 if form.errors else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def unbind(request: HttpRequest, pk: str) -> HttpResponse:
    """Take a role away."""
    authorize(request.user, "identity.unbind")  # type: ignore[arg-type]
    binding = get_object_or_404(RoleBinding.objects.select_related("account__person", "team", "scope"), pk=pk)
    form = ReasonForm(request.POST if request.method == "POST" else None)
    facts = {"form": form, "title": f"Take away: {binding}", "label": "Take away"}
    if request.method == "POST" and form.is_valid():
        actions.unbind(binding, by=request.user, reason=form.cleaned_data["reason"])  # type: ignore[arg-type]
        return http.go(request, reverse("rolebinding-list"))
    return http.page(request, "identity/form.html", facts, status=422 if form.errors else 200)
