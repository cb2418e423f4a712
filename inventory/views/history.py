"""Screens of the past: the history of one thing, what was removed, and notes."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_safe

from inventory import addresses, lists
from inventory.actions.watching import see
from inventory.history import history, removed
from inventory.history.entries import page_after
from inventory.models import NOUNS, Revision
from inventory.views.nouns import VIEW
from inventory.views.tools import estate
from portal import ui
from portal.http import page
from portal.lifecycle import authorize

REVERT = "inventory.edit"


def _past(request: HttpRequest, noun: str, key: Any) -> dict[str, Any]:
    found = history(noun, key, request.user, below=page_after(request.GET.get("below", "")))
    return {"history": found, "noun": noun, "key": key, "label": noun.replace("-", " ")}


@require_safe
def noun_history(request: HttpRequest, noun: str, key: Any) -> HttpResponse:
    """Every change of one thing, newest first."""
    obj = addresses.find(noun, key, request.user)
    context = _past(request, noun, obj.pk) | {"obj": obj, "title": f"History of {addresses.title_of(obj)}"}
    context["may_revert"] = request.user.has_perm(REVERT, obj)
    context["crumbs"] = [
        (lists.PLURALS[noun], reverse(f"{noun}-list")),
        (addresses.title_of(obj), obj.get_absolute_url()),
    ]
    if context["history"].newest and context["history"].entries:
        see(request.user, {obj.pk: context["history"].entries[0].revision.id})
    return page(request, "inventory/history.html", context)


@require_safe
def removed_list(request: HttpRequest) -> HttpResponse:
    """What is no longer there."""
    authorize(request.user, VIEW)  # type: ignore[arg-type]
    table = ui.Table(
        request,
        removed(request.user),
        columns=[
            ui.Column("noun", "What", value=lambda row: row.noun.replace("-", " ").capitalize(), sort=False),
            ui.Column("before", "Name", value=_name, link=_removed_page, sort=False),
            ui.Column("at", "Removed", kind="instant", sort=False),
        ],
        order="-id",
        search=("before__slug", "before__name"),
        empty="Nothing that you may see was removed.",
        caption="Removed",
    )
    return page(request, "inventory/removed_list.html", {"title": "Removed", "table": table} | estate("removed"))


def _name(row: Revision) -> str:
    before = row.before or {}
    return str(before.get("slug") or before.get("name") or row.object_id)


def _removed_page(row: Revision) -> str:
    return reverse("removed-detail", args=[row.noun, row.object_id])


@require_safe
def removed_detail(request: HttpRequest, noun: str, key: UUID) -> HttpResponse:
    """The history of something that is no longer there."""
    last = get_object_or_404(removed(request.user).order_by("-id"), object_id=key, noun=noun, pk__in=_last(key))
    context = _past(request, noun, key) | {"title": f"History of {_name(last)}", "removed": last}
    context["may_revert"] = noun in NOUNS and request.user.has_perm(REVERT)
    context["crumbs"] = [("Removed", reverse("removed-list"))]
    return page(request, "inventory/history.html", context)


def _last(key: UUID) -> Any:
    return Revision.objects.filter(object_id=key).order_by("-id").values("pk")[:1]
