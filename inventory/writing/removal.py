"""What stands in the way of removing rows: a catalog that declares them, and whatever still points at them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from django.db import models
from django.db.models import Count

from inventory.models import Declared
from inventory.writing.batch import Batch

OWNED = {("component", "endpoint", "component"), ("component", "dependency", "source")}
"""(noun, noun of its parts, field): parts that go with it, unless a catalog declares them."""


def check(batch: Batch) -> None:
    """Note each row that must stay, and why."""
    for row in batch.sound():
        if row.current and (owner := row.current["declared_by"]) and owner != batch.catalog:
            sentence = f"“{batch.label(row)}” is declared by the catalog “{owner}”. Remove it there."
            batch.wrong(row, "declared_by", sentence, "conflict")
    rows = {row.id: row for row in batch.acting("remove")}
    for relation in _relations(batch.declaration.model) if rows else ():
        for key, count in _staying(batch, relation, list(rows)):
            name = relation.related_model._meta.verbose_name
            is_ = "is no longer declared, but" if batch.catalog else "is"
            sentence = f"“{batch.label(rows[key])}” {is_} still pointed at: {count} × {name}."
            batch.wrong(rows[key], "", sentence, "conflict")


def _relations(model: type[models.Model]) -> list[Any]:
    return [each for each in model._meta.get_fields(include_hidden=True) if each.auto_created and not each.concrete]


def _staying(batch: Batch, relation: Any, ids: list[Any]) -> Iterator[tuple[Any, int]]:
    """(key of a row that goes, how many of this relation point at it and stay)."""
    related, name = relation.related_model, relation.field.name
    rows = related._base_manager.filter(**{f"{name}__among": ids})
    if issubclass(related, Declared) and batch.catalog:
        # What it declares goes as well, or will point where it says, which is never at a row that goes.
        rows = rows.exclude(declared_by=batch.catalog).exclude(pk__among=batch.settled)
    elif issubclass(related, Declared):
        if related is batch.declaration.model:
            rows = rows.exclude(pk__in=ids)
        if (batch.declaration.noun, related.noun, name) in OWNED:
            rows = rows.exclude(declared_by="")
        elif related.noun == "dependency":
            rows = rows.exclude(source__in=ids)
    elif relation.on_delete is not models.PROTECT:
        return
    yield from rows.order_by().values_list(name).annotate(Count("pk"))
