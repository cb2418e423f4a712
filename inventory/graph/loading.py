"""Reads the graph in one statement: whole, or only the part around something.

PostgreSQL packs columns into byte strings, seven instead of 400,000 rows, in the order of keys that its indexes have.
What is numbered here would be joined and sorted there, for several times as much. The part around something is found by
a recursive query that carries ids only: with a plain UNION it visits each once, whatever circles there are, and ends
at its limit.
"""

from __future__ import annotations

import uuid
from array import array
from collections.abc import Sequence
from struct import iter_unpack
from typing import Any, Literal

from django.db import connection

from inventory.graph.compressed import HARD, KEY, LABELS, NOTHING, SOFT, Graph, integers, rows, turned

Direction = Literal["down", "up"]
"""down: what fails with it. up: what could have broken it."""
MOST = 2000
"""Components beyond which the part around something is no longer worth reading by itself."""

_AROUND = {
    "down": "SELECT link.source_id FROM reached JOIN inventory_dependency link ON link.target_id = reached.id",
    "up": "SELECT link.target_id FROM reached JOIN inventory_dependency link ON link.source_id = reached.id",
}


def _sent(column: str, send: str = "uuid_send") -> str:
    """Every value of a column, one after the other."""
    return f"string_agg({send}({column}), NULL)"


_NOBODY = f"'{uuid.UUID(int=0)}'::uuid"
_GRAPH = f"""
    SELECT pg_current_snapshot()::text, nodes.*, links.*, owners.*
      FROM (SELECT {_sent("id")},
                   {_sent(" || ".join(f"uuid_send(coalesce({kind}_id, {_NOBODY}))" for kind in LABELS), "")}
              FROM (SELECT id, {",".join(f"{kind}_id" for kind in LABELS)}
                      FROM inventory_component {{nodes}} ORDER BY id) node) nodes,
           (SELECT {_sent("source_id")}, {_sent("target_id")},
                   {_sent(f"CASE kind WHEN 'hard' THEN {HARD} WHEN 'soft' THEN {SOFT} ELSE 0 END", "int4send")},
                   array_agg("group") FILTER (WHERE kind = 'redundant'),
                   array_agg(needed) FILTER (WHERE kind = 'redundant')
              FROM (SELECT source_id, target_id, kind, "group", needed
                      FROM inventory_dependency {{links}} ORDER BY source_id, target_id) link) links,
           (SELECT array_agg(id), array_agg(tier) FROM inventory_service) owners
"""  # noqa: S608 (put together from constants)


def whole() -> Graph:
    """The graph of all components."""
    return _read(_GRAPH.format(nodes="", links=""), [])


def around(components: Sequence[uuid.UUID], direction: Direction) -> Graph | None:
    """Only what can matter for these: what needs them, or what they need; ``None`` beyond ``MOST`` of it.

    Groups keep their full size although some of their targets are left out: those cannot fail from here.
    """
    if (reached := _reached(components, direction)) is None:
        return None
    query = _GRAPH.format(nodes="WHERE id = ANY(%s)", links="WHERE source_id = ANY(%s)")
    return _read(query, [reached, reached])


def _reached(components: Sequence[uuid.UUID], direction: Direction) -> list[uuid.UUID] | None:
    if len(components) > MOST:
        return None
    query = f"""
        WITH RECURSIVE reached(id) AS (SELECT unnest(%s::uuid[]) UNION {_AROUND[direction]})
        SELECT id FROM reached LIMIT %s
    """  # noqa: S608 (one of two constants)
    with connection.cursor() as cursor:
        cursor.execute(query, [list(components), MOST + 1])
        found = [row[0] for row in cursor.fetchall()]
    return None if len(found) > MOST else found


def _read(query: str, values: list[Any]) -> Graph:
    with connection.cursor() as cursor:
        cursor.execute(query, values)
        snapshot, keys, *rest = cursor.fetchone()
    places, source, target, how, groups, needed, services, tiers = rest
    names = _split(keys, KEY)
    place = dict(zip(names, range(len(names)), strict=True))
    owners, others, hows, wanted, members = _entries(place, (source, target, how), groups or (), needed or ())
    labels, named = _labels(_split(places, KEY * len(LABELS)))
    by_service = dict(zip(services or (), tiers or (), strict=True))
    return Graph(
        b"".join(names),
        rows(owners, others, hows, len(names)),
        turned(owners, others, hows, len(names)),
        wanted,
        members,
        labels,
        named,
        array("i", (by_service[service] for service in named["service"])),
        snapshot,
    )


def _split(packed: bytes | None, size: int) -> list[bytes]:
    return [part for (part,) in iter_unpack(f"{size}s", packed or b"")]


def _labels(places: list[bytes]) -> tuple[dict[str, array[int]], dict[str, list[uuid.UUID]]]:
    """For each kind of label the number of every place's own, and which id a number stands for.

    There are far fewer combinations than places: each is taken apart once.
    """
    known: dict[bytes, int] = {}
    combined = [known.setdefault(labels, len(known)) for labels in places]
    apart = [_split(labels, KEY) for labels in known]
    numbers, named = {}, {}
    for at, kind in enumerate(LABELS):
        own: dict[bytes, int] = {uuid.UUID(int=0).bytes: NOTHING}
        of = [own.setdefault(labels[at], len(own) - 1) for labels in apart]
        numbers[kind] = array("i", map(of.__getitem__, combined))
        named[kind] = [uuid.UUID(bytes=key) for key in own][1:]
    return numbers, named


def _entries(
    place: dict[bytes, int], packed: tuple[bytes | None, ...], groups: Sequence[str], needed: Sequence[int]
) -> tuple[array[int], ...]:
    """Owner, other end and how of each entry, in that order; then how many of each group are needed, and of how many.

    Groups count all their members; entries whose target is not in this part of the graph are left out.
    """
    source, target, how = packed
    owners = list(map(place.__getitem__, _split(source, KEY)))
    others = list(map(place.get, _split(target, KEY)))
    hows = integers(how)
    numbers: dict[tuple[int, str], int] = {}
    wanted, members = array("i"), array("i")
    redundant = (at for at, each in enumerate(hows) if each >= 0) if groups else ()
    for at, group, least in zip(redundant, groups, needed, strict=True):
        number = hows[at] = numbers.setdefault((owners[at], group), len(numbers))
        if number == len(members):
            wanted.append(0)
            members.append(0)
        members[number] += 1
        wanted[number] = max(wanted[number], least)
    wanted = array("i", map(min, wanted, members))
    if None in others:
        kept = [at for at, other in enumerate(others) if other is not None]
        owners, others = [owners[at] for at in kept], [others[at] for at in kept]
        hows = array("i", [hows[at] for at in kept])
    return array("i", owners), array("i", others), hows, wanted, members  # type: ignore[arg-type]
