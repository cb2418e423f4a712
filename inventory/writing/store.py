"""Checked rows into the database: one statement for new ones, one for changed ones, however many there are."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import msgspec
from django.db import IntegrityError, OperationalError, connection, models
from psycopg import errors

from identity import rights
from inventory.writing.batch import Batch, Row
from portal import clock
from portal.errors import Conflict

AT_ONCE = 5000
"""Rows a statement; a larger one would hold its memory for longer than it saves time."""
SENTENCES = {
    "dependency_isolated": "Environments are kept apart: this would link two of them.",
    "component_in_no_circle": "Components would be parts of each other.",
    "component_attributes": "The attributes are not those of this kind.",
}
_FASTER = "Somebody else changed the same things at the same moment. Nothing was changed; look again, then repeat."


@contextmanager
def plain_conflicts() -> Iterator[None]:
    """What only the database can see, because somebody else was faster, as a refusal. Goes around the transaction."""
    try:
        yield
    except IntegrityError as error:
        name = getattr(getattr(error.__cause__, "diag", None), "constraint_name", None)
        raise Conflict(SENTENCES.get(name or "", _FASTER)) from error
    except OperationalError as error:
        if isinstance(error.__cause__, errors.DeadlockDetected | errors.SerializationFailure):
            raise Conflict(_FASTER) from error
        raise


def store(batch: Batch) -> None:
    """Write what ``check`` found good. Must be called in the transaction in which the batch was checked."""
    created, changed = batch.acting("create"), batch.acting("change")
    _give_scopes(batch, [*created, *changed])
    columns = _columns(batch)
    for part in _parts(sorted(created, key=batch.label)):
        _insert(batch, part, columns)
    names = {name for row in changed for name in row.changed}
    touched = [field for field in columns if field.name in names or (field.name == "scope" and names & _PLACE)]
    touched += [batch.declaration.model._meta.get_field("declared_by")] if batch.catalog else []
    for part in _parts(changed):
        _update(batch, part, touched)
    if removed := [row.id for row in batch.acting("remove") if row.id]:
        _remove(batch, set(removed))


def _remove(batch: Batch, left: set[UUID]) -> None:
    """Delete rows; first those that are part of another, which must not lose their whole before."""
    model: Any = batch.declaration.model
    wholes = [name for name, reference in batch.declaration.references.items() if reference.model is model]
    while left:
        stay: set[UUID] = set()
        for name in wholes:
            parts = model._base_manager.filter(pk__among=left, **{f"{name}__among": left})
            stay.update(parts.values_list(name, flat=True))
        model._base_manager.filter(pk__among=left - stay).delete()
        left = stay


_PLACE = {"environment", "service"}


def _parts(rows: Sequence[Row]) -> Iterator[Sequence[Row]]:
    for start in range(0, len(rows), AT_ONCE):
        yield rows[start : start + AT_ONCE]


def _columns(batch: Batch) -> list[Any]:
    """The model's fields that are written."""
    names = {*batch.declaration.names} | ({"scope"} if batch.declaration.scope == "scope" else set())
    return [field for field in batch.declaration.model._meta.concrete_fields if field.name in names]


def _give_scopes(batch: Batch, rows: Sequence[Row]) -> None:
    """The scope follows from environment and service; rights given on wider ones reach a new one at once."""
    if batch.declaration.scope != "scope":
        return
    moved = [row for row in rows if row.current is None or _PLACE & set(row.changed)]
    pairs = {(row.values["environment"], row.values["service"]) for row in moved}
    if pairs - batch.scopes.keys():
        batch.scopes = {pair: scope.pk for pair, scope in rights.scopes_for(pairs).items()}
    for row in moved:
        row.values["scope_id"] = batch.scopes[row.values["environment"], row.values["service"]]


def _insert(batch: Batch, rows: Sequence[Row], columns: list[Any]) -> None:
    meta = batch.declaration.model._meta
    columns = [*(meta.get_field(name) for name in ("id", "declared_by", "created_at", "updated_at")), *columns]
    now = clock.now()
    fixed = {"declared_by": batch.catalog, "created_at": now, "updated_at": now}
    names = ", ".join(_quoted(field.column) for field in columns)
    sql = f"INSERT INTO {_quoted(meta.db_table)} ({names}) SELECT {names} FROM {_recordset(columns)}"  # noqa: S608 (names of columns)
    _execute(sql, [{**row.values, "id": row.id, **fixed} for row in rows], columns)


def _update(batch: Batch, rows: Sequence[Row], columns: list[Any]) -> None:
    meta = batch.declaration.model._meta
    said = ", ".join(f"{_quoted(field.column)} = given.{_quoted(field.column)}" for field in columns)
    columns = [meta.pk, *columns]
    sql = f"UPDATE {_quoted(meta.db_table)} kept SET {said} FROM {_recordset(columns)} WHERE kept.id = given.id"  # noqa: S608
    _execute(sql, [{**row.values, "id": row.id, "declared_by": batch.catalog} for row in rows], columns)


def _recordset(columns: list[models.Field[Any, Any]]) -> str:
    """The rows as one parameter: PostgreSQL takes a JSON document apart faster than it plans thousands of values."""
    types = ", ".join(f"{_quoted(field.column)} {field.db_type(connection)}" for field in columns)
    return f"jsonb_to_recordset(%s::jsonb) AS given({types})"


def _execute(sql: str, rows: list[dict[str, Any]], columns: list[Any]) -> None:
    names = [field.column for field in columns]
    document = msgspec.json.encode([{name: row[name] for name in names} for row in rows]).decode()
    with connection.cursor() as cursor:
        cursor.execute(sql, [document])


def _quoted(name: str | None) -> str:
    assert name
    return connection.ops.quote_name(name)
