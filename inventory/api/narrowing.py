"""What lists can be narrowed by. Only what the query names is looked at; a name that is not known is refused.

``kind=app`` (several: any of them), ``kind__in=a,b``, ``name__contains=``, ``version__startswith=``,
``server__isnull=``, ``updated_at__gte=``; ``tag=`` (several: all of them), ``custom.<name>=``, ``attributes.<name>=``.
Other rows are named by slug; one that the reader may not see is refused like one that is not there, as on screens.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import msgspec
from django.db import models
from django.db.models import F, Q, QuerySet, Value
from django.http import QueryDict
from django.utils.dateparse import parse_datetime
from rest_framework.exceptions import ValidationError

from inventory.api.shapes import columns, listed
from inventory.writing import declaration
from inventory.writing.fields import Wrong, text

PLAIN = {"owner", "source", "target"}
"""References whose slug is looked for as it is, so that one that is not there finds nothing."""
TEXTS = {"": "exact", "in": "in", "contains": "icontains", "icontains": "icontains", "startswith": "startswith"}
NUMBERS = {"": "exact", "in": "in", "gt": "gt", "gte": "gte", "lt": "lt", "lte": "lte"}
KEYS = {"": "exact", "in": "in"}
_line = text(200)
Read = Callable[[str], Any]


def narrow(noun: str, rows: QuerySet[Any], query: QueryDict, own: Iterable[str], reader: Any) -> QuerySet[Any]:
    """``rows`` that fit every parameter of ``query`` but those in ``own``. Faults are named all at once."""
    faults: dict[str, list[str]] = {}
    found = Q()
    wanted: dict[str, list[str]] = {}
    for name in query:
        if name in own:
            continue
        values = query.getlist(name)
        try:
            if name.removesuffix("__in") in _resolved(noun):
                wanted[name] = [_line(value) for value in _several(name, values)]
            else:
                found &= condition(noun, name, values)
        except Wrong as error:
            faults[name] = [str(error)]
    found &= _references(noun, wanted, reader, faults)
    if faults:
        raise ValidationError(faults)
    return rows.filter(found) if found else rows


def _several(name: str, values: list[str]) -> list[str]:
    return [part for value in values for part in value.split(",")] if name.endswith("__in") else values


@functools.cache
def _resolved(noun: str) -> frozenset[str]:
    extra = {"environment"} if noun == "dependency" else set()
    return frozenset(declaration(noun).references.keys() - PLAIN | extra)


def _references(noun: str, wanted: dict[str, list[str]], reader: Any, faults: dict[str, list[str]]) -> Q:
    """Conditions by the keys of other rows: one query looks up all that are named."""
    if not wanted:
        return Q()
    models_of = {name: _model(noun, name.removesuffix("__in")) for name in wanted}
    parts = []
    for name, model in models_of.items():
        rows: Any = model._default_manager
        visible = rows.visible_to(reader).filter(slug__in=wanted[name]).order_by()
        parts.append(visible.annotate(by=Value(name), key=F("pk"), label=F("slug")).values_list("by", "key", "label"))
    found: dict[str, dict[str, Any]] = {name: {} for name in wanted}
    for name, key, slug in parts[0].union(*parts[1:], all=True).order_by() if len(parts) > 1 else parts[0]:
        found[name][slug] = key
    condition = Q()
    for name, slugs in wanted.items():
        if missing := [slug for slug in slugs if slug not in found[name]]:
            faults[name] = [f"There is no {models_of[name].noun.replace('-', ' ')} “{missing[0]}”."]
        field = name.removesuffix("__in")
        path = "source__environment" if noun == "dependency" and field == "environment" else field
        condition &= Q(**{f"{path}__in": list(found[name].values())})
    return condition


def _model(noun: str, name: str) -> Any:
    from inventory.models import Environment

    reference = declaration(noun).references.get(name)
    return reference.model if reference else Environment


def condition(noun: str, name: str, values: list[str]) -> Q:
    """What one parameter asks for. Raises ``Wrong``."""
    head, dot, key = name.partition(".")
    if dot and head in ("custom", "attributes") and head in declaration(noun).fields:
        return _held(head, _line(key), values)
    if name == "tag" and "tags" in declaration(noun).fields:
        return Q(tags__contains=[_line(value) for value in values])
    field, _, lookup = name.partition("__")
    lookups, read = _lookups(noun, field)
    if lookup == "isnull" and field in _nullable(noun):
        return Q(**{f"{field}__isnull": _truth(values[-1])})
    if lookup not in lookups:
        raise Wrong(f"There is no such filter. Known: {listed(known(noun))}; see the documentation for endings.")
    path, given = columns(noun)[field], [read(value) for value in _several(name, values)]
    if lookups[lookup] in ("exact", "in"):
        return Q(**{f"{path}__in": given}) if len(given) > 1 else Q(**{path: given[0]})
    return functools.reduce(Q.__or__, (Q(**{f"{path}__{lookups[lookup]}": value}) for value in given))


def known(noun: str) -> list[str]:
    """Every name that stands without an ending."""
    names = [name for name in columns(noun) if _lookups(noun, name)[0]]
    fields = declaration(noun).fields
    extra = ["environment"] if noun == "dependency" else []
    labelled = ["tag", "custom.<name>"] if "tags" in fields else []
    return [*names, *extra, *labelled, *(["attributes.<name>"] if "attributes" in fields else [])]


def _held(column: str, name: str, values: list[str]) -> Q:
    """A value is looked for as text and, when it reads as one, as a number or a truth value."""
    found = Q()
    for value in values:
        found |= Q(**{f"{column}__contains": {name: _line(value)}})
        try:
            other = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeEncodeError):
            continue
        if isinstance(other, int | float | bool) or other is None:
            found |= Q(**{f"{column}__contains": {name: other}})
    return found


def _nullable(noun: str) -> set[str]:
    return {field.name for field in declaration(noun).model._meta.concrete_fields if field.null}


@functools.cache
def _lookups(noun: str, name: str) -> tuple[dict[str, str], Read]:
    """The endings that a column takes, and how its values are read."""
    fields, references = declaration(noun).fields, declaration(noun).references
    if name == "id":
        return KEYS, _key
    if name in references or name == "declared_by":
        return TEXTS if name in PLAIN else KEYS, _line
    if name in ("created_at", "updated_at"):
        return NUMBERS, _instant
    if name == "revision":
        return NUMBERS, _number
    if name not in fields or fields[name].type in ("object", "list"):
        return {}, _line
    if fields[name].choices:
        return KEYS, fields[name].check
    if fields[name].type in ("integer", "decimal"):
        return NUMBERS, _number
    if isinstance(declaration(noun).model._meta.get_field(name), models.GenericIPAddressField):
        return KEYS, fields[name].check
    return ({"": "exact"}, _truth) if fields[name].type == "boolean" else (TEXTS, _line)


def _key(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise Wrong("This must be a UUID.") from None


def _number(value: str) -> float:
    try:
        found = float(value) if "." in value else int(value)
    except ValueError:
        raise Wrong("This must be a number.") from None
    if not abs(found) < 2**63:
        raise Wrong("This number is too large.")
    return found


def _instant(value: str) -> datetime:
    try:
        found = parse_datetime(value.replace(" ", "+"))
        return (found if found.tzinfo else found.replace(tzinfo=UTC)) if found else _no_instant()
    except (ValueError, OverflowError):
        return _no_instant()


def _no_instant() -> datetime:
    raise Wrong("This must be an instant such as 2026-01-31T12:00:00Z.")


def _truth(value: str) -> bool:
    if value.lower() not in ("true", "false", "1", "0"):
        raise Wrong("This must be true or false.")
    return value.lower() in ("true", "1")
