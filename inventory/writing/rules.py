"""What must be true of a row as a whole, of all rows of a request together, and of what they touch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.db.models import F, Q

from inventory.models import CROSSING, Component, Dependency
from inventory.writing.batch import Batch, Row
from inventory.writing.fields import ATTRIBUTES, Wrong

Complaints = Iterator[tuple[str, str]]
UNIQUE = ("external_id",)
"""Columns besides the key that hold each value once (empty ones excepted)."""


def check(batch: Batch) -> None:
    """Note every broken rule, then what changes."""
    own = RULES.get(batch.declaration.noun, _nothing)
    for row in batch.sound():
        for name, sentence in (*own(batch, row), *_within(batch, row)):
            batch.wrong(row, name, sentence)
    for row in batch.sound():
        _compare(batch, row)
    for name in UNIQUE:
        if name in batch.declaration.fields:
            _once(batch, name)
    if batch.declaration.noun == "component":
        _moved(batch)


def _compare(batch: Batch, row: Row) -> None:
    if row.current is None:
        return
    names = row.given if batch.mode != "replace" else batch.declaration.names
    current, values = row.current, row.values
    row.changed = tuple(name for name in names if current[name] != values[name])
    adopted = batch.catalog and current["declared_by"] != batch.catalog
    row.act = "change" if row.changed or adopted else "same"
    owner = current["declared_by"]
    if row.act == "change" and owner and owner != batch.catalog:
        sentence = f"“{current[batch.declaration.key[0]]}” is declared by the catalog “{owner}”. Change it there."
        batch.wrong(row, "declared_by", sentence, "conflict")


def _within(batch: Batch, row: Row) -> Complaints:
    """What something is part of or stands on is in its own environment."""
    environment = row.values.get("environment_id")
    if environment is None and batch.declaration.noun == "endpoint":
        component = batch.target(row, "component")
        environment = component and component.environment_id
    for name, reference in batch.declaration.references.items():
        target = batch.target(row, name) if reference.within and row.values.get(name) else None
        if target and target.environment_id != environment:
            yield name, f"“{target.slug}” is in another environment."


def _nothing(batch: Batch, row: Row) -> Complaints:
    yield from ()


def _component(batch: Batch, row: Row) -> Complaints:
    values = row.values
    if values["part_of"] and values["part_of_id"] == row.id:
        yield "part_of", "A component is not part of itself."
    known = ATTRIBUTES[values["kind"]]
    for name, value in values["attributes"].items():
        if name not in known:
            kind = f"A component of kind “{values['kind']}” has no such attribute."
            yield f"attributes.{name}", f"{kind} Known: {', '.join(sorted(known)) or 'none'}."
            continue
        try:
            known[name](value)
        except Wrong as error:
            yield f"attributes.{name}", str(error)


def _server_group(batch: Batch, row: Row) -> Complaints:
    if row.values["most"] is not None and row.values["most"] < row.values["least"]:
        yield "most", "This must not be less than “least”."


def _dependency(batch: Batch, row: Row) -> Complaints:
    values = row.values
    source, target = batch.target(row, "source"), batch.target(row, "target")
    if source and target:
        if source.pk == target.pk:
            yield "target", "Nothing depends on itself."
        if source.environment_id != target.environment_id and values["relation"] not in CROSSING:
            yield "target", f"Environments are kept apart: only {' and '.join(CROSSING)} may lead into another one."
    redundant = values["kind"] == Dependency.Kind.REDUNDANT
    for name in ("group", "needed"):
        if redundant and not values[name]:
            yield name, "A redundant dependency says its group, and how many of the group are needed."
        elif not redundant and values[name]:
            yield name, "Only a redundant dependency has this."


RULES: dict[str, Callable[[Batch, Row], Complaints]] = {
    "component": _component,
    "server-group": _server_group,
    "dependency": _dependency,
}


def _once(batch: Batch, name: str) -> None:
    """No two rows have the same value, in this request or with what is stored: one query when any row has one."""
    rows = [row for row in batch.acting("create", "change") if row.values[name] and _new(row, name)]
    if not rows:
        return
    model = batch.declaration.model
    taken = model._base_manager.filter(**{f"{name}__among": {row.values[name] for row in rows}}).values_list(name, "pk")
    owners: dict[Any, Any] = dict(taken)
    for row in rows:
        if owners.setdefault(row.values[name], row.id) != row.id:
            batch.wrong(row, name, f"“{row.values[name]}” is taken.", "conflict")


def _new(row: Row, name: str) -> bool:
    return row.current is None or name in row.changed


def _moved(batch: Batch) -> None:
    """A component that goes into another environment must not leave its links and its parts behind."""
    moved = {row.id: row for row in batch.acting("change") if row.current and "environment" in row.changed}
    if not moved:
        return
    here = Q(source__in=moved) | Q(target__in=moved)
    ends = Dependency.objects.filter(here).exclude(relation__in=CROSSING)
    pairs = [*ends.values_list("source", "target", "source__environment", "target__environment")]
    parts = Component.objects.filter(part_of__in=moved).values_list(
        "pk", "part_of", "environment", F("part_of__environment")
    )
    for one, other, one_in, other_in in [*pairs, *parts]:
        places = [
            moved[pk].values["environment_id"] if pk in moved else at for pk, at in ((one, one_in), (other, other_in))
        ]
        if places[0] != places[1]:
            row = moved.get(one) or moved[other]
            batch.wrong(row, "environment", "It is linked to components that stay in the other environment.")
