"""Why a catalog cannot be applied to what stands: names that nobody declared, and rows that something still needs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from django.db import models
from django.db.models import Count, Q
from django.db.models.expressions import RawSQL

from inventory.catalog.nouns import NOUNS
from inventory.catalog.source import Problem
from inventory.models import Declared

if TYPE_CHECKING:
    from inventory.catalog.difference import Change
    from inventory.catalog.estate import Estate


def unresolved(estate: Estate) -> Iterator[Problem]:
    """Names that neither this catalog nor one it relies on declares. One query per noun that is named."""
    for name, places in estate.foreign.items():
        rows = NOUNS[name].model._default_manager.filter(slug__in=RawSQL("SELECT unnest(%s::text[])", [sorted(places)]))
        if name != "team":
            rows = rows.filter(declared_by__in=["", *estate.relies_on])
        known = set(rows.values_list("slug", flat=True))
        for key in sorted(places.keys() - known):
            relied = ", ".join(estate.relies_on)
            yield estate.problem(places[key], f"There is no {name} “{key}”, neither here nor in {relied}.")


def pointed_at(catalog: str, gone: list[Change], wanted: dict[str, dict[str, Any]]) -> Iterator[Problem]:
    """A row may go only when nothing that stays points at it; rows that are parts of it go with it.

    One query per relation of a noun that loses rows.
    """
    leaving: dict[type[models.Model], dict[Any, Change]] = {}
    for change in gone:
        leaving.setdefault(NOUNS[change.noun].model, {})[change.pk] = change
    declared = {noun.model: sorted(wanted[noun.name]) for noun in NOUNS.values() if len(noun.key_paths) == 1}
    for model, rows in leaving.items():
        for relation in model._meta.related_objects:
            for pk, count in _staying(relation, rows, leaving, declared, catalog):
                change = rows[pk]
                what = f"{count} × {relation.related_model._meta.verbose_name}"
                sentence = f"The {change.noun} “{change.key}” is no longer declared, but still pointed at: {what}."
                yield Problem(catalog, 0, sentence)


def _staying(
    relation: Any,
    rows: dict[Any, Change],
    leaving: dict[type[models.Model], dict[Any, Change]],
    declared: dict[type[models.Model], list[str]],
    catalog: str,
) -> list[tuple[Any, int]]:
    """How many rows that stay as they are point at each of those that go."""
    related, name = relation.related_model, relation.field.name
    let_go = (models.CASCADE, models.DB_CASCADE, models.SET_NULL)
    owned = relation.on_delete in let_go and not issubclass(related, Declared)
    if owned:
        return []
    staying = related._base_manager.filter(**{f"{name}__in": _ids(list(rows))})
    staying = staying.exclude(pk__in=_ids(list(leaving.get(related, ()))))
    if related in declared:
        # What is declared will point where the catalog says, which is never at a row that goes.
        staying = staying.exclude(slug__in=RawSQL("SELECT unnest(%s::text[])", [declared[related]]))
    elif issubclass(related, Declared):
        staying = staying.filter(~Q(declared_by=catalog))
    return list(staying.order_by().values_list(name).annotate(Count("pk")))


def _ids(keys: list[Any]) -> RawSQL:
    return RawSQL("SELECT unnest(%s::uuid[])", [keys])
