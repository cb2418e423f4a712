"""Rows checked as a whole: shape, references, keys, rights and rules, in a few queries for any number of rows."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from typing import Any
from uuid import UUID

from django.db.models import Q
from uuid_utils.compat import uuid7

from inventory.writing import places, removal, rights, rules, stored
from inventory.writing.batch import Batch, Beside, Mode, Row, Target
from inventory.writing.declarations import KEPT, declaration
from inventory.writing.fields import Wrong

SORT = {"create": "create", "update": "change", "upsert": "", "replace": "change", "remove": "remove"}


def check(
    noun: str,
    given: Sequence[Any],
    *,
    by: Any,
    mode: Mode = "upsert",
    catalog: str = "",
    lock: bool = False,
    beside: Beside | None = None,
    settled: Iterable[UUID] = (),
) -> Batch:
    """Everything that is wrong with these rows, and what writing them would change. Writes nothing.

    A row is a mapping of names to values: fields as they are stored, references by slug, ``id`` when it is addressed by
    its key, ``revision`` when it must still be as it was read. ``catalog`` declares the rows, which needs the right to
    apply it; without one, rows that any catalog declared are refused. ``lock``: keep what is found as it is until the
    transaction ends. ``beside``: rows that are written with these but checked in another part; rows may point at them.
    ``settled``: rows that will no longer point at those that are removed.
    """
    batch = Batch(declaration(noun), mode, by, catalog, beside=beside or {}, settled=settled)
    for index, each in enumerate(given):
        _take(batch, index, each)
    _find(batch, lock=lock)
    _resolve(batch)
    if batch.declaration.key != ("slug",):
        _find_by_references(batch, lock=lock)
    rights.ask(batch)
    if mode == "remove":
        removal.check(batch)
        return batch
    for row in batch.sound():
        _merge(batch, row)
    rules.check(batch)
    return batch


def _take(batch: Batch, index: int, given: Any) -> None:
    """The shape of one row."""
    row = Row(index, {})
    batch.rows.append(row)
    if type(given) is not dict:
        return batch.wrong(row, "", "This must be a mapping of names to values.")
    columns = batch.declaration.columns
    for name, value in given.items():
        if column := columns.get(name):
            try:
                row.given[name] = column.check(value)
            except Wrong as error:
                batch.wrong(row, name, str(error))
        elif name not in KEPT:
            batch.wrong(row, str(name), "There is no such field.")
    _take_identity(batch, row, given)
    if batch.declaration.placed and batch.mode != "remove":
        places.complete(row)
    return None


def _take_identity(batch: Batch, row: Row, given: dict[str, Any]) -> None:
    if (key := given.get("id")) is not None and batch.mode != "create":
        try:
            row.id = key if isinstance(key, UUID) else UUID(key)
        except (ValueError, TypeError, AttributeError):
            batch.wrong(row, "id", "This must be a UUID.")
    if (revision := given.get("revision")) is not None:
        if type(revision) is int:
            row.revision = revision
        else:
            batch.wrong(row, "revision", "This must be a whole number.")


def _find(batch: Batch, *, lock: bool) -> None:
    """What is there already, by id and by slug; rows of nouns that are known by what they point at come later."""
    by_slug = batch.declaration.key == ("slug",)
    ids = {row.id for row in batch.sound() if row.id}
    slugs = {row.given["slug"] for row in batch.sound() if by_slug and row.given.get("slug")}
    wanted = (Q(pk__among=ids) if ids else Q()) | (Q(slug__among=slugs) if slugs else Q())
    found = stored.rows(batch.declaration, wanted, lock=lock) if wanted else []
    _match(batch, found, [row for row in batch.sound() if row.id or by_slug])


def _match(batch: Batch, found: Iterable[dict[str, Any]], rows: Iterable[Row]) -> None:
    """Decide for each row what happens to it, by what is there under its id or its key."""
    here = list(found)
    by_id = {each["id"]: each for each in here}
    by_key = {tuple(each[name] for name in batch.declaration.key): each for each in here}
    seen: dict[Any, int] = {}
    for row in rows:
        key = tuple(row.given.get(name) or row.values.get(name) for name in batch.declaration.key)
        other = by_key.get(key)
        row.current = by_id.get(row.id) if row.id else other
        taken = other if row.id and other and other["id"] != row.id else None
        _decide(batch, row, taken)
        for mark in {row.id, key if None not in key else None} - {None}:
            if seen.setdefault(mark, row.index) != row.index:
                batch.wrong(row, batch.declaration.key[0], f"“{batch.label(row)}” is in here twice.")


def _decide(batch: Batch, row: Row, taken: dict[str, Any] | None) -> None:
    label, name = batch.declaration.label, batch.declaration.key[0]
    row.act = SORT[batch.mode] or ("change" if row.current else "create")
    if row.id and row.current is None:
        batch.wrong(row, "id", f"There is no {label} “{row.id}”.", "missing")
    elif row.act == "create" and row.current is not None:
        batch.wrong(row, name, f"There is a {label} “{batch.label(row)}” already.", "conflict")
    elif row.act != "create" and row.current is None:
        if all(row.given.get(part) for part in batch.declaration.key):
            batch.wrong(row, name, f"There is no {label} “{batch.label(row)}”.", "missing")
        else:
            batch.wrong(row, name, f"Say which {label} it is, by id or by {' and '.join(batch.declaration.key)}.")
    elif taken is not None:
        batch.wrong(row, name, f"There is a {label} “{batch.label(row)}” already.", "conflict")
    elif row.current is None:
        known = batch.beside.get(batch.declaration.noun, {}).get(row.given.get("slug", ""))
        row.id = known.pk if known else uuid7()
    else:
        row.id = row.current["id"]
        if row.revision is not None and row.revision != row.current["revision"]:
            batch.wrong(row, "revision", "It was changed since you read it.", "stale")


def _resolve(batch: Batch) -> None:
    """Find what references name. Rows of one noun may point at one another, new ones too."""
    references = batch.declaration.references
    wanted: dict[str, set[str]] = defaultdict(set)
    for row in batch.sound():
        for name, reference in references.items():
            slug = row.given.get(name, row.current[name] if row.current and _spans(batch, row, name) else None)
            if slug:
                wanted[reference.noun].add(slug)
    stored.resolve(batch, wanted)
    if any(reference.model is batch.declaration.model for reference in references.values()):
        here = batch.targets[batch.declaration.noun]
        for row in batch.acting("create", "change"):
            if not (slug := row.given.get("slug")) or (row.current and row.current["slug"] == slug):
                continue
            environment = batch.targets["environment"].get(row.given.get("environment", ""))
            own = Target(row.id or uuid7(), slug, environment and environment.pk)
            here.setdefault(slug, own)
    for noun, slugs in wanted.items():
        known = batch.beside.get(noun, {})
        for slug in slugs & known.keys():
            batch.targets[noun].setdefault(slug, known[slug])


def _spans(batch: Batch, row: Row, name: str) -> bool:
    """Whether a rule spans this reference and something else that is written: then what is stored matters too."""
    if name in batch.declaration.key:
        return True
    place = {"environment", "component"} & row.given.keys()
    return batch.declaration.references[name].within and any(
        row.given[each] != (row.current or {})[each] for each in place
    )


def _find_by_references(batch: Batch, *, lock: bool) -> None:
    """Rows that are known by what they point at: an endpoint by component and name, a dependency by both ends."""
    rows = [row for row in batch.sound() if not row.act]
    first, second = batch.declaration.key
    owners = {target.pk for row in rows if (target := batch.target(row, first))}
    wanted = Q(**{f"{first}__in": owners})
    if second in batch.declaration.references:
        wanted &= Q(**{f"{second}__in": {target.pk for row in rows if (target := batch.target(row, second))}})
    else:
        wanted &= Q(**{f"{second}__in": {row.given.get(second, "") for row in rows}})
    _match(batch, stored.rows(batch.declaration, wanted, lock=lock) if owners else [], rows)


def _merge(batch: Batch, row: Row) -> None:
    """What the row shall be: what is given over what is stored, or over the defaults."""
    known = batch.declaration
    if row.current is not None and batch.mode != "replace":
        row.values = {**row.current, **row.given}
    else:
        defaults = {name: _default(field.default) for name, field in known.fields.items()}
        stays = (*known.key, *(("environment", "data_center") if known.placed else ()))
        kept = {name: row.current[name] for name in stays} | _scope(row.current) if row.current else {}
        row.values = {**dict.fromkeys(known.references), **defaults, **kept, **row.given}
        if known.placed and not row.values["name"] and row.values["slug"]:
            row.values["name"] = row.values["slug"].rpartition("/")[2][:120]
        for name in known.required:
            if row.values.get(name) in (None, ""):
                batch.wrong(row, name, "This is needed.")
    for name, reference in known.references.items():
        target = batch.target(row, name)
        if target is not None:
            row.values[reference.column] = target.pk
        elif row.current is not None and row.current[name] == row.values[name]:
            row.values[reference.column] = row.current[reference.column]
        elif row.values[name]:
            batch.wrong(row, name, f"There is no {reference.noun.replace('-', ' ')} “{row.values[name]}”.")
        else:
            row.values[reference.column] = None
    if known.placed:
        places.agree(batch, row)


def _scope(current: dict[str, Any]) -> dict[str, Any]:
    return {"scope_id": current["scope_id"]} if "scope_id" in current else {}


def _default(value: Any) -> Any:
    return value.copy() if isinstance(value, list | dict) else value
