"""What is part of what. Nothing is, directly or through others, part of itself."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator, Mapping
from typing import Any

from django.db import connection

_UP = """
    WITH RECURSIVE line(id, slug, whole) AS (
        SELECT id, slug, part_of_id FROM inventory_component WHERE {column} = ANY(%s)
        UNION
        SELECT above.id, above.slug, above.part_of_id FROM line JOIN inventory_component above ON above.id = line.whole)
    SELECT line.id, line.slug, line.whole, above.slug FROM line JOIN inventory_component above ON above.id = line.whole
"""


def wholes(components: Iterable[Any], column: str = "id") -> Iterator[tuple[Any, str, Any, str]]:
    """What these are part of, what that is part of, and so on: key and slug of each part and of its whole.

    One statement. ``column``: whether ``components`` are keys ("id") or slugs ("slug").
    """
    with connection.cursor() as cursor:
        cursor.execute(_UP.format(column={"id": "id", "slug": "slug"}[column]), [list(components)])
        yield from cursor.fetchall()


def circles[K: Hashable](whole: Mapping[K, K | None]) -> set[K]:
    """Those of which each is part of itself, given what each one is part of. Each line is followed once."""
    done: set[K] = set()
    found: set[K] = set()
    for start in whole:
        line: dict[K, None] = {}
        at: K | None = start
        while at is not None and at not in done and at not in line:
            line[at] = None
            at = whole.get(at)
        if at is not None and at in line:
            order = list(line)
            found.update(order[order.index(at) :])
        done.update(line)
    return found
