"""What stands, as a catalog would say it, and names that a catalog relies on but nobody declared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db.models import QuerySet

from inventory.catalog.estate import Estate
from inventory.catalog.nouns import NOUNS, Noun

_CHUNK = 2000
Renamed = dict[str, dict[str, str]]
"""Noun → key → the key that it will have."""


def read(noun: Noun, rows: QuerySet[Any], renamed: Renamed | None = None) -> Iterator[tuple[Any, str, dict[str, Any]]]:
    """Primary key, key and values of each row, streamed. What it names is named as it will be called (``renamed``)."""
    known, names = noun.declaration, list(noun.paths)
    now = {name: (renamed or {}).get(reference.noun) for name, reference in known.references.items()}
    pointing = [(name, keys) for name, keys in now.items() if keys]
    for pk, *values in rows.values_list("pk", *noun.paths.values()).iterator(_CHUNK):
        fields = dict(zip(names, values, strict=True))
        for name, keys in pointing:
            fields[name] = keys.get(fields[name], fields[name])
        yield pk, known.label_of(fields), fields


def missing(estate: Estate) -> dict[str, set[str]]:
    """Noun → keys that neither this catalog nor one it relies on declares. One query per noun that is named."""
    found = {}
    for name, places in estate.foreign.items():
        manager: Any = NOUNS[name].declaration.model._default_manager
        rows = manager.filter(slug__among=sorted(places))
        if name != "team":
            rows = rows.filter(declared_by__in=["", *estate.relies_on])
        found[name] = places.keys() - set(rows.values_list("slug", flat=True))
    return found
