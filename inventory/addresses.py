"""Where each noun has its pages: the first part of the address, and what stands for one of it there."""

from __future__ import annotations

from typing import Any

from django.db.models import QuerySet
from django.http import Http404
from django.urls import reverse

from inventory.models import NOUNS, Component, Endpoint


class PlacedConverter:
    """``environment/data-center/name``: always three parts, so that a verb after it is never taken for one."""

    regex = "[^/]+/[^/]+/[^/]+"

    def to_python(self, value: str) -> str:
        return value

    def to_url(self, value: str) -> str:
        return value


PLACES: dict[str, tuple[str, str]] = {
    "data-center": ("data-centers", "slug"),
    "environment": ("environments", "slug"),
    "network-zone": ("network-zones", "placed"),
    "server-group": ("server-groups", "placed"),
    "server": ("servers", "placed"),
    "service": ("services", "slug"),
    "component": ("components", "placed"),
    "endpoint": ("endpoints", "uuid"),
    "dependency": ("dependencies", "uuid"),
}
"""Noun → first part of the address, and the converter of its key."""


def key_of(obj: Any) -> Any:
    """What stands for ``obj`` in addresses."""
    return obj.pk if PLACES[obj.noun][1] == "uuid" else obj.slug


def address(obj: Any, verb: str) -> str:
    """The page of a verb of ``obj`` ("history")."""
    return reverse(f"{obj.noun}-{verb}", args=[key_of(obj)])


def rows_of(noun: str, reader: Any) -> QuerySet[Any]:
    """Every row of ``noun`` that ``reader`` may see, with what its name is made of."""
    rows: Any = NOUNS[noun]._default_manager
    found: QuerySet[Any] = rows.visible_to(reader)
    named = {"endpoint": ("component",), "dependency": ("source", "target")}.get(noun, ())
    return found.select_related(*named) if named else found


def find(noun: str, key: Any, reader: Any) -> Any:
    """The row that an address names. ``Http404`` for what is not there and for what ``reader`` may not see."""
    field = "pk" if PLACES[noun][1] == "uuid" else "slug"
    found = rows_of(noun, reader).filter(**{field: key}).first()
    if found is None:
        raise Http404
    return found


def title_of(obj: Any) -> str:
    """What people call it, where its key alone says nothing."""
    if isinstance(obj, Component):
        return obj.name
    if isinstance(obj, Endpoint):
        return f"{obj.component.slug} · {obj.name}"
    return f"{obj.source.slug} → {obj.target.slug}" if obj.noun == "dependency" else str(obj)
