"""Requests: list, ask, read, decide."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods

from access import actions, forms
from access.filters import AccessRequestFilter
from access.models import AccessRequest
from portal import http, ui
from portal.errors import Refused
from portal.lifecycle import authorize

COLUMNS = [
    ui.Column("key", "Request", link=True, sort="requested_at"),
    ui.Column("beneficiary", "For", sort="beneficiary__username"),
    ui.Column("scope", "Where", sort="scope__service"),
    ui.Column("state", "State", kind="badge"),
    ui.Column("reason", "Why", sort=False, minor=True),
    ui.Column("requested_at", "Asked", kind="instant"),
    ui.Column("decided_by", "Decided by", sort="decided_by__username", minor=True),
]
RELATED = ("scope", "requester__person", "beneficiary__person", "decided_by__person")


def _one(request: HttpRequest, key: str) -> AccessRequest:
    return get_object_or_404(AccessRequest.objects.visible_to(request.user).select_related(*RELATED), key=key)


def access_request_list(request: HttpRequest) -> HttpResponse:
    """Requests that I may see: mine, and those of my scopes."""
    may_ask = request.user.has_perm("access.request")
    if not may_ask:
        authorize(request.user, "access.view")  # type: ignore[arg-type]
    rows = AccessRequest.objects.visible_to(request.user).select_related(*RELATED)
    table = ui.Table(
        request,
        rows,
        columns=COLUMNS,
        order="-requested_at",
        search=("key", "reason", "beneficiary__username", "scope__service", "scope__environment"),
        filterset=AccessRequestFilter,
        topic="access.accessrequest",
        empty="Nobody has asked for temporary access yet.",
    )
    facts = {"table": table, "may_ask": may_ask, "title": "Access requests"}
    return http.page(request, "access/accessrequest_list.html", facts)


@require_http_methods(["GET", "HEAD", "POST"])
def access_request_create(request: HttpRequest) -> HttpResponse:
    """Ask for access to one service in one environment."""
    account: Any = request.user
    authorize(account, "access.request")
    asked = {name: request.GET[name] for name in ("service", "environment") if name in request.GET}
    form = forms.RequestForm(
        request.POST if request.method == "POST" else None,
        initial={"environment": "production", **asked},
        account=account,
    )
    error: Refused | None = None
    if request.method == "POST" and form.is_valid():
        try:
            made = actions.request_access(by=account, **form.cleaned_data)
        except Refused as refusal:
            error = refusal
        else:
            return http.go(request, made.get_absolute_url())
    status = error.status if error else 422 if form.errors else 200
    facts = {"form": form, "error": error, "title": "Request access"}
    return http.page(request, "access/accessrequest_request.html", facts, status=status)


def access_request_detail(request: HttpRequest, key: str) -> HttpResponse:
    """What was asked, by whom, why, what became of it."""
    asked = _one(request, key)
    grant = getattr(asked, "grant", None)
    facts = [
        ("For", asked.beneficiary),
        ("Asked by", asked.requester),
        ("Where", asked.scope),
        ("Role", asked.role),
        ("Duration", f"{asked.minutes} minutes"),
        ("From", asked.wanted_from, "instant"),
        ("To be decided by", asked.decide_by, "instant"),
        ("Decided by", asked.decided_by),
        ("Content", asked.content_hash[:16], "code"),
    ]
    context = {"obj": asked, "grant": grant, "facts": facts, "title": asked.key}
    return http.page(request, "access/accessrequest_detail.html", context)


def approve(request: HttpRequest, key: str) -> HttpResponse:
    """Read what is asked, then agree, for as long or shorter."""
    asked = _one(request, key)
    context = {"template_name": "approve"}
    template = "access/accessrequest_decide.html"
    return ui.act(
        request, asked, "approve", actions.approve, forms.ApproveForm, template=template, context=context, asked=asked
    )


def deny(request: HttpRequest, key: str) -> HttpResponse:
    """Say no, and why."""
    template = "access/accessrequest_decide.html"
    return ui.act(request, _one(request, key), "deny", actions.deny, forms.DenyForm, template=template)


def cancel(request: HttpRequest, key: str) -> HttpResponse:
    """Take my request back."""
    return ui.act(request, _one(request, key), "cancel", actions.cancel)
