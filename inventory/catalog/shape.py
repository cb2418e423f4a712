"""What a well-formed catalog file looks like, as JSON Schema, and its complaints as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from inventory.catalog.source import Document, Problem
from inventory.models import Component, DataCenter, Dependency, Environment

SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*\Z"
KEY = r"^[a-z0-9-]+/[a-z0-9-]+/[a-z0-9-]+\Z"
EVERYWHERE = {"global": "spans all data centers", "workstation": "is every developer's own machine"}
"""What may stand in a component's key where a data center stands, for components that are in none."""

_NAMED = {
    SLUG: "lower-case letters, digits and single hyphens",
    KEY: "environment/data-center/name, in lower-case letters, digits and hyphens",
}


def _text(longest: int, *, least: int = 0, **more: Any) -> dict[str, Any]:
    return {"type": "string", "minLength": least, "maxLength": longest, **more}


def _rows(names: str, fields: dict[str, Any], required: tuple[str, ...]) -> dict[str, Any]:
    row = {"type": "object", "additionalProperties": False, "properties": fields, "required": list(required)}
    return {
        "type": "object",
        "propertyNames": _text(200 if names == KEY else 50, pattern=names),
        "additionalProperties": row,
    }


_NAME = _text(120, least=1)
_URL = _text(200, pattern="^(https?://\\S+)?$")
SCHEMA: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "catalog": _text(50, pattern=SLUG),
        "teams": _rows(SLUG, {"name": _NAME}, ("name",)),
        "data_centers": _rows(
            SLUG,
            {"name": _NAME, "provider": _text(120), "region": _text(120), "role": {"enum": DataCenter.Role.values}},
            ("name", "role"),
        ),
        "environments": _rows(
            SLUG,
            {"name": _NAME, "kind": {"enum": Environment.Kind.values}, "description": _text(2000)},
            ("name", "kind"),
        ),
        "services": _rows(
            SLUG,
            {
                "name": _NAME,
                "description": _text(2000),
                "tier": {"type": "integer", "minimum": 1, "maximum": 4},
                "language": _text(64),
                "repository": _URL,
                "runbook": _URL,
                "owner": _text(50, pattern=SLUG),
            },
            ("name", "tier", "owner"),
        ),
        "components": _rows(
            KEY,
            {
                "name": _NAME,
                "kind": {"enum": Component.Kind.values},
                "service": _text(50, pattern=SLUG),
                "software": _text(64),
                "version": _text(64),
                "endpoint": _text(255),
                "connection": _text(200, pattern=KEY),
                "attributes": {"type": "object", "maxProperties": 50},
            },
            ("name", "kind", "service"),
        ),
        "dependencies": {
            "type": "object",
            "propertyNames": _text(200, pattern=KEY),
            "additionalProperties": {
                "type": "object",
                "propertyNames": _text(200, pattern=KEY),
                "additionalProperties": {"enum": Dependency.Kind.values},
            },
        },
    },
}
_TYPES = {"object": "a mapping", "string": "text", "integer": "a whole number"}
_validator = Draft202012Validator(SCHEMA)


def check(document: Document) -> Iterator[Problem]:
    """Every way in which the file is not as it should be."""
    for error in _validator.iter_errors(document.content):
        path = tuple(error.absolute_path)
        for where, sentence in _sentences(error, path):
            yield Problem(document.file, document.line(where), sentence)


def _sentences(error: ValidationError, path: tuple[str | int, ...]) -> Iterator[tuple[tuple[str | int, ...], str]]:
    what = f"“{path[-1]}”" if path else "The file"
    rule = str(error.validator)
    # What kind of values these are depends on the rule.
    wanted: Any = error.validator_value
    given: Any = error.instance
    if rule == "additionalProperties":
        known = sorted(error.schema["properties"])  # type: ignore[index,call-overload]
        for name in [name for name in given if name not in known]:
            yield (*path, name), f"There is no “{name}” here. Known: {', '.join(known)}."
    elif rule == "required":
        missing = next(name for name in wanted if name not in given and f"'{name}'" in error.message)
        yield path, f"{what} lacks “{missing}”."
    elif rule == "type":
        yield path, f"{what} must be {_TYPES[str(wanted)]}{', in quotes' if wanted == 'string' else ''}."
    elif rule == "enum":
        yield path, f"{what} must be one of {', '.join(wanted)}."
    elif rule == "pattern":
        named = _NAMED.get(str(wanted), "an http or https address")
        # A complaint about a name in a mapping carries the mapping's path; the name itself is the instance.
        is_key = "propertyNames" in error.absolute_schema_path
        where = (*path, str(given)) if is_key else path
        yield where, f"“{str(given)[:80]}” must be {named}."
    elif rule == "minLength":
        yield path, f"{what} must not be empty."
    else:
        limit = {"minimum": "at least", "maximum": "at most", "maxLength": "at most"}
        unit = " characters long" if rule == "maxLength" else ""
        yield path, f"{what} must be {limit.get(rule, 'at most')} {wanted}{unit}."
