"""Queries that Django writes once in a process, and that are then asked again with other values.

Writing a query of several subqueries takes Django longer than PostgreSQL takes to answer it, and planning it takes
PostgreSQL longer than running it. Both is done once for a prepared query: what differs stands open in it, the present
instant among it, and PostgreSQL keeps the plan. Values are bound by the driver; nothing of them is kept.
"""

from __future__ import annotations

import copy
import functools
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import NotSupportedError, connection, connections
from django.db.backends.postgresql.base import ServerBindingCursor
from django.db.models import QuerySet
from django.db.models.expressions import Expression
from django.db.models.sql.compiler import SQLCompiler
from django.http import Http404
from psycopg import sql

from portal import clock

NOW = datetime(4000, 1, 1, tzinfo=UTC)
"""Stands for the present instant while a query is written. What is reckoned from it lies near it."""
NEAR = 3900
PLACE = re.compile(r"%[%s]")


class Slot(Expression):
    """A value that is bound when the query is asked."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Slot, ...]]:  # type: ignore[override]
        return "%s", (self,)


@dataclass(frozen=True)
class Reader:
    """All that ``visible_to`` may know of an account while a query is written; its key is a slot."""

    pk: Slot | None
    is_authenticated: bool
    is_active: bool

    @classmethod
    def like(cls, user: Any, name: str = "reader") -> Reader:
        known = (bool(getattr(user, name, False)) for name in ("is_authenticated", "is_active"))
        return cls(None if user.pk is None else Slot(name), *known)


class _Instead:
    """A thing with some of its attributes changed."""

    def __init__(self, thing: Any, **own: Any) -> None:
        self.__dict__ |= own | {"_thing": thing}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._thing, name)


class _Compiler(SQLCompiler):
    """Has its statement; only the values are new."""

    text = ""
    values: dict[str, Any]
    converters: Any

    def get_converters(self, expressions: Any) -> Any:
        return self.converters

    def execute_sql(self, *args: Any, **options: Any) -> Any:
        return [fetched(self.text, self.values, self.connection)]


class _Statement:
    """What is written once, for values of which the same are ``None``."""

    def __init__(self, build: Callable[..., QuerySet[Any]], marks: Sequence[Any]) -> None:
        self.apart: dict[str, Any] = {}
        with clock.fixed(NOW), connections["default"].execute_wrapper(_refused):
            self.rows: Any = build(*marks)
            self.compiler = _Compiler(self.rows.query, connections[self.rows.db], self.rows.db)
            text, params = self.compiler.as_sql()
        shown = [expression for expression, *_ in self.compiler.select]
        self.compiler.converters = SQLCompiler.get_converters(self.compiler, shown)
        given: Iterator[Any] = iter(params)
        self.compiler.text = PLACE.sub(lambda place: place[0] if place[0] == "%%" else self._place(next(given)), text)

    def _place(self, value: Any) -> str:
        """What stands in the statement for a value: the name of what is bound, or the value itself."""
        if isinstance(value, Slot):
            return f"%({value.name})s"
        if isinstance(value, datetime) and value.year > NEAR:
            name = f"at{len(self.apart)}"
            self.apart[name] = value - NOW
            return f"%({name})s"
        literal = sql.Literal(value).as_string(connections[self.rows.db].connection)
        if isinstance(value, date) or Slot.__name__ in literal:
            raise TypeError(f"A part of a prepared query would be the same for ever: {literal}")
        return literal.replace("%", "%%")

    def ask(self, values: dict[str, Any]) -> list[Any]:
        now = clock.now()
        compiler = copy.copy(self.compiler)
        compiler.connection = connections[self.rows.db]
        compiler.values = values | {name: now + apart for name, apart in self.apart.items()}
        query = _Instead(self.rows.query, get_compiler=lambda *_, **__: compiler)
        return list(self.rows._iterable_class(_Instead(self.rows, query=query)))


def prepared[M](build: Callable[..., QuerySet[Any, M]]) -> Callable[..., list[M]]:
    """The rows of the query that ``build`` makes of its arguments: accounts, keys, texts, or ``None``.

    How the query looks may depend on nothing else, and on no value but on whether it is ``None``.
    """
    statements: dict[tuple[Any, ...], _Statement | None] = {}

    @functools.wraps(build)
    def ask(*values: Any) -> list[M]:
        shape = tuple(map(_shape, values))
        if shape not in statements:
            try:
                statements[shape] = _Statement(build, [_mark(f"v{place}", value) for place, value in enumerate(values)])
            except EmptyResultSet:
                statements[shape] = None
        statement = statements[shape]
        bound = {f"v{place}": getattr(value, "pk", value) for place, value in enumerate(values)}
        return statement.ask(bound) if statement else []

    return ask


def fetched(text: str, values: dict[str, Any], connection: Any = connection) -> list[tuple[Any, ...]]:
    """What a statement with named ``values`` gives; the server keeps its plan."""
    with connection.cursor() as cursor:
        plain, cursor.cursor = cursor.cursor, ServerBindingCursor(connection.connection)  # type: ignore[call-arg]
        try:
            cursor.execute(text, values)
        except NotSupportedError:
            # A migration gave a column another type since. What psycopg knows of plans goes with them.
            plain.execute("DEALLOCATE ALL")
            cursor.execute(text, values)
        return list(cursor.fetchall())


def _shape(value: Any) -> Any:
    if hasattr(value, "is_authenticated"):
        return value.pk is None, value.is_authenticated, value.is_active
    return value is None


def _mark(name: str, value: Any) -> Slot | Reader | None:
    if hasattr(value, "is_authenticated"):
        return Reader.like(value, name)
    return None if value is None else Slot(name)


def _refused(*args: Any) -> Any:
    raise TypeError("A prepared query is written without asking the database.")


def first_or_404[M](rows: Sequence[M]) -> M:
    """The only row; ``Http404`` when there is none."""
    if not rows:
        raise Http404
    return rows[0]
