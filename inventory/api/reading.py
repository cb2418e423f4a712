"""Lists and single rows as JSON, in a few statements whatever is asked for.

A page is one query: rights, filters, order and joined names in it. ``expand`` adds one query for each noun that is
expanded. Pages go by keyset: ``after`` and ``before`` name the row that a page begins at.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import msgspec
from django.db.models import QuerySet
from django.http import HttpResponse, QueryDict
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request

from inventory.api.shapes import listed
from inventory.filters import narrowing, search, sortable, visible
from inventory.writing import declaration
from portal.ui.keyset import Keyset

PAGE, LARGEST_PAGE, COUNT_LIMIT, LONGEST_SEARCH = 50, 1000, 10_000, 200
SHAPE = ("fields", "expand")
OWN = (*SHAPE, "q", "sort", "limit", "after", "before", "count", "format")
"""Parameters of a list that are no filters."""
Row = dict[str, Any]


@dataclass(frozen=True)
class Shape:
    """Which columns are shown, and which references as the whole other row."""

    noun: str
    fields: tuple[str, ...]
    expand: tuple[str, ...] = ()

    @property
    def paths(self) -> list[str]:
        """What is read from the database."""
        known = declaration(self.noun).paths
        return [*(known[name] for name in self.fields), *(f"{name}_id" for name in self.expand)]

    def rows(self, found: Iterable[Sequence[Any]], reader: Any) -> list[Row]:
        """Tuples of ``paths`` as rows."""
        names = (*self.fields, *(f"{name}_id" for name in self.expand))
        rows = [dict(zip(names, each, strict=True)) for each in found]
        return expanded(self, rows, reader) if self.expand else rows


def shape(noun: str, query: QueryDict) -> Shape:
    """What ``?fields=`` and ``?expand=`` ask for."""
    known = declaration(noun)
    fields = _names(query, "fields", known.paths) or tuple(known.paths)
    expand = _names(query, "expand", known.references)
    return Shape(noun, (*fields, *(name for name in expand if name not in fields)), expand)


def _names(query: QueryDict, name: str, known: Iterable[str]) -> tuple[str, ...]:
    given = dict.fromkeys(part for value in query.getlist(name) for part in value.split(",") if part)
    if unknown := given.keys() - set(known):
        raise ValidationError({name: [f"There is no “{min(unknown)[:80]}”. Known: {listed(known)}."]})
    return tuple(given)


def expanded(shape: Shape, rows: list[Row], reader: Any) -> list[Row]:
    """Put the other rows in the place of their slugs: one query for each noun. Of what may not be seen, the slug."""
    references = declaration(shape.noun).references
    keys: dict[Any, set[UUID]] = {}
    for name in shape.expand:
        keys.setdefault(references[name], set()).update(row[f"{name}_id"] for row in rows if row[f"{name}_id"])
    found: dict[str, dict[UUID, Row]] = {}
    for reference, wanted in keys.items():
        found.setdefault(reference.noun, {}).update(_others(reference, wanted, reader))
    for row in rows:
        for name in shape.expand:
            key = row.pop(f"{name}_id")
            if key:
                row[name] = found[references[name].noun].get(key, {"slug": row[name]})
    return rows


def _others(reference: Any, keys: set[UUID], reader: Any) -> dict[UUID, Row]:
    if not keys:
        return {}
    if reference.noun == "team":
        return {row["id"]: row for row in reference.model.objects.filter(pk__in=keys).values("id", "slug", "name")}
    other = Shape(reference.noun, tuple(declaration(reference.noun).paths))
    seen: Any = reference.model._default_manager
    rows = seen.visible_to(reader).filter(pk__in=keys).order_by().values_list(*other.paths)
    return {row["id"]: row for row in other.rows(rows, reader)}


def page(noun: str, request: Request) -> dict[str, Any]:
    """One page of a list: ``next``, ``previous``, ``results``, and ``count`` when it is asked for."""
    query, reader = request.query_params, request.user
    shaped, limit = shape(noun, query), _limit(query)
    rows = _narrowed(noun, visible(noun, reader), query, reader)
    if text := query.get("q", "").strip():
        if "\x00" in text or len(text) > LONGEST_SEARCH:
            raise ValidationError({"q": ["The search text is too long or has characters that no text has."]})
        rows = search(noun, reader, rows, text)
    keyset = Keyset(rows, _sort(noun, query), "slug")
    width = len(paths := shaped.paths)
    found, earlier, later = _window(keyset, query, paths, limit)
    keys = [row[width:] for row in (found[:1] + found[-1:])]
    results = shaped.rows([row[:width] for row in found], reader)
    answer: dict[str, Any] = {
        "next": _address(request, "after", keyset.write(0, keys[-1])) if keys and later else None,
        "previous": _address(request, "before", keyset.write(0, keys[0])) if keys and earlier else None,
        "results": results,
    }
    return _counted(rows) | answer if query.get("count") == "true" else answer


def _narrowed(noun: str, rows: QuerySet[Any], query: QueryDict, reader: Any) -> QuerySet[Any]:
    """``rows`` that fit every parameter of ``query`` but the list's own. Faults are named all at once."""
    found, faults = narrowing(noun, query, [name for name in query if name not in OWN], reader)
    if faults:
        raise ValidationError(faults)
    return rows.filter(found) if found else rows


def _window(keyset: Keyset, query: QueryDict, paths: list[str], limit: int) -> tuple[list[Any], bool, bool]:
    """The rows of a page, each followed by its keys, and whether there are more before and after."""
    paths = [*paths, *keyset.fields]
    if token := query.get("before"):
        nearest = _first(keyset, keyset.before(keyset.read(token)[1]), paths, limit + 1)
        return nearest[limit - 1 :: -1] if len(nearest) > limit else nearest[::-1], len(nearest) > limit, True
    token = query.get("after")
    rows = keyset.after(keyset.read(token)[1]) if token else keyset.rows
    found = _first(keyset, rows, paths, limit + 1)
    return found[:limit], bool(token), len(found) > limit


def _first(keyset: Keyset, rows: QuerySet[Any], paths: list[str], many: int) -> list[Any]:
    """The first rows. Where no index gives the order, other tables are joined only to those that are shown."""
    if next(iter(keyset.fields)) in ("slug", "id"):
        return list(rows.values_list(*paths)[:many])
    shown = rows.model._base_manager.filter(pk__in=rows.values("pk")[:many]).order_by(*rows.query.order_by)
    return list((shown if rows.query.standard_ordering else shown.reverse()).values_list(*paths))


def _limit(query: QueryDict) -> int:
    text = query.get("limit", "")
    if text and not (text.isascii() and text.isdigit() and len(text) < 9 and int(text)):
        raise ValidationError({"limit": [f"This must be a whole number from 1 to {LARGEST_PAGE}."]})
    return min(int(text), LARGEST_PAGE) if text else PAGE


def _sort(noun: str, query: QueryDict) -> str:
    """The order: what was asked for, otherwise by slug; by key where there is none, which an index gives."""
    known = declaration(noun).paths
    name = query.get("sort") or ("slug" if "slug" in known else "id")
    field = name.removeprefix("-")
    if field not in sortable(noun):
        said = f"The list cannot be sorted by “{field[:80]}”. Known: {listed(sortable(noun))}."
        raise ValidationError({"sort": [said]})
    return name.replace(field, known[field])


def _address(request: Request, name: str, token: str) -> str:
    """This list's address with another page."""
    query = request.query_params.copy()
    for each in ("after", "before", "count"):
        query.pop(each, None)
    query[name] = token
    return request.build_absolute_uri(f"{request.path}?{query.urlencode()}")


def _counted(rows: QuerySet[Any]) -> dict[str, Any]:
    count = rows.order_by()[: COUNT_LIMIT + 1].count()
    return {
        "count": min(count, COUNT_LIMIT),
        "count_label": f"{COUNT_LIMIT:,}+" if count > COUNT_LIMIT else f"{count:,}",
    }


def one(noun: str, request: Request, found: QuerySet[Any]) -> tuple[Row | None, str]:
    """One row as it is asked for, and its entity tag. ``None`` when it is not there."""
    shaped = shape(noun, request.query_params)
    rows = list(found.values_list(*shaped.paths, "id", "revision")[:1])
    if not rows:
        return None, ""
    *values, key, revision = rows[0]
    return shaped.rows([values], request.user)[0], entity_tag(key, revision)


def entity_tag(key: UUID, revision: int) -> str:
    """Weak, because compressed and uncompressed answers share it (RFC 9110, 8.8.1)."""
    return f'W/"{key.hex}-{revision}"'


def as_json(content: Any, *, status: int = 200, tag: str = "") -> HttpResponse:
    """An answer, encoded once."""
    response = HttpResponse(msgspec.json.encode(content), content_type="application/json", status=status)
    if tag:
        response["ETag"] = tag
    return response
