"""An estate compared with the database: what would be created, changed and removed.

Stored rows are read once per noun, streamed, and only what differs is kept: the cost is two passes over the rows, the
memory that of the catalog.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from django.db import models
from django.db.models import Q
from django.db.models.expressions import RawSQL

from inventory.catalog import standing
from inventory.catalog.estate import Estate
from inventory.catalog.nouns import ARROW, HASH, NOUNS, ORDER, Noun, links, placed
from inventory.catalog.source import Problem

__all__ = ["ORDER", "Change", "Difference", "compare", "declared", "keyed", "stored"]
CREATE, CHANGE, REMOVE = "create", "change", "remove"
_CHUNK = 2000
Rows = dict[str, dict[str, Any]]
Renamed = dict[str, dict[str, str]]
"""Noun → key → the key that it will have."""


@dataclass(frozen=True)
class Change:
    """One row: ``create``, ``change`` or ``remove``; ``fields`` maps a field to its values before and after.

    ``pk`` is the stored row's (``None`` for a new one); it is no part of what people compare.
    """

    act: str
    noun: str
    key: str
    fields: tuple[tuple[str, Any, Any], ...] = ()
    pk: Any = field(default=None, compare=False)


@dataclass(frozen=True)
class Difference:
    """Every change that would make the database equal to the catalog, and why it cannot be made (if so)."""

    catalog: str
    changes: tuple[Change, ...]
    problems: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows would be created, changed and removed."""
        acts = {"created": CREATE, "changed": CHANGE, "removed": REMOVE}
        return {name: sum(change.act == act for change in self.changes) for name, act in acts.items()}

    @property
    def by_noun(self) -> dict[str, dict[str, int]]:
        """Noun → act → how many, for what changes at all."""
        found: dict[str, dict[str, int]] = {}
        for change in self.changes:
            acts = found.setdefault(change.noun, {CREATE: 0, CHANGE: 0, REMOVE: 0})
            acts[change.act] += 1
        return {noun: found[noun] for noun in ORDER if noun in found}

    @property
    def summary(self) -> str:
        """The counts as a sentence."""
        if not self.changes:
            return "No difference: everything is as declared."
        counts = self.counts
        return f"{counts['created']} to create, {counts['changed']} to change, {counts['removed']} to remove."

    @property
    def digest(self) -> str:
        """Stands for exactly these changes: what a person has read can be told from what would now be done."""
        whole = hashlib.sha256(self.catalog.encode())
        for change in self.changes:
            facts = [change.act, change.noun, change.key, change.fields]
            whole.update(b"\0" + json.dumps(facts, sort_keys=True, separators=(",", ":")).encode())
        return whole.hexdigest()[:16]


def declared(estate: Estate) -> dict[str, Rows]:
    """Noun → key → fields, as the catalog wants them."""
    by = {"declared_by": estate.catalog}
    wanted: dict[str, Rows] = {}
    for noun in NOUNS.values():
        rows = wanted[noun.name] = {}
        own = by if noun.name != "team" else {}
        for key, row, more in _declared(estate, noun):
            rows[key] = {
                each.name: each.tidy(row[each.name]) if each.name in row else each.empty for each in noun.fields
            }
            rows[key] |= more | own
    return wanted


def _declared(estate: Estate, noun: Noun) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Key, what the file says, and what follows from where it says it."""
    if noun.name == "endpoint":
        for component, row in estate.components.items():
            for name, endpoint in row.get("endpoints", {}).items():
                yield f"{component}{HASH}{name}", endpoint, {"component": component, "name": name}
    elif noun.name == "dependency":
        for source, targets in estate.dependencies.items():
            for target, link in links(targets):
                yield f"{source}{ARROW}{target}", link, {"source": source, "target": target}
    else:
        for key, row in getattr(estate, noun.section).items():
            yield key, row, dict(zip(("environment", "data_center"), placed(key), strict=True)) if noun.placed else {}


def stored(rows: models.QuerySet[Any] | None = None, *, noun: str = "") -> dict[str, Rows]:
    """The same shape, as the database has it: one query per noun, or only ``rows`` of one."""
    if rows is not None:
        return {noun: {key: fields for _, key, fields in _read(NOUNS[noun], rows)}}
    return {
        each.name: {key: f for _, key, f in _read(each, each.model._default_manager.all())} for each in NOUNS.values()
    }


def _read(
    noun: Noun, rows: models.QuerySet[Any], renamed: Renamed | None = None
) -> Iterator[tuple[Any, str, dict[str, Any]]]:
    """Primary key, key and fields of each row, streamed. What it names is named as it will be called (``renamed``)."""
    columns, parts = noun.columns, len(noun.key_paths)
    paths = [*noun.key_paths, *(each.path for each in columns)]
    names = [each.name for each in columns]
    names_now = {to: known for to, known in (renamed or {}).items() if known}
    pointing = [column for column in columns if column.to in names_now]
    first = "component" if noun.name == "endpoint" else "source"
    tidied = [(each.name, each.tidy) for each in columns if each.tidy.__name__ != "_same"]
    for pk, *values in rows.order_by().values_list("pk", *paths).iterator(_CHUNK):
        fields = dict(zip(names, values[parts:], strict=True))
        for name, tidy in tidied:
            fields[name] = tidy(fields[name])
        key = tuple(values[:parts])
        for column in pointing:
            fields[column.name] = names_now[column.to].get(fields[column.name], fields[column.name])
        if pointing and parts == 2:
            key = (fields[first], key[1] if first == "component" else fields["target"])
        yield pk, noun.keys(key), fields


def keyed(path: str, keys: list[str]) -> Q:
    """Rows whose ``path`` is one of ``keys``: one array goes to the server, however many there are."""
    return Q(**{f"{path}__in": RawSQL("SELECT unnest(%s::text[])", [keys])})


def compare(estate: Estate) -> Difference:
    """What ``inventory.actions.apply_catalog`` would do. Reads only; a refusal is in ``problems``, not raised."""
    wanted = declared(estate)
    changes: list[Change] = []
    gone: list[Change] = []
    problems: list[Problem] = [*standing.unresolved(estate)]
    renamed: Renamed = {}
    for noun in NOUNS.values():
        made, removed, foreign = _compare(estate, noun, wanted[noun.name], renamed)
        changes += made
        gone = [*removed, *gone]
        problems += foreign
    problems += standing.pointed_at(estate.catalog, gone, wanted)
    return Difference(estate.catalog, (*changes, *gone), tuple(sorted(problems)))


def _compare(
    estate: Estate, noun: Noun, wanted: Rows, renamed: Renamed
) -> tuple[list[Change], list[Change], list[Problem]]:
    own = Q(declared_by=estate.catalog) if noun.name != "team" else Q(pk=None)
    asked = keyed(noun.key_paths[0], sorted({key.partition(HASH)[0].partition(ARROW)[0] for key in wanted}))
    found: dict[str, Change | None] = {}
    problems: list[Problem] = []
    absent: list[tuple[Any, str, dict[str, Any]]] = []
    for pk, key, fields in _read(noun, noun.model._default_manager.filter(own | asked), renamed):
        if key in wanted:
            found[key] = _change(noun.name, key, fields, wanted[key], pk)
            problems += _foreign(estate, noun, key, fields)
        elif fields.get("declared_by") == estate.catalog:
            absent.append((pk, key, fields))
    moved = _moved(noun, absent, wanted.keys() - found.keys(), wanted)
    found |= moved
    renamed[noun.name] = {old: key for key, change in moved.items() for name, old, _ in change.fields if name == "slug"}
    made = [found[key] if key in found else _new(noun.name, key, wanted[key]) for key in wanted]
    still = {change.pk for change in moved.values()}
    removed = [Change(REMOVE, noun.name, key, pk=pk) for pk, key, _ in sorted(absent, key=_key) if pk not in still]
    return [change for change in made if change], removed, problems


def _key(absent: tuple[Any, str, dict[str, Any]]) -> str:
    return absent[1]


def _new(noun: str, key: str, after: dict[str, Any]) -> Change:
    shown = tuple((name, None, value) for name, value in sorted(after.items()) if value not in ("", None, {}, []))
    return Change(CREATE, noun, key, shown)


def _change(noun: str, key: str, before: dict[str, Any], after: dict[str, Any], pk: Any) -> Change | None:
    fields = tuple((name, before[name], value) for name, value in sorted(after.items()) if before[name] != value)
    return Change(CHANGE, noun, key, fields, pk) if fields else None


def _moved(noun: Noun, absent: list[tuple[Any, str, dict[str, Any]]], new: set[str], wanted: Rows) -> dict[str, Change]:
    """Rows that have another key now, told by what their provider calls them: renamed, not removed and made again."""
    if "external_id" not in {each.name for each in noun.fields} or not absent or not new:
        return {}
    known = {fields["external_id"]: (pk, key, fields) for pk, key, fields in absent if fields["external_id"]}
    moved = {}
    for key in sorted(new):
        if same := known.get(wanted[key]["external_id"]):
            pk, old, before = same
            change = _change(noun.name, key, before | {"slug": old}, wanted[key] | {"slug": key}, pk)
            if change:
                moved[key] = change
    return moved


def _foreign(estate: Estate, noun: Noun, key: str, before: dict[str, Any]) -> Iterator[Problem]:
    owner = before.get("declared_by")
    if owner and owner != estate.catalog:
        parts = key.split(ARROW) if noun.name == "dependency" else key.split(HASH)
        where = (noun.section, *parts) if noun.name != "endpoint" else (noun.section, parts[0], "endpoints", parts[1])
        yield estate.problem(where, f"“{key}” is declared by the catalog “{owner}” already.")
