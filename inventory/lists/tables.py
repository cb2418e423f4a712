"""The table of one noun for one reader."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest
from django.urls import reverse

from inventory.filters import ListFilters, search, visible
from inventory.lists.columns import COLUMNS, ORDER, PLURALS
from inventory.lists.files import FILES
from portal import ui
from portal.ui import Column
from portal.ui.keyset import Keyset

COUNTED = {"endpoint": 1_000, "dependency": 1_000}
"""Where each row is only seen with others, so that counting takes far more than showing: how far that goes."""
BULK = {"inventory.edit": ("Edit", "edit"), "inventory.remove": ("Remove", "remove")}
"""Right → what may be done with it to many rows: label, and verb in the address."""


class Listing(ui.Table):
    """A table of one noun. It joins only what the columns that are shown, and the order, need."""

    def __init__(
        self, request: HttpRequest, noun: str, rows: QuerySet[Any], columns: Sequence[Column], **facts: Any
    ) -> None:
        self.noun = noun
        self.count_limit = COUNTED.get(noun, self.count_limit)
        own: dict[str, Any] = {
            "filterset": functools.partial(ListFilters, noun),
            "caption": PLURALS[noun],
            "files": FILES,
        }
        facts = own | {"order": ORDER[noun]} | facts
        super().__init__(request, rows, columns, search=functools.partial(search, noun, request.user), **facts)

    @functools.cached_property
    def keyset(self) -> Keyset:
        return Keyset(self.matching.select_related(*self.joins), self.sort, self.order)

    @property
    def joins(self) -> list[str]:
        """Paths of the other rows that a page shows."""
        paths = {column.name.replace(".", "__") for column in self.columns} | {self.sort.lstrip("-")}
        return sorted({path.rpartition("__")[0] for path in paths} - {""}) or [None]  # type: ignore[list-item]


def table(request: HttpRequest, noun: str, rows: QuerySet[Any] | None = None, **facts: Any) -> Listing:
    """The list of ``noun`` as the address asks for it; of ``rows``, if given, instead of all the reader may see."""
    found = visible(noun, request.user) if rows is None else rows
    label = noun.replace("-", " ")
    empty = f"No {label} is declared that you may see."
    columns = facts.pop("columns", COLUMNS[noun])
    return Listing(request, noun, found, columns, **{"empty": empty, "bulk": bulk(request, noun)} | facts)


def bulk(request: HttpRequest, noun: str) -> list[tuple[str, str]]:
    """What may be done to several rows at once, with its address."""
    held = ui.reader(request).held
    return [
        (label, reverse(f"objects-{verb}", args=[noun])) for action, (label, verb) in BULK.items() if action in held
    ]
