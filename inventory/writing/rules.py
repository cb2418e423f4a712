"""What must be true of a row as a whole, of all rows of a request together, and of what they touch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from django.db.models import F, Q

from inventory import parts
from inventory.models import CROSSING, Component, Dependency
from inventory.writing.batch import Batch, Row
from inventory.writing.declarations import Declaration
from inventory.writing.fields import ATTRIBUTES, Wrong

Values = dict[str, Any]
Complaints = Iterator[tuple[str, str]]
At = Callable[[str], Any]
"""The environment of what a reference leads to, in whatever form; ``None`` when that is not known."""
UNIQUE = ("external_id",)
"""Columns besides the key that hold each value once (empty ones excepted)."""


def check(batch: Batch) -> None:
    """Note every broken rule, then what changes."""
    for row in batch.sound():
        for name, sentence in broken(batch.declaration, row.values, _places(batch, row)):
            batch.wrong(row, name, sentence)
    for row in batch.sound():
        _compare(batch, row)
    for name in UNIQUE:
        if name in batch.declaration.fields:
            _once(batch, name)
    if batch.declaration.noun == "component":
        _moved(batch)
        _circles(batch)


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
        ends = " already." if batch.catalog else ". Change it there."
        sentence = f"“{batch.label(row)}” is declared by the catalog “{owner}”{ends}"
        batch.wrong(row, "declared_by", sentence, "conflict")


def _places(batch: Batch, row: Row) -> At:
    def at(name: str) -> Any:
        if name == "environment":
            return row.values["environment_id"]
        target = batch.target(row, name)
        return target and target.environment_id

    return at


def broken(known: Declaration, values: Values, at: At) -> Complaints:
    """Name and sentence of each rule that a row breaks by itself or by where it points. Asks no database.

    ``values`` holds names, references as slugs. A catalog asks this too, before it knows of any database.
    """
    for name, reference in known.references.items():
        # What something is part of or stands on is in its own environment.
        if reference.within and values[name] and at(name) not in (None, at(known.stands_by)):
            yield name, f"“{values[name]}” is in another environment."
    if known.noun in RULES:
        yield from RULES[known.noun](values, at)


def _component(values: Values, at: At) -> Complaints:
    if values["part_of"] == values["slug"]:
        yield "part_of", "A component is not part of itself."
    environment, reached = values["environment"], values["connection"].partition("/")[0]
    if reached not in ("", environment):
        yield "connection", f"A component of {environment} must not point at {reached} (“{values['connection']}”)."
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


def _server_group(values: Values, at: At) -> Complaints:
    if values["most"] is not None and values["most"] < values["least"]:
        yield "most", "This must not be less than “least”."


def _dependency(values: Values, at: At) -> Complaints:
    if values["source"] == values["target"]:
        yield "target", "Nothing depends on itself."
    if None not in (ends := (at("source"), at("target"))) and ends[0] != ends[1] and values["relation"] not in CROSSING:
        yield "target", f"Environments are kept apart: only {' and '.join(CROSSING)} may lead into another one."
    redundant = values["kind"] == Dependency.Kind.REDUNDANT
    for name in ("group", "needed"):
        if redundant and not values[name]:
            yield name, "A redundant dependency says its group, and how many of the group are needed."
        elif not redundant and values[name]:
            yield name, f"Only a redundant dependency has “{name}”."


RULES: dict[str, Callable[[Values, At], Complaints]] = {
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
    # That it is not empty has to be said: the index holds no empty ones, and of many values PostgreSQL does not look.
    taken = model._base_manager.filter(**{f"{name}__among": {row.values[name] for row in rows}}).exclude(**{name: ""})
    owners: dict[Any, Any] = dict(taken.values_list(name, "pk"))
    for row in rows:
        if owners.setdefault(row.values[name], row.id) != row.id:
            batch.wrong(row, name, f"“{row.values[name]}” is taken.", "conflict")


def _new(row: Row, name: str) -> bool:
    return row.current is None or name in row.changed


def _circles(batch: Batch) -> None:
    """Nothing is part of itself through others, of this request or stored: one query when any row becomes a part."""
    acting = batch.acting("create", "change")
    joining = [row for row in acting if row.values["part_of_id"] and _new(row, "part_of")]
    if not joining:
        return
    whole = {part: above for part, _, above, _ in parts.wholes({row.values["part_of_id"] for row in joining})}
    whole |= {row.id: row.values["part_of_id"] for row in acting}
    for row in joining if (wrong := parts.circles(whole)) else ():
        if row.id in wrong:
            through = f"“{row.values['part_of']}” is itself, directly or through others, part of “{batch.label(row)}”."
            batch.wrong(row, "part_of", through, "conflict")


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
