"""What a row of each noun looks like in JSON: plain values, and other rows by their slug.

Rows are read column by column and never become model instances or serializers: at a thousand rows that is most of the
cost of a list.
"""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from inventory.kinds import KINDS
from inventory.writing import Declaration, declaration

Schema = dict[str, Any]


def address(noun: str) -> str:
    """The noun as it stands in addresses ("data-centers")."""
    return {"dependency": "dependencies"}.get(noun, f"{noun}s")


@functools.cache
def row_schema(noun: str, *, written: bool = False) -> Schema:
    """JSON Schema (OpenAPI 3.0) of a row as it is read, or as it is ``written``."""
    known = declaration(noun)
    properties = {name: _reference(known, name) for name in known.references}
    properties |= {name: _value(noun, name) for name in known.fields}
    identity: Schema = {"id": {"type": "string", "format": "uuid"}}
    kept: Schema = {"revision": {"type": "integer", "minimum": 1, "maximum": 2**31 - 1}}
    if not written:
        instant = {"type": "string", "format": "date-time"}
        kept = {"declared_by": {"type": "string"}, **kept, "created_at": instant, "updated_at": instant}
    return {"type": "object", "properties": {**identity, **properties, **kept}}


def _reference(known: Declaration, name: str) -> Schema:
    reference = known.references[name]
    said = f"Slug of the {reference.noun.replace('-', ' ')}."
    return {"type": "string", "maxLength": 200, "description": said} | _nullable(not reference.required)


def _value(noun: str, name: str) -> Schema:
    field = declaration(noun).fields[name]
    null = _nullable(field.default is None and not field.required)
    if name == "tags":
        return {"type": "array", "items": {"type": "string", "maxLength": 50}}
    if name == "attributes":
        return {"type": "object", "additionalProperties": True, "description": _attributes()}
    if field.type == "object":
        return {"type": "object", "additionalProperties": True}
    if field.choices:
        return {"type": "string", "enum": [*field.choices, *([] if field.required or field.default else [""])]}
    if field.type == "integer":
        assert field.bounds
        return {"type": "integer", "minimum": field.bounds[0], "maximum": field.bounds[1]} | null
    if field.type == "text":
        return {"type": "string", "maxLength": field.longest or 64} | null
    return {"type": {"boolean": "boolean", "decimal": "string"}[field.type]} | null


def _nullable(null: bool) -> Schema:
    return {"nullable": True} if null else {}


def _attributes() -> str:
    """Which attributes each kind has, for people."""
    lines = [f"{kind}: {', '.join(spec.attributes) or 'none'}" for kind, spec in KINDS.items()]
    return "What is known of its kind. " + "; ".join(lines) + "."


def listed(names: Iterable[str]) -> str:
    """Names for a sentence."""
    return ", ".join(sorted(names))
