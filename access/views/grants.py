"""Grants: list, mine, read, end early, ask for more time."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods

from access import actions, forms
from access.filters import GrantFilter
from access.models import AccessRequest, Grant
from portal import http, ui
from portal.errors import Refused
from portal.lifecycle import authorize

COLUMNS = [
    ui.Column("key", "Grant", link=True, sort="starts_at"),
    ui.Column("account", "Who", sort="account__username"),
    ui.Column("scope", "Where", sort="scope__service"),
    ui.Column("state", "State", kind="badge"),
    ui.Column("starts_at", "From", kind="instant"),
    ui.Column("ends_at", "Until", kind="instant"),
    ui.Column("request.decided_by", "Agreed by", sort="request__decided_by__username", minor=True),
]
RELATED = ("scope", "account__person", "request__decided_by__person", "ended_by__person")


def _one(request: HttpRequest, key: str) -> Grant:
    return get_object_or_404(Grant.objects.visible_to(request.user).select_related(*RELATED), key=key)


def grant_list(request: HttpRequest) -> HttpResponse:
    """Grants that I may see: mine, and those of my scopes."""
    if not request.user.has_perm("access.request"):
        authorize(request.user, "access.view")  # type: ignore[arg-type]
    rows = Grant.objects.visible_to(request.user).select_related(*RELATED)
    search = ("key", "account__username", "scope__service", "scope__environment")
    table = ui.Table(
        request,
        rows,
        columns=COLUMNS,
        order="-starts_at",
        search=search,
        filterset=GrantFilter,
        topic="access.grant",
        empty="Nobody has had temporary access yet.",
    )
    return http.page(request, "access/grant_list.html", {"table": table, "title": "Grants"})


def my_access(request: HttpRequest) -> HttpResponse:
    """What I may do for a while, how long still, and what I have asked for."""
    account: Any = request.user
    authorize(account, "access.request")
    facts = {
        "grants": Grant.objects.filter(account=account).open().select_related("scope").order_by("ends_at"),
        "waiting": AccessRequest.objects.filter(beneficiary=account, state="pending").select_related("scope"),
        "title": "My access",
    }
    return http.page(request, "access/my_access.html", facts)


def grant_detail(request: HttpRequest, key: str) -> HttpResponse:
    """Who may do what where until when, and who agreed."""
    grant = _one(request, key)
    facts = [
        ("Who", grant.account),
        ("Where", grant.scope),
        ("Role", grant.role),
        ("From", grant.starts_at, "instant"),
        ("Until", grant.ends_at, "instant"),
        ("Agreed by", grant.request.decided_by),
        ("Request", grant.request),
        ("Ended", grant.ended_at, "instant"),
        ("Ended by", grant.ended_by),
        ("Why it ended", grant.get_end_cause_display()),
    ]
    mine = grant.account_id == request.user.pk and grant.is_live
    context = {"obj": grant, "facts": facts, "may_extend": mine, "title": f"Grant {grant.key}"}
    return http.page(request, "access/grant_detail.html", context)


def revoke(request: HttpRequest, key: str) -> HttpResponse:
    """End somebody's access now."""
    return ui.act(request, _one(request, key), "revoke", actions.revoke, forms.RevokeForm)


def give_back(request: HttpRequest, key: str) -> HttpResponse:
    """End my own access now."""
    return ui.act(request, _one(request, key), "give_back", actions.give_back)


@require_http_methods(["GET", "HEAD", "POST"])
def extend(request: HttpRequest, key: str) -> HttpResponse:
    """Ask for more time; somebody else decides again."""
    account: Any = request.user
    authorize(account, "access.request")
    grant = get_object_or_404(Grant.objects.select_related("scope"), key=key, account=account)
    form = forms.ExtendForm(request.POST if request.method == "POST" else None)
    error: Refused | None = None
    if request.method == "POST" and form.is_valid():
        try:
            made = actions.extend(grant, by=account, **form.cleaned_data)
        except Refused as refusal:
            error = refusal
        else:
            return http.go(request, made.get_absolute_url())
    status = error.status if error else 422 if form.errors else 200
    facts = {"form": form, "error": error, "grant": grant, "title": f"More time for {grant.scope}"}
    return http.page(request, "access/accessrequest_request.html", facts, status=status)
