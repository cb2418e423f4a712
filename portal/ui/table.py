"""Lists: sorted, searched, filtered, paged and exported in one way everywhere.

``Table(request, Incident.objects.visible_to(request.user), [Column(…), …], order="-opened_at", search=("title",))``
costs two queries. ``portal.http.page`` answers its htmx requests and ``?export=csv``.
"""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from django.db.models import Q, QuerySet
from django.http import HttpRequest, HttpResponse
from django.utils.http import urlencode

from portal.errors import Invalid
from portal.lifecycle import Tone

PAGE_SIZE = 50
# Counting further would cost more than it tells; the search narrows what is longer.
COUNT_LIMIT = 10_000
EXPORT_LIMIT = 50_000
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True)
class Label:
    """A word with a tone, for badges of what has no lifecycle. Sorts by its word."""

    label: str
    tone: Tone = Tone.NEUTRAL

    def __lt__(self, other: Label) -> bool:
        return self.label < other.label


@dataclass(frozen=True)
class Column:
    """``name``: path of the attribute ("component.slug"). ``sort``: another field to sort by, or ``False``.

    ``link``: to the row's own page, or a function of the row. ``value``: a function of the row instead of the path.
    ``template``: a cell of its own (given ``row``, ``value``). ``minor`` columns are left out at phone width.
    """

    name: str
    label: str
    kind: Literal["text", "instant", "badge", "number", "code"] = "text"
    link: bool | Callable[[Any], str] = False
    sort: bool | str = True
    value: Callable[[Any], Any] | None = None
    template: str = ""
    minor: bool = False

    @property
    def sort_field(self) -> str:
        if isinstance(self.sort, str):
            return self.sort
        return self.name.replace(".", "__") if self.sort and not self.value else ""

    def of(self, row: Any) -> Any:
        """What this column shows of ``row``: a state's badge facts, a choice's label, or the plain value."""
        if self.value:
            return self.value(row)
        *path, last = self.name.replace("__", ".").split(".")
        for step in path:
            row = _get(row, step)
        if self.kind == "badge" and hasattr(row, f"{last}_info"):
            return getattr(row, f"{last}_info")
        found = _get(row, f"get_{last}_display") or _get(row, last)
        return found() if callable(found) else found

    def href(self, row: Any) -> str:
        if not self.link:
            return ""
        return self.link(row) if callable(self.link) else row.get_absolute_url()


def _get(thing: Any, name: str) -> Any:
    return thing.get(name) if isinstance(thing, dict) else getattr(thing, name, None)


@dataclass(frozen=True)
class Cell:
    column: Column
    row: Any

    @functools.cached_property
    def value(self) -> Any:
        return self.column.of(self.row)

    @property
    def href(self) -> str:
        return self.column.href(self.row)


class Table:
    """One list on a page. ``source``: a queryset already limited to what the reader may see, or a short list.

    ``order``: the default order; ties are broken by key. ``search``: text fields that ``?q=`` looks into.
    ``filterset``: a django-filter class. ``empty``: what to say, and do, when there is nothing at all.
    ``topic``: refresh when this topic changes. Several tables on a page need a ``name`` each.
    Raises ``Invalid`` for a sort, page or search that cannot be.
    """

    partial = "components/table.html#rows"

    def __init__(
        self,
        request: HttpRequest,
        source: QuerySet[Any] | Sequence[Any],
        columns: Sequence[Column],
        *,
        order: str = "",
        search: Sequence[str] = (),
        filterset: Any = None,
        name: str = "table",
        empty: str = "There is nothing here yet.",
        topic: str = "",
        caption: str = "",
        page_size: int = PAGE_SIZE,
    ) -> None:
        self.request, self.source, self.columns, self.name = request, source, list(columns), name
        self.order, self.search, self.empty, self.topic = order, search, empty, topic
        self.caption, self.page_size = caption, page_size
        self.prefix = "" if name == "table" else f"{name}-"
        self.query = self._text("q")
        self.sort = self._text("sort") or order
        if self.sort != order and self.sort.lstrip("-") not in {c.sort_field for c in self.columns if c.sort_field}:
            raise Invalid(f"The list cannot be sorted by “{self.sort}”.")
        number = self._text("page") or "1"
        if not (number.isascii() and number.isdigit() and 0 < int(number) <= COUNT_LIMIT):
            raise Invalid(f"“{number}” is not the number of a page.")
        self.asked_page = int(number)
        self.exporting = self._text("export") == "csv"
        self.filterset = filterset and filterset(
            request.GET, queryset=source, request=request, prefix=name if self.prefix else None
        )

    def _text(self, name: str) -> str:
        text = self.request.GET.get(self.prefix + name, "").strip()
        if "\x00" in text or len(text) > 200:
            raise Invalid("The search text is too long or has characters that no text has.")
        return text

    @functools.cached_property
    def matching(self) -> Any:
        """Every row that the search and the filters leave, in order."""
        rows: Any = self.filterset.qs if self.filterset else self.source
        if not isinstance(rows, QuerySet):
            return self._matching_list(rows)
        if self.query:
            found = Q()
            for name in self.search:
                found |= Q(**{f"{name}__icontains": self.query})
            rows = rows.filter(found)
        return rows.order_by(*filter(None, [self.sort, "-pk" if self.sort.startswith("-") else "pk"]))

    def _matching_list(self, rows: Sequence[Any]) -> list[Any]:
        key = self.sort.lstrip("-")
        if self.query:
            paths = [Column(name, name) for name in self.search]
            rows = [row for row in rows if any(self.query.lower() in str(path.of(row)).lower() for path in paths)]
        column = next((c for c in self.columns if c.sort_field == key), Column(key, key)) if key else None
        if column is None:
            return list(rows)
        known = [row for row in rows if column.of(row) is not None]
        unknown = [row for row in rows if column.of(row) is None]
        return sorted(known, key=column.of, reverse=self.sort.startswith("-")) + unknown

    @functools.cached_property
    def total(self) -> int:
        """How many rows match, counted up to ``COUNT_LIMIT`` + 1."""
        some = self.matching[: COUNT_LIMIT + 1]
        return some.count() if isinstance(some, QuerySet) else len(some)

    @property
    def total_label(self) -> str:
        return f"more than {COUNT_LIMIT:,}" if self.total > COUNT_LIMIT else f"{self.total:,}"

    @functools.cached_property
    def pages(self) -> int:
        return max(1, -(-min(self.total, COUNT_LIMIT) // self.page_size))

    @property
    def page(self) -> int:
        return min(self.asked_page, self.pages)

    @functools.cached_property
    def objects(self) -> list[Any]:
        """The rows of the present page."""
        return list(self.matching[(self.page - 1) * self.page_size : self.page * self.page_size])

    @property
    def rows(self) -> Iterator[list[Cell]]:
        return ([Cell(column, row) for column in self.columns] for row in self.objects)

    @property
    def first(self) -> int:
        return (self.page - 1) * self.page_size + 1

    @property
    def last(self) -> int:
        return self.first + len(self.objects) - 1

    @property
    def narrowed(self) -> bool:
        """Whether a search or a filter hides rows, so that "nothing matches" is not "nothing is there"."""
        form = self.filterset.form if self.filterset else None
        return bool(self.query or (form and (form.errors or any(form.cleaned_data.values()))))

    @property
    def headers(self) -> Iterator[dict[str, Any]]:
        """Each column with the address that sorts by it, and how it is sorted now."""
        for column in self.columns:
            sorted_now = column.sort_field and self.sort.lstrip("-") == column.sort_field
            descending = sorted_now and self.sort.startswith("-")
            other = column.sort_field if descending or not sorted_now else f"-{column.sort_field}"
            yield {
                "column": column,
                "url": self.url(sort=other, page=None) if column.sort_field else "",
                "direction": ("descending" if descending else "ascending") if sorted_now else "",
            }

    def url(self, **changes: Any) -> str:
        """This page's address with some of the table's own parameters changed (``None`` takes one away)."""
        query = self.request.GET.copy()
        for name, value in {"export": None, **changes}.items():
            query.pop(self.prefix + name, None)
            if value is not None:
                query[self.prefix + name] = str(value)
        return f"{self.request.path}?{query.urlencode()}" if query else self.request.path

    @property
    def here(self) -> str:
        return self.url()

    @functools.cached_property
    def kept(self) -> list[tuple[str, str]]:
        """Parameters of the page that are not this list's; a search leaves them as they are."""
        own = {self.prefix + name for name in ("q", "sort", "page", "export")}
        own |= {bound.html_name for bound in self.filterset.form} if self.filterset else set()
        pairs = [(name, value) for name, values in self.request.GET.lists() for value in values]
        # Widgets of two parts add a suffix: "opened_after".
        return [(name, value) for name, value in pairs if not {name, name.rpartition("_")[0]} & own]

    @property
    def plain(self) -> str:
        """This page's address without search, filters, order and page."""
        return f"{self.request.path}?{urlencode(self.kept)}" if self.kept else self.request.path

    @property
    def previous(self) -> str:
        return self.url(page=self.page - 1) if self.page > 1 else ""

    @property
    def next(self) -> str:
        return self.url(page=self.page + 1) if self.page < self.pages else ""

    @property
    def export(self) -> str:
        return self.url(export="csv", page=None)

    def csv(self) -> HttpResponse:
        """Every matching row as CSV. Raises ``Invalid`` when there are too many for one file."""
        rows = self.matching[: EXPORT_LIMIT + 1]
        rows = list(rows.iterator(2000)) if isinstance(rows, QuerySet) else rows
        if len(rows) > EXPORT_LIMIT:
            raise Invalid(f"More than {EXPORT_LIMIT:,} rows match. Narrow the search, then export.")
        response = HttpResponse(content_type="text/csv; charset=utf-8")
        response["Content-Disposition"] = f'attachment; filename="{self.name}.csv"'
        writer = csv.writer(response)
        writer.writerow([column.label for column in self.columns])
        writer.writerows([plain(column.of(row)) for column in self.columns] for row in rows)
        return response


def plain(value: Any) -> str | int | float:
    """A cell for a spreadsheet. Text that it would run as a formula is disarmed (OWASP: CSV injection)."""
    if value is None or value == "":
        return ""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return value
    text = value.isoformat() if isinstance(value, datetime) else str(getattr(value, "label", value))
    return f"'{text}" if text.startswith(FORMULA_STARTS) else text
