"""Write the estate by hand: create, change and remove rows of any noun, one or many in the same way."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, cast

from django.db import models, transaction

from inventory.models import Declared
from inventory.writing import EDIT, REMOVE, Batch, Mode, authorize_anywhere, check, needed, plain_conflicts, store
from portal import events
from portal.lifecycle import Actor

LISTED = 20
"""How many keys of each kind the event names; the counts are always complete."""


def write_many(noun: str, rows: Sequence[Any], *, by: Actor, mode: Mode = "upsert", reason: str = "") -> Batch:
    """Create, change or remove all of ``rows`` (see ``inventory.writing.check``), or none of them.

    ``by`` must hold ``inventory.edit``, or ``inventory.remove``, on the scope of every row; everywhere when the noun
    belongs to no scope. Raises ``Denied``, ``Invalid`` or ``Conflict`` with everything that is wrong, row by row in
    ``errors``. One event tells of all of them; when nothing changes there is none. Returns the batch that was written.
    """
    with plain_conflicts(), transaction.atomic():
        return (remove if mode == "remove" else edit)(noun, rows, by=by, mode=mode, reason=reason)


def edit(noun: str, rows: Sequence[Any], *, by: Actor, mode: Mode, reason: str = "") -> Batch:
    """The verb behind ``write_many``, ``create`` and ``change``: new and changed rows."""
    authorize_anywhere(by, EDIT)
    batch = check(noun, rows, by=by, mode=mode, lock=True)
    batch.refuse_mistakes()
    store(batch)
    if subject := _subject(batch):
        events.record(EDIT, subject, by=by, reason=reason, after=_summary(batch))
    return batch


def remove(noun: str, rows: Sequence[Any], *, by: Actor, mode: Mode = "remove", reason: str = "") -> Batch:
    """Remove rows that no catalog declares and nothing that stays points at. What is part of them goes with them."""
    authorize_anywhere(by, REMOVE)
    batch = check(noun, rows, by=by, mode=mode, lock=True)
    batch.refuse_mistakes()
    subject = _subject(batch)
    store(batch)
    if subject:
        events.record(REMOVE, subject, by=by, reason=reason, after=_summary(batch))
    return batch


def rehearse(noun: str, rows: Sequence[Any], *, by: Actor, mode: Mode = "upsert") -> Batch:
    """What ``write_many`` would do, refused for the same reasons. Changes nothing."""
    authorize_anywhere(by, needed(mode))
    batch = check(noun, rows, by=by, mode=mode)
    batch.refuse_mistakes()
    return batch


def create(noun: str, values: dict[str, Any], *, by: Actor, reason: str = "") -> Declared:
    """One new row."""
    return _one(write_many(noun, [values], by=by, mode="create", reason=reason))


def change(obj: Declared, *, by: Actor, reason: str = "", revision: int | None = None, **values: Any) -> Declared:
    """Change fields of one row. ``revision``: refuse when it is no longer the one that was read."""
    row = {"id": obj.pk, "revision": revision, **values}
    return _one(write_many(obj.noun, [row], by=by, mode="update", reason=reason))


def _one(batch: Batch) -> Declared:
    return batch.declaration.model._base_manager.get(pk=cast(Any, batch.rows[0].id))


class Many:
    """Several rows as the subject of an event: it has their noun and, when all are in one, their scope."""

    def __init__(self, batch: Batch, count: int, scopes: set[Any]) -> None:
        self._meta = batch.declaration.model._meta
        self.pk = ""
        self.scope_id = scopes.pop() if len(scopes) == 1 else None
        self._label = f"{count} × {batch.declaration.label}"

    def __str__(self) -> str:
        return self._label


def _subject(batch: Batch) -> models.Model | None:
    """What the event is about: the row, or all of them; ``None`` when nothing changes."""
    rows = batch.acting("create", "change", "remove")
    if not rows:
        return None
    many = Many(batch, len(rows), {_scope(batch, row) for row in rows})
    if len(rows) == 1:
        many.pk, many._label = str(rows[0].id), batch.label(rows[0])
    return cast(models.Model, many)


def _scope(batch: Batch, row: Any) -> Any:
    found = row.values.get("scope_id") or (row.current or {}).get("scope_id")
    if found or not batch.declaration.scope:
        return found
    target = batch.target(row, batch.declaration.scope) if batch.declaration.scope != "scope" else None
    return target.scope_id if target else None


def _summary(batch: Batch) -> dict[str, Any]:
    """Counts and the first keys; values are in the rows' own history."""
    acts = {"created": "create", "changed": "change", "removed": "remove"}
    found = {name: batch.acting(act) for name, act in acts.items()}
    summary: dict[str, Any] = {"noun": batch.declaration.noun, **{name: len(rows) for name, rows in found.items()}}
    summary["rows"] = {name: [batch.label(row) for row in rows[:LISTED]] for name, rows in found.items() if rows}
    if len(rows := found["changed"]) == 1:
        summary["fields"] = list(rows[0].changed)
    return summary
