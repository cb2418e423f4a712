"""Reads the graph in one statement: whole, or only the part around something.

PostgreSQL numbers, joins and packs; what arrives are eight byte strings instead of 400,000 rows. The part around
something is found by a recursive query that carries ids only: with a plain UNION it visits each once, whatever circles
there are, and it ends at its limit.
"""

from __future__ import annotations

import uuid
from array import array
from collections.abc import Sequence
from typing import Any, Literal

from django.db import connection

from inventory.graph.compressed import KEY, LABELS, Graph, integers, rows, turned

Direction = Literal["down", "up"]
"""down: what fails with it. up: what could have broken it."""
MOST = 2000
"""Components beyond which the part around something is no longer worth reading by itself."""

_AROUND = {
    "down": "SELECT link.source_id FROM reached JOIN inventory_dependency link ON link.target_id = reached.id",
    "up": "SELECT link.target_id FROM reached JOIN inventory_dependency link ON link.source_id = reached.id",
}


def _numbered(kind: str) -> str:
    """The ids that components have of a label, numbered from 0."""
    return f"""
        {kind} AS MATERIALIZED (SELECT id, (row_number() OVER () - 1)::int AS number
                   FROM (SELECT DISTINCT {kind}_id AS id FROM node WHERE {kind}_id IS NOT NULL) used)"""  # noqa: S608 (one of LABELS)


def _packed(column: str, order: str) -> str:
    return f"string_agg(int4send({column}), '' ORDER BY {order})"


_GRAPH = f"""
    WITH node AS MATERIALIZED (
        SELECT id, scope_id, environment_id, service_id, data_center_id,
               (row_number() OVER (ORDER BY id) - 1)::int AS place
          FROM inventory_component {{nodes}}),
    {",".join(map(_numbered, LABELS))},
    link AS MATERIALIZED (
        SELECT source.place AS source, target.place AS target, link.kind, link.needed, link."group"
          FROM inventory_dependency link JOIN node source ON source.id = link.source_id
          LEFT JOIN node target ON target.id = link.target_id),
    spare AS MATERIALIZED (
        SELECT source, "group", (row_number() OVER () - 1)::int AS number, count(*)::int AS members,
               least(max(needed), count(*))::int AS needed
          FROM link WHERE kind = 'redundant' GROUP BY source, "group"),
    entry AS (
        SELECT link.source, link.target,
               CASE kind WHEN 'hard' THEN -1 WHEN 'soft' THEN -2 ELSE spare.number END AS how
          FROM link LEFT JOIN spare ON link.kind = 'redundant'
                                   AND spare.source = link.source AND spare."group" = link."group"
         WHERE link.target IS NOT NULL),
    packed_nodes AS (
        SELECT string_agg(uuid_send(node.id), '' ORDER BY place),
               {",".join(_packed(f"coalesce({kind}.number, -1)", "place") for kind in LABELS)}
          FROM node {" ".join(f"LEFT JOIN {kind} ON {kind}.id = node.{kind}_id" for kind in LABELS)}),
    packed_entries AS (
        SELECT {",".join(_packed(column, "source, target") for column in ("source", "target", "how"))} FROM entry),
    packed_groups AS (SELECT {",".join(_packed(column, "number") for column in ("needed", "members"))} FROM spare)
    SELECT pg_current_snapshot()::text, packed_nodes.*, packed_entries.*, packed_groups.*,
        {",".join(f"(SELECT array_agg(id ORDER BY number) FROM {kind})" for kind in LABELS)},
        (SELECT array_agg(owner.tier ORDER BY service.number) FROM service
           JOIN inventory_service owner ON owner.id = service.id)
      FROM packed_nodes, packed_entries, packed_groups
"""  # noqa: S608 (put together from constants)


def whole() -> Graph:
    """The graph of all components."""
    return _read(_GRAPH.format(nodes=""), [])


def around(components: Sequence[uuid.UUID], direction: Direction) -> Graph | None:
    """Only what can matter for these: what needs them, or what they need; ``None`` beyond ``MOST`` of it.

    Groups keep their full size although some of their targets are left out: those cannot fail from here.
    """
    if (reached := _reached(components, direction)) is None:
        return None
    return _read(_GRAPH.format(nodes="WHERE id = ANY(%s)"), [reached])


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
    count = len(LABELS)
    labels, (owner, other, how, needed, members) = rest[:count], map(integers, rest[count : count + 5])
    names, tiers = rest[count + 5 : -1], rest[-1]
    size = len(keys or b"") // KEY
    return Graph(
        bytes(keys or b""),
        rows(owner, other, how, size),
        turned(owner, other, how, size),
        needed,
        members,
        {kind: integers(packed) for kind, packed in zip(LABELS, labels, strict=True)},
        {kind: list(ids or ()) for kind, ids in zip(LABELS, names, strict=True)},
        array("i", tiers or ()),
        snapshot,
    )
