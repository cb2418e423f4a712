"""Pages of what is no list of rows: by number, with the address of the previous and the next."""

from __future__ import annotations

from typing import Any

from django.http import HttpRequest
from django.utils.http import urlencode

PAGE = 50


def url(request: HttpRequest, **changes: Any) -> str:
    """This address with some parameters changed; ``None`` takes one away. It exports nothing."""
    left_out = {*changes, "export"}
    query = [(key, value) for key, values in request.GET.lists() for value in values if key not in left_out]
    query += [(key, str(value)) for key, value in changes.items() if value is not None]
    return f"{request.path}?{urlencode(query)}" if query else request.path


def paged(request: HttpRequest, number: int, total: int) -> dict[str, Any]:
    """What templates need: ``first`` and ``last`` of ``total``, ``previous`` and ``next``."""
    first = (number - 1) * PAGE
    return {
        "total": total,
        "first": first + 1,
        "last": min(total, first + PAGE),
        "previous": url(request, page=number - 1) if number > 1 else "",
        "next": url(request, page=number + 1) if total > first + PAGE else "",
    }
