"""Keyset paging of the API. Apart from ``portal.api`` because DRF loads it while it is itself being imported."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

from rest_framework.pagination import CursorPagination
from rest_framework.request import Request


class Pages(CursorPagination):
    """Keyset paging: page 2,000 costs what page 1 costs. ``?limit=`` up to 500."""

    page_size = 50
    page_size_query_param = "limit"
    max_page_size = 500
    ordering = "-pk"

    def get_ordering(self, request: Request, queryset: Any, view: Any) -> tuple[str, ...]:
        """The noun's own order, with the key last so that no two rows tie."""
        order = tuple(getattr(view, "ordering", ("-pk",)))
        return order if order[-1].lstrip("-") == "pk" else (*order, "pk")

    def _get_position_from_instance(self, instance: Any, ordering: Sequence[str]) -> str:
        """Where a row stands in the order, also when that is a field of a related row ("source__slug")."""
        return str(functools.reduce(getattr, ordering[0].lstrip("-").split("__"), instance))
