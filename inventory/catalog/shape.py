"""What a well-formed catalog file looks like, as JSON Schema, and its complaints as sentences."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from jsonschema import Draft202012Validator, ValidationError

from inventory.catalog.nouns import ENDPOINT, EVERYWHERE, KEY, NOUNS, SLUG, Shape, text
from inventory.catalog.source import Document, Problem
from inventory.kinds import KINDS
from inventory.models import Dependency

__all__ = ["EVERYWHERE", "KEY", "SCHEMA", "SLUG", "check"]
Where = tuple[str | int, ...]
_NAMED = {
    SLUG: "lower-case letters, digits and single hyphens",
    KEY: "environment/data-center/name, in lower-case letters, digits and hyphens",
}
_RELIES = {"type": "array", "maxItems": 20, "uniqueItems": True, "items": text(64, pattern=SLUG)}


def _rows(pattern: str, row: Shape) -> Shape:
    longest = 200 if pattern == KEY else 50
    return {"type": "object", "propertyNames": text(longest, pattern=pattern), "additionalProperties": row}


def _component() -> Shape:
    row = NOUNS["component"].shape
    row["properties"]["endpoints"] = _rows(SLUG, ENDPOINT.shape)
    return row


def _dependencies() -> Shape:
    long = NOUNS["dependency"].shape
    short = {"enum": Dependency.Kind.values}
    return _rows(KEY, _rows(KEY, {"if": {"type": "object"}, "then": long, "else": short}))


_PLAIN = {noun.section: _rows(noun.key, noun.shape) for noun in NOUNS.values()}
SCHEMA: Shape = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "catalog": text(50, pattern=SLUG),
        "relies_on": _RELIES,
        **_PLAIN,
        "components": _rows(KEY, _component()),
        "dependencies": _dependencies(),
    },
}
_TYPES = {
    "object": "a mapping",
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
}
_LIMITS = {
    "minimum": "be at least {}",
    "maximum": "be at most {}",
    "exclusiveMinimum": "be more than {}",
    "exclusiveMaximum": "be less than {}",
    "maxLength": "be at most {} characters long",
    "maxProperties": "have at most {} entries",
    "maxItems": "have at most {} entries",
}
_validator = Draft202012Validator(SCHEMA)
_attributes = {kind: Draft202012Validator(spec.schema) for kind, spec in KINDS.items()}


def check(document: Document) -> Iterator[Problem]:
    """Every way in which the file is not as it should be."""
    for error in _validator.iter_errors(document.content):
        yield from _told(document, error, tuple(error.absolute_path))
    rows = document.content.get("components")
    for key, row in rows.items() if isinstance(rows, dict) else ():
        if isinstance(row, dict) and isinstance(row.get("attributes"), dict) and row.get("kind") in KINDS:
            for error in _attributes[row["kind"]].iter_errors(row["attributes"]):
                yield from _told(document, error, ("components", key, "attributes", *error.absolute_path))


def _told(document: Document, error: ValidationError, path: Where) -> Iterator[Problem]:
    for where, sentence in _sentences(error, path):
        yield Problem(document.file, document.line(where), sentence)


def _sentences(error: ValidationError, path: Where) -> Iterator[tuple[Where, str]]:
    what = f"“{path[-1]}”" if path else "The file"
    rule = str(error.validator)
    # What kind of values these are depends on the rule.
    wanted: Any = error.validator_value
    given: Any = error.instance
    # A complaint about a name in a mapping carries the mapping's path; the name itself is the instance.
    here = (*path, str(given)) if "propertyNames" in error.absolute_schema_path else path
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
        yield here, f"“{str(given)[:80]}” must be {_NAMED.get(str(wanted), 'an http or https address')}."
    elif rule == "minLength":
        yield here, f"{what} must not be empty."
    elif rule == "uniqueItems":
        yield path, f"{what} names something twice."
    else:
        yield here, f"{what} must {_LIMITS[rule].format(wanted)}."
