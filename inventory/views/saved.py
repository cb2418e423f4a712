"""Saved views of lists: a person's own, and those that others share."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.http import require_http_methods, require_POST

from inventory.forms import SavedViewForm, SaveViewForm
from inventory.lists import saved
from inventory.models import SavedView
from portal.errors import Invalid
from portal.http import go, page


@require_POST
def view_save(request: HttpRequest) -> HttpResponse:
    """Keep a list as it is now under a name; one of the same name is replaced."""
    form = SaveViewForm(request.POST)
    if not form.is_valid():
        raise Invalid("The view cannot be saved.", [str(text) for found in form.errors.values() for text in found])
    view = saved.save(request.user, **form.cleaned_data)
    messages.success(request, f"The view “{view}” is saved.")
    return go(request, saved.address(view))


@require_http_methods(["GET", "HEAD", "POST"])
def view_edit(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Rename a view of one's own, share it, open the list with it."""
    view = get_object_or_404(SavedView, pk=pk, owner=request.user)
    form = SavedViewForm(request.POST or None, instance=view)
    if request.method == "POST" and form.is_valid():
        saved.store(form.save(commit=False))
        messages.success(request, f"The view “{view}” is saved.")
        return go(request, saved.address(view))
    context: dict[str, Any] = {"title": f"View “{view}”", "form": form, "view": view}
    context["crumbs"] = [("List", saved.address(view))]
    return page(request, "inventory/saved_view.html", context, status=422 if form.is_bound else 200)


@require_POST
def view_remove(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Forget a view of one's own."""
    view = get_object_or_404(SavedView, pk=pk, owner=request.user)
    back = saved.whole(view.place)
    view.delete()
    messages.success(request, f"The view “{view}” is gone.")
    return go(request, back)
