"""Rows of a noun: which a reader may see, which a text finds, and by what they can be put in order. For all lists."""

from __future__ import annotations

import functools
from typing import Any

from django.db.models import Q, QuerySet

from identity.scoping import among
from inventory.models import NOUNS, Component
from inventory.models.searched import Searched
from inventory.writing import VIEW, declaration
from portal.search import read, understood

SCOPES = {"endpoint": ("component__scope",), "dependency": ("source__scope", "target__scope")}
"""Paths to the scopes that must be visible, where a noun has none of its own."""
SEARCHED: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(NOUNS, ("slug", "name")),
    "endpoint": ("component__slug", "name", "host"),
}
"""Where ``?q=`` looks in nouns that have no words of their own."""
INDEXED: dict[str, tuple[str, ...]] = {
    "component": ("id", "slug", "kind", "status", "service", "updated_at"),
    "server": ("id", "slug", "kind", "status", "service"),
    "endpoint": ("id", "component"),
    "dependency": ("id", "source", "target"),
}
"""What an index gives the order of. Sorting 100,000 rows by anything else would read all of them for every page."""


def visible(noun: str, reader: Any) -> QuerySet[Any]:
    """Every row of ``noun`` that ``reader`` may see. Asks for the keys of his scopes first, where it has any."""
    rows: Any = NOUNS[noun]._default_manager
    scope = declaration(noun).scope
    found = among(rows.all(), reader, VIEW, *SCOPES.get(noun, ("scope",))) if scope and reader.pk else None
    return rows.visible_to(reader) if found is None else found


def search(noun: str, reader: Any, rows: QuerySet[Any], text: str) -> QuerySet[Any]:
    """The rows that ``text`` finds: of what there is much of by the words of the search, of the rest by any part."""
    if isinstance(rows, Searched):
        return rows.search(text)
    if noun == "dependency":
        query = read(text)
        if not query.words:
            return rows.none() if query.text else rows
        ends = Component.objects.visible_to(reader)
        fits = understood(ends, query, words="slug", inside="slug")
        return rows.filter(fits("source__") | fits("target__"))
    return rows.filter(functools.reduce(Q.__or__, (Q((f"{name}__icontains", text)) for name in SEARCHED[noun])))


def sortable(noun: str) -> tuple[str, ...]:
    """Names of the columns that a list can be sorted by."""
    known = declaration(noun)
    return INDEXED.get(noun) or tuple(name for name in known.paths if name not in known.held)
