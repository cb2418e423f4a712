"""Lists: sorted, searched, filtered, paged and exported in one way everywhere.

``Table(request, Incident.objects.visible_to(request.user), [Column(…), …], order="-opened_at", search=("title",))``
costs two queries. ``portal.http.page`` answers its htmx requests and ``?export=csv|json|yaml``. Pages go by keyset: the
address of the next one names the row it comes after.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from django.db.models import Q, QuerySet
from django.http import HttpRequest
from django.utils.http import urlencode
from django.utils.safestring import SafeString

from portal.errors import Invalid
from portal.ui import cells, export
from portal.ui.columns import Column
from portal.ui.keyset import Keyset
from portal.ui.panels import Panel

PAGE_SIZE = 50
# Counting further would cost more than it tells; the search narrows what is longer.
COUNT_LIMIT = 10_000
OWN = ("q", "sort", "after", "before", "columns", "export", "view")
Search = Sequence[str] | Callable[[QuerySet[Any], str], QuerySet[Any]]


class Table:
    """One list on a page. ``source``: a queryset already limited to what the reader may see, or a short list.

    ``order``: the default order; ties are broken by it, if unique, or by key. ``search``: text fields that ``?q=``
    looks into, or a function of rows and text. ``filterset``: a django-filter class. ``empty``: what to say, and do,
    when there is nothing at all. ``topic``: refresh when this topic changes. ``bulk``: (label, address) of what can be
    done to picked rows. ``files``: makes the text of each kind of file from the table; by itself it knows CSV of what
    is shown. ``stacks``: its rows become boxes on a phone. Several tables on a page need a ``name`` each.
    Raises ``Invalid`` for a sort, page, column or search that cannot be.
    """

    partial = "components/table.html#rows"
    count_limit = COUNT_LIMIT

    def __init__(
        self,
        request: HttpRequest,
        source: QuerySet[Any] | Sequence[Any],
        columns: Sequence[Column],
        *,
        order: str = "",
        search: Search = (),
        filterset: Any = None,
        name: str = "table",
        empty: str = "There is nothing here yet.",
        topic: str = "",
        caption: str = "",
        page_size: int = PAGE_SIZE,
        files: Mapping[str, Callable[[Table], Iterable[str]]] | None = None,
        bulk: Sequence[tuple[str, str]] = (),
        stacks: bool = False,
    ) -> None:
        self.request, self.source, self.every_column, self.name = request, source, list(columns), name
        self.order, self.search, self.empty, self.topic = order, search, empty, topic
        self.caption, self.page_size, self.bulk, self.stacks = caption, page_size, bulk, stacks
        self.files = files or {"csv": Table.csv}
        self.prefix = "" if name == "table" else f"{name}-"
        self.query = self._text("q")
        self.sort = self._text("sort") or order
        if self.sort != order and self.sort.lstrip("-") not in {c.sort_field for c in columns if c.sort_field}:
            raise Invalid(f"The list cannot be sorted by “{self.sort}”.")
        self.chosen = ",".join(name for name in request.GET.getlist(f"{self.prefix}columns") if name)
        self.columns = self._chosen()
        self.above: list[Panel] = []
        self.exporting = self._text("export")
        if self.exporting not in ("", *self.files):
            raise Invalid(f"A list cannot be exported as “{self.exporting}”.")
        self.filterset = filterset and filterset(
            request.GET, queryset=source, request=request, prefix=name if self.prefix else None
        )

    def _text(self, name: str, longest: int = 200) -> str:
        text = self.request.GET.get(self.prefix + name, "").strip()
        if "\x00" in text or len(text) > longest:
            raise Invalid("The search text is too long or has characters that no text has.")
        return text

    def _chosen(self) -> list[Column]:
        """The columns of ``?columns=a,b`` (or several of it), in that order; else all that are not extra."""
        known = {column.name: column for column in self.every_column}
        names = dict.fromkeys(filter(None, self.chosen.split(",")))
        if unknown := names.keys() - known.keys():
            raise Invalid(f"The list has no column “{min(unknown)[:80]}”.")
        return [known[name] for name in names] or [column for column in self.every_column if not column.extra]

    @property
    def searched(self) -> bool:
        """Whether it can be searched; a template would call ``search``."""
        return bool(self.search)

    @functools.cached_property
    def matching(self) -> Any:
        """Every row that the search and the filters leave. A queryset has no order yet, a list has."""
        rows: Any = self.filterset.qs if self.filterset else self.source
        if not isinstance(rows, QuerySet):
            return self._matching_list(rows)
        if self.query and callable(self.search):
            rows = self.search(rows, self.query)
        elif self.query and not callable(self.search):
            rows = rows.filter(functools.reduce(Q.__or__, (Q((f"{n}__icontains", self.query)) for n in self.search)))
        return rows

    def _matching_list(self, rows: Sequence[Any]) -> list[Any]:
        key = self.sort.lstrip("-")
        if self.query and not callable(self.search):
            paths = [Column(name, name) for name in self.search]
            rows = [row for row in rows if any(self.query.lower() in str(path.of(row)).lower() for path in paths)]
        column = next((c for c in self.every_column if c.sort_field == key), Column(key, key)) if key else None
        if column is None:
            return list(rows)
        known = [row for row in rows if column.of(row) is not None]
        unknown = [row for row in rows if column.of(row) is None]
        return sorted(known, key=column.of, reverse=self.sort.startswith("-")) + unknown

    @functools.cached_property
    def keyset(self) -> Keyset:
        return Keyset(self.matching, self.sort, self.order)

    @functools.cached_property
    def total(self) -> int:
        """How many rows match, counted up to ``count_limit`` + 1."""
        rows = self.matching
        return rows.order_by()[: self.count_limit + 1].count() if isinstance(rows, QuerySet) else len(rows)

    @property
    def total_label(self) -> str:
        return f"{self.count_limit:,}+" if self.total > self.count_limit else f"{self.total:,}"

    @functools.cached_property
    def _window(self) -> tuple[int, list[Any], str, str]:
        """How many rows come before this page, its rows, and the addresses of the pages before and after it."""
        after, before, size = self._text("after", 2000), self._text("before", 2000), self.page_size
        if not isinstance(self.matching, QuerySet):
            place = int(after) if after.isascii() and after.isdigit() and int(after) < len(self.matching) else 0
            later = self.url(after=place + size) if len(self.matching) > place + size else ""
            earlier = self.url(after=max(place - size, 0) or None) if place else ""
            return place, self.matching[place : place + size], earlier, later
        keys, found, place = self.keyset, [], 0
        if before:
            place, values = keys.read(before)
            found, place = [*keys.before(values)[:size]][::-1], max(place - size, 0)
        elif after:
            place, values = keys.read(after)
            found = list(keys.after(values)[: size + 1])
        if not found or (before and len(found) < size):
            found, place, before = list(keys.rows[: size + 1]), 0, ""
        rows = found[:size]
        later = self.url(after=keys.token(place + len(rows), rows[-1])) if before or len(found) > size else ""
        earlier = self.url(before=keys.token(place, rows[0]) if place > size else None) if place else ""
        return place, rows, earlier, later

    objects = property(lambda self: self._window[1], doc="The rows of the present page.")
    first = property(lambda self: self._window[0] + 1)
    last = property(lambda self: self._window[0] + len(self._window[1]))
    previous = property(lambda self: self._window[2])
    next = property(lambda self: self._window[3])

    @property
    def rows(self) -> SafeString:
        """The rows of the present page, drawn."""
        return cells.rows(self.name, self.columns, self.objects, picked=bool(self.bulk))

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
                "url": self.url(sort=other) if column.sort_field else "",
                "direction": ("descending" if descending else "ascending") if sorted_now else "",
            }

    def url(self, **changes: Any) -> str:
        """The list's address with some of its own parameters changed (``None`` takes one away), from its first page."""
        query = self.request.GET.copy()
        for name, value in {"export": None, "after": None, "before": None, **changes}.items():
            query.pop(self.prefix + name, None)
            if value is not None:
                query[self.prefix + name] = str(value)
        return f"{self.request.path}?{query.urlencode()}" if query else self.request.path

    def _parameters(self, without: set[str]) -> list[tuple[str, str]]:
        pairs = [(name, value) for name, values in self.request.GET.lists() for value in values]
        # Widgets of two parts add a suffix: "opened_after".
        return [(name, value) for name, value in pairs if not {name, name.rpartition("_")[0]} & without]

    @functools.cached_property
    def kept(self) -> list[tuple[str, str]]:
        """Parameters of the page that are not this list's; a search leaves them as they are."""
        own = {bound.html_name for bound in self.filterset.form} if self.filterset else set()
        return self._parameters(own | {self.prefix + name for name in OWN})

    @property
    def others(self) -> list[tuple[str, str]]:
        """Every parameter that stays when other columns are chosen."""
        return self._parameters({self.prefix + name for name in ("columns", "after", "before", "export")})

    @property
    def plain(self) -> str:
        """This page's address without search, filters, order and page."""
        return self.request.path + (f"?{urlencode(self.kept)}" if self.kept else "")

    @property
    def exports(self) -> list[tuple[str, str]]:
        """The kinds of file, each with its address."""
        return [(form.upper(), self.url(export=form)) for form in self.files]

    def file(self) -> Any:
        """Every matching row, in the order of the list, sent while it is read."""
        return export.answer(self.request, self.name, self.exporting, self.files[self.exporting](self))

    def csv(self) -> Iterator[str]:
        """What the columns show, under their labels."""
        chunks = self.keyset.chunks(1000) if isinstance(self.matching, QuerySet) else [self.matching]
        rows = ([column.of(row) for column in self.columns] for rows in chunks for row in rows)
        return export.csv_lines(itertools.chain([[column.label for column in self.columns]], rows))
