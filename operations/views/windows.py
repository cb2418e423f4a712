"""Screens of freezes and maintenance windows."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_safe

from operations import actions
from operations.forms import ReasonForm, WindowForm
from operations.models import ChangeWindow
from portal import ui
from portal.errors import Invalid, Refused
from portal.http import go, page
from portal.lifecycle import authorize


@require_safe
def window_list(request: HttpRequest) -> HttpResponse:
    """Freezes and maintenance windows, latest first."""
    authorize(request.user, "operations.view")
    table = ui.Table(
        request,
        ChangeWindow.objects.all(),
        columns=[
            ui.Column("get_kind_display", "Kind", link=True),
            ui.Column("reach", "Where"),
            ui.Column("starts_at", "From", kind="instant", sort="starts_at"),
            ui.Column("ends_at", "Until", kind="instant", sort="ends_at"),
            ui.Column("phase", "Now"),
            ui.Column("reason", "Why", minor=True),
            ui.Column("declared_label", "By", minor=True),
        ],
        order="-starts_at",
        search=("reason", "environment", "service", "declared_label"),
        empty="No freeze and no maintenance window has been declared.",
        caption="Freezes and maintenance windows",
    )
    context = {"table": table, "title": "Freezes and windows"}
    context["may_declare"] = request.user.has_perm("operations.declare")
    return page(request, "operations/window_list.html", context)


@require_safe
def window_detail(request: HttpRequest, pk: UUID) -> HttpResponse:
    """One window, and what happened to it."""
    authorize(request.user, "operations.view")
    window = get_object_or_404(ChangeWindow, pk=pk)
    crumbs = [("Freezes and windows", reverse("window-list"))]
    return page(request, "operations/window_detail.html", {"window": window, "title": str(window), "crumbs": crumbs})


@require_http_methods(["GET", "HEAD", "POST"])
def window_declare(request: HttpRequest) -> HttpResponse:
    """Declare a freeze or a maintenance window."""
    authorize(request.user, "operations.declare")
    form = WindowForm(request.POST or None, initial={"kind": request.GET.get("kind", "freeze")})
    error: Refused | None = None
    if request.method == "POST":
        try:
            if form.is_valid():
                return go(request, actions.declare(by=request.user, **form.cleaned_data).get_absolute_url())
            error = Invalid("Some fields are not right.")
        except Refused as refusal:
            error = refusal
            for field, problems in refusal.fields.items():
                form.add_error(field if field in form.fields else None, problems)
    context: dict[str, Any] = {"form": form, "error": error, "title": "Declare a freeze or a maintenance window"}
    context["crumbs"] = [("Freezes and windows", reverse("window-list"))]
    return page(request, "operations/window_declare.html", context, status=error.status if error else 200)


@require_http_methods(["GET", "HEAD", "POST"])
def window_lift(request: HttpRequest, pk: UUID) -> HttpResponse:
    """End a window before its time."""
    return ui.act(request, get_object_or_404(ChangeWindow, pk=pk), "lift", actions.lift, ReasonForm)
