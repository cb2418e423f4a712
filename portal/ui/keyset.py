"""Keyset paging of a queryset: a page begins after a row, not after a number of rows, so each costs the same."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import Any

from django.core.exceptions import ValidationError
from django.db.models import F, Model, Q, QuerySet
from django.db.models.fields.tuple_lookups import Tuple, TupleGreaterThan, TupleLessThan

from portal.errors import Invalid


class Keyset:
    """``rows`` in the order of ``sort`` ("-at"), ties broken by ``tie`` when that is unique, otherwise by key.

    All keys have one direction, so that an index read either way gives the order. PostgreSQL puts what is unknown last
    (descending: first); only the first key may be unknown.
    """

    def __init__(self, rows: QuerySet[Any], sort: str, tie: str = "") -> None:
        self.descending = sort.startswith("-")
        name, last = sort.lstrip("-") or "pk", tie.lstrip("-")
        self.fields: dict[str, Any] = {}
        self.unknown_possible = False
        for key in (name, last if self._unique(rows, last) else "pk"):
            self.fields.setdefault(key, self._field(rows, key))
            if self._unique(rows, key):
                break
        self.rows = rows.order_by(*(f"-{key}" if self.descending else key for key in self.fields))

    def _field(self, rows: QuerySet[Any], path: str) -> Any:
        if path in rows.query.annotations:
            self.unknown_possible = True
            return rows.query.annotations[path].output_field
        model, field = rows.model, None
        for step in path.split("__"):
            field = model._meta.pk if step == "pk" else model._meta.get_field(step)
            self.unknown_possible |= field.null
            model = field.related_model or model
        return field

    def _unique(self, rows: QuerySet[Any], path: str) -> bool:
        return path == "pk" or any(field.name == path and field.unique for field in rows.model._meta.fields)

    def after(self, values: list[Any]) -> QuerySet[Any]:
        """Rows that come after the one with these ``values`` of the keys."""
        return self.rows.filter(self._beyond(values, greater=not self.descending))

    def before(self, values: list[Any]) -> QuerySet[Any]:
        """Rows that come before it, nearest first."""
        return self.rows.filter(self._beyond(values, greater=self.descending)).reverse()

    def _beyond(self, values: list[Any], *, greater: bool) -> Any:
        compare, first, *rest = TupleGreaterThan if greater else TupleLessThan, *self.fields
        known = Q(**{f"{first}__isnull": False})
        if values[0] is None:
            tied = Q(compare(Tuple(*map(F, rest)), values[1:])) if rest else Q(pk__in=())
            return ~known & tied if greater else known | tied
        beyond = Q(compare(Tuple(*map(F, self.fields)), values))
        return beyond | ~known if greater and self.unknown_possible else beyond

    def token(self, place: int, row: Any) -> str:
        """What stands for ``row`` in an address; ``place`` says how many rows came before, for the reader only."""
        return self.write(place, [_follow(row, key) for key in self.fields])

    def write(self, place: int, values: Iterable[Any]) -> str:
        """The same from the values of the keys."""
        texts = [v.isoformat() if isinstance(v, datetime) else v if v is None else str(v) for v in values]
        return base64.urlsafe_b64encode(json.dumps([place, *texts]).encode()).decode().rstrip("=")

    def read(self, token: str) -> tuple[int, list[Any]]:
        """Place and values of a token. Raises ``Invalid`` for what is none."""
        try:
            place, *texts = json.loads(base64.urlsafe_b64decode(token + "=" * (-len(token) % 4)))
            fields = zip(self.fields.values(), texts, strict=True)
            return max(int(place), 0), [None if text is None else field.to_python(str(text)) for field, text in fields]
        except (ValueError, TypeError, ValidationError):
            raise Invalid("This is not the address of a page of the list.") from None

    def chunks(self, size: int) -> Iterator[list[Any]]:
        """Every row, ``size`` at a time; no cursor of the database is kept open between them."""
        found = list(self.rows[:size])
        while found:
            yield found
            found = (
                list(self.after([_follow(found[-1], key) for key in self.fields])[:size]) if len(found) == size else []
            )


def _follow(row: Any, path: str) -> Any:
    if isinstance(row, dict):
        return row[path]
    for step in path.split("__"):
        row = getattr(row, step, None)
    return row.pk if isinstance(row, Model) else row
