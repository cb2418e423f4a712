"""Statements kept from one search to the next: Django writes each once, and what differs stands open in it.

Open are the reader's key, the present instant and what the text asks for. They are bound by the driver whenever the
statement is asked, so that nothing of a reader or a text is kept.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import BooleanField, QuerySet
from django.db.models.expressions import Func
from django.db.models.sql.where import WhereNode

from portal import clock
from portal.prepared import Slot


class Like(Func):
    """Whether a text fits a pattern of LIKE."""

    template, arg_joiner = "%(expressions)s", " LIKE "
    output_field = BooleanField()
    conditional = True


class Fenced(WhereNode):
    """Conditions that each row is asked for, never joined for.

    The planner does not know that rows which match may all be hidden. To reach a limit soon it would compare each of
    them with every scope of the reader: half a second for 20,000. Behind ``IS TRUE`` it makes one hash of the scopes.
    """

    def as_sql(self, compiler: Any, connection: Any) -> Any:
        sql, params = super().as_sql(compiler, connection)
        return f"({sql}) IS TRUE", params


def fenced[R: QuerySet[Any, Any]](rows: R) -> R:
    """``rows`` with what is asked of them so far behind a fence."""
    rows = rows.all()
    rows.query.where = WhereNode([Fenced(rows.query.where.children)])
    return rows


@dataclass(frozen=True)
class Kept:
    """SQL with names for what is bound, and what is the same each time. Without ``sql`` there is nothing to find."""

    sql: str
    same: Mapping[str, Any]


def keep(parts: list[QuerySet[Any, Any]], prefix: str) -> Kept:
    """The rows of all ``parts``. An instant in them is taken for the present one: sources compare with no other.

    ``prefix`` tells its names from those of others that are asked in the same statement.
    """
    rows = parts[0].union(*parts[1:], all=True).order_by() if len(parts) > 1 else parts[0]
    try:
        sql, params = rows.query.get_compiler(connection=connection).as_sql()
    except EmptyResultSet:
        return Kept("", {})
    names = [_named(value) or f"{prefix} {place}" for place, value in enumerate(params)]
    named = sql.replace("%%", "%%%%") % tuple(f"%({name})s" for name in names)
    same = {name: value for name, value in zip(names, params, strict=True) if not _named(value)}
    return Kept(f"({named})", same)


def ask(kept: Iterable[Kept], user: Any, bound: Mapping[str, Any], around: str = "{}") -> list[tuple[Any, ...]]:
    """All rows for ``user`` in one statement, with ``bound`` for what the text asks for; none asks nothing.

    ``around`` is SQL that has ``{}`` where they belong.
    """
    parts = [each for each in kept if each.sql]
    if not parts:
        return []
    values = {"reader": user.pk, "now": clock.now(), **bound}
    for each in parts:
        values |= each.same
    with connection.cursor() as cursor:
        cursor.execute(around.replace("{}", " UNION ALL ".join(each.sql for each in parts)), values)
        return list(cursor.fetchall())


def _named(value: Any) -> str:
    return value.name if isinstance(value, Slot) else "now" if isinstance(value, datetime) else ""
