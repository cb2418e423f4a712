"""What is in the database already: rows by id or key, and what references lead to. One query each for any number."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from django.db import models
from django.db.models import F, OuterRef, Q, Subquery, Value
from django.db.models.functions import Cast

from inventory.writing.batch import Batch, Target
from inventory.writing.declarations import Declaration

VIEW = "inventory.view"
OPEN = {"team", "environment", "service"}
"""Nouns whose names are looked up as they are: rights on environment and service are asked as a pair (``rights``)."""


def rows(declaration: Declaration, found: Q, *, lock: bool) -> list[dict[str, Any]]:
    """The stored rows: fields, ``<reference>`` (slug), ``<reference>_id``, ``scope_id``. Locked in the order of keys.

    Names of references come from subqueries: a lock cannot be taken through outer joins, and must not through inner.
    """
    query = declaration.model._base_manager.filter(found).order_by("pk")
    columns = [reference.column for reference in declaration.references.values()]
    # A trailing underscore keeps what comes from elsewhere apart from the model's own names.
    named = {f"{name}_": _slug(reference) for name, reference in declaration.references.items()}
    if declaration.scope == "scope":
        columns.append("scope_id")
    elif declaration.scope:
        reference = declaration.references[declaration.scope]
        owner = reference.model._base_manager.filter(pk=OuterRef(reference.column))
        named["scope_id_"] = Subquery(owner.values("scope_id"))
    query = query.annotate(**named).values("id", "revision", "declared_by", *declaration.fields, *columns, *named)
    found_rows = query.select_for_update() if lock else query
    return [{name.rstrip("_"): value for name, value in row.items()} for row in found_rows]


def _slug(reference: Any) -> Subquery:
    return Subquery(reference.model._base_manager.filter(pk=OuterRef(reference.column)).values("slug"))


def resolve(batch: Batch, wanted: dict[str, set[str]]) -> None:
    """Find what references name: one query for all nouns together. What the actor may not see is not found."""
    models_of = {each.noun: each.model for each in batch.declaration.references.values()}
    parts = [_targets(noun, models_of[noun], slugs, batch.by) for noun, slugs in sorted(wanted.items()) if slugs]
    batch.targets = defaultdict(dict)
    if parts:
        for noun, *facts in parts[0].union(*parts[1:], all=True).order_by() if len(parts) > 1 else parts[0]:
            target = Target(*facts)
            batch.targets[noun][target.slug] = target


def _targets(noun: str, model: type[models.Model], slugs: Iterable[str], by: Any) -> models.QuerySet[Any, Any]:
    manager: Any = model._default_manager
    query = manager.all() if noun in OPEN else manager.visible_to(by)
    nothing = Cast(Value(None), models.UUIDField())
    has = {field.name for field in model._meta.concrete_fields}
    columns = {
        "target_noun": Value(noun, output_field=models.TextField()),
        "target_pk": F("pk"),
        "target_slug": F("slug"),
        "target_environment": F("environment_id") if "environment" in has else nothing,
        "target_scope": F("scope_id") if "scope" in has else nothing,
    }
    return query.order_by().filter(slug__among=slugs).annotate(**columns).values_list(*columns)
