"""What stands above the pages of every noun: tabs between the lists, and the buttons of one thing."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import Exists, OuterRef
from django.http import HttpRequest
from django.urls import reverse

from identity.models import EffectiveScope
from inventory import addresses, lists
from inventory.models import Watch
from portal import ui

EDIT, REMOVE = "inventory.edit", "inventory.remove"
LISTED = ("server", "server-group", "network-zone", "data-center", "environment", "endpoint", "dependency")


def estate(noun: str) -> dict[str, Any]:
    """Context of a list of ``noun``: the lists beside it."""
    tabs = [(lists.PLURALS[other], reverse(f"{other}-list"), other == noun) for other in LISTED]
    return {"noun": noun, "tabs": [*tabs, ("Removed", reverse("removed-list"), noun == "removed")]}


def tools(request: HttpRequest, obj: Any) -> dict[str, Any]:
    """Context of the page of ``obj``: the buttons to change and remove it, with the reason where one is of no use."""
    held = getattr(obj, "held", None)
    if held is None:
        # What stands in no scope is changed by whoever may do so anywhere; the navigation asks for the same.
        scoped = getattr(obj, "scope_id", None)
        held = request.user.get_all_permissions(obj) if scoped else ui.reader(request).held
    declared = f"The catalog “{obj.declared_by}” declares it; change it there." if obj.declared_by else ""
    buttons = []
    for right, label, icon in ((EDIT, "Edit", "pencil"), (REMOVE, "Remove", "trash")):
        reason = "" if right in held else f"Needs the right “{right}” here."
        buttons.append((label, addresses.address(obj, label.lower()), icon, reason or declared))
    history = addresses.address(obj, "history")
    return {"obj": obj, "noun": obj.noun, "buttons": buttons, "history_url": history, "held": held}


def watching(reader: Any) -> Exists:
    """Whether the reader watches a row, as part of the query for it."""
    return Exists(Watch.objects.filter(account=reader.pk, object_id=OuterRef("pk")))


def rights(reader: Any) -> ArraySubquery:
    """What the reader may do to a row that has a scope, as part of the query for it."""
    held = EffectiveScope.objects.live().filter(account=reader.pk, scope=OuterRef("scope"))
    return ArraySubquery(held.values("action"))
