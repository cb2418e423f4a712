"""The noun's routes in the API's schema."""

from __future__ import annotations

from typing import Any

from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import serializers
from rest_framework.fields import CharField, Field, IntegerField, JSONField

from inventory.api.reading import LARGEST_PAGE, PAGE
from inventory.api.shapes import address, row_schema
from inventory.filters import Filter, filters
from inventory.writing import declaration
from portal.api import REFUSALS, Problem

_TEXT, _WHOLE, _TRUTH = OpenApiTypes.STR, OpenApiTypes.INT, OpenApiTypes.BOOL
_TYPES = {"number": OpenApiTypes.NUMBER, "instant": OpenApiTypes.DATETIME, "truth": _TRUTH}
_MATCH = OpenApiParameter("If-Match", _TEXT, "header", description="The `ETag` that was read; 412 when it is outdated.")
KEY = OpenApiParameter("Idempotency-Key", _TEXT, "header", description="Sent again, the request changes nothing.")
_DRY = OpenApiParameter("dry_run", _TRUTH, description="Only tell what would change.")


def _listing(noun: str) -> list[OpenApiParameter]:
    return [
        *_shape(noun),
        OpenApiParameter("q", _TEXT, description="Search."),
        OpenApiParameter("sort", _TEXT, description="A column; with `-` before it the other way."),
        OpenApiParameter("limit", _WHOLE, description=f"Rows of a page: {PAGE}, at most {LARGEST_PAGE}."),
        OpenApiParameter("after", _TEXT, description="As `next` has it."),
        OpenApiParameter("before", _TEXT, description="As `previous` has it."),
        OpenApiParameter("count", _TRUTH, description="Also count what matches, up to 10,000."),
        *(_filter(own) for own in filters(noun).values()),
    ]


def _filter(own: Filter) -> OpenApiParameter:
    """One name to narrow by. It may be given several times."""
    kind: Any = _TYPES.get(own.type, _TEXT)
    values = [value for value, _ in own.choices] or None
    endings = ", ".join(f"`__{ending}`" for ending in own.endings if ending)
    said = [f"Slug of the {own.noun.replace('-', ' ')}."] if own.noun else []
    said += ["Several: any of them." if own.name != "tag" else "Several: all of them."]
    said += [f"Also with {endings}."] if endings else []
    return OpenApiParameter(own.name, kind, enum=values, many=True, description=" ".join(said))


def _shape(noun: str) -> list[OpenApiParameter]:
    references = ", ".join(declaration(noun).references)
    expand = OpenApiParameter("expand", _TEXT, description=f"Show these as whole rows: {references}.")
    fields = OpenApiParameter("fields", _TEXT, description="Only these columns, separated by commas.")
    return [fields, expand] if references else [fields]


def _serializer(name: str, schema: dict[str, Any]) -> type[serializers.Serializer[Any]]:
    """A named shape for the schema. Nothing is ever serialized by it."""
    fields: dict[str, Field[Any, Any, Any, Any]] = {}
    for each, facts in schema["properties"].items():
        fields[each] = _field(facts)
    return type(name, (serializers.Serializer,), fields)


def _field(facts: dict[str, Any]) -> Field[Any, Any, Any, Any]:
    more: dict[str, Any] = {"required": False, "allow_null": facts.get("nullable", False)}
    if "description" in facts:
        more["help_text"] = facts["description"]
    if facts.get("format") in ("uuid", "date-time"):
        return serializers.UUIDField(**more) if facts["format"] == "uuid" else serializers.DateTimeField(**more)
    if facts["type"] == "integer":
        return IntegerField(min_value=facts["minimum"], max_value=facts["maximum"], **more)
    if facts["type"] == "boolean":
        return serializers.BooleanField(**more)
    if facts["type"] == "array":
        return serializers.ListField(child=CharField(max_length=50), **more)
    return JSONField(**more) if facts["type"] == "object" else CharField(max_length=facts.get("maxLength"), **more)


def described[C: type](noun: str, view: C) -> C:
    """``view`` with what each of its routes takes and answers."""
    name = declaration(noun).model.__name__
    label, plural = declaration(noun).label, address(noun).replace("-", " ")
    row = _serializer(name, row_schema(noun))
    written = row_schema(noun, written=True)
    listed = {"type": "array", "items": written}
    page = _wrapped(f"Paginated{name}List", row, next=CharField(allow_null=True), previous=CharField(allow_null=True))
    counts = {each: IntegerField(min_value=0) for each in ("created", "changed", "removed", "unchanged")}
    done = _wrapped(f"Written{name}List", row, **counts)
    body, rows, either = ({"application/json": schema} for schema in (written, listed, {"oneOf": [written, listed]}))
    shaped, guarded = [*_shape(noun), _DRY], [*_shape(noun), _DRY, _MATCH]
    tell = {
        "list": _route(f"List {plural}", _listing(noun), page),
        "retrieve": _route(f"One {label}", _shape(noun), row),
        "create": _route(f"Create one {label}, or a list of them", [*shaped, KEY], row, either, code=201),
        "update": _route(f"Replace one {label}", guarded, row, body),
        "partial_update": _route(f"Change one {label}", guarded, row, body),
        "destroy": _route(f"Remove one {label}", [_DRY, _MATCH], None, code=204),
        "upsert_many": _route(f"Create or change {plural} by name", shaped, done, rows),
        "change_many": _route(f"Change many {plural}", shaped, done, rows),
        "remove_many": _route(f"Remove many {plural}", [_DRY], None, rows, code=204),
    }
    return extend_schema_view(**tell)(view)


def _route(summary: str, parameters: list[OpenApiParameter], answer: Any, body: Any = None, *, code: int = 200) -> Any:
    stale = {412: OpenApiResponse(Problem)} if _MATCH in parameters or body else {}
    responses = {code: answer, **REFUSALS, **stale}
    return extend_schema(summary=summary, parameters=list(parameters), request=body, responses=responses)


def _wrapped(name: str, row: Any, **more: Any) -> Any:
    return type(name, (serializers.Serializer,), {**more, "results": row(many=True)})
