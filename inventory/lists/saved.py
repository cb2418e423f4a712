"""Lists as somebody wants to find them again."""

from __future__ import annotations

from typing import Any

from django.db import transaction
from django.db.models import Q, QuerySet
from django.http import QueryDict
from django.urls import NoReverseMatch, reverse
from django.utils.http import urlencode

from inventory.models import SavedView
from portal.errors import Conflict, Invalid
from portal.prepared import prepared

PASSING = ("after", "before", "export", "view")
"""What says where somebody was, not how the list looked."""
SHOWN = 20


def lasting(query: str) -> str:
    """The part of an address's query that belongs into a view."""
    kept = QueryDict(query, mutable=True)
    for name in PASSING:
        kept.pop(name, None)
    return kept.urlencode()


@prepared
def of_list(place: str, account: Any) -> QuerySet[SavedView]:
    """The views of the list ``place`` that ``account`` sees: its own, and those that are shared."""
    seen = Q(owner=account.pk) | Q(shared=True)
    rows = SavedView.objects.filter(seen, place=place).select_related("owner__person")
    return rows.order_by("name", "pk")[:SHOWN]


def address(view: SavedView) -> str:
    """Where the list stands as the view has it."""
    query = f"{view.query}&" if view.query else ""
    return f"{reverse(view.place)}?{query}{urlencode({'view': str(view.pk)})}"


def whole(place: str) -> str:
    """The list as it is by itself, also for those who open it with a view."""
    return f"{reverse(place)}?view=all"


def save(account: Any, *, place: str, name: str, query: str) -> SavedView:
    """Keep ``query`` of the list ``place`` as ``name``. Raises ``Invalid`` for what is no list."""
    try:
        reverse(place)
    except NoReverseMatch:
        raise Invalid("There is no such list.", fields={"place": ["There is no such list."]}) from None
    kept = {"query": lasting(query)}
    return SavedView.objects.update_or_create(owner=account, place=place, name=name, defaults=kept)[0]


@transaction.atomic
def store(view: SavedView) -> None:
    """Write a changed view. A list opens with one view at most: the last that was chosen."""
    others = SavedView.objects.filter(owner=view.owner_id, place=view.place).exclude(pk=view.pk)
    if others.filter(name=view.name).exists():
        raise Conflict(f"You have another view of this list that is called “{view.name}”.")
    if view.first:
        others.filter(first=True).update(first=False)
    view.save()
