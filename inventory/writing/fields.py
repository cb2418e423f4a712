"""What each field takes: compiled once from the models and from ``inventory.kinds``, then called for every value.

A check returns the value as it is to be stored, or raises ``Wrong`` with a sentence. It neither guesses nor converts
text into numbers: whoever reads files does that first, by ``Field.type``.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from typing import Any

import msgspec
from django.contrib.postgres.fields import ArrayField
from django.db import models

from inventory import kinds

Check = Callable[[Any], Any]
SLUG = r"^[a-z0-9]+(-[a-z0-9]+)*\Z"
KEY = r"^[a-z0-9-]+/[a-z0-9-]+/[a-z0-9-]+\Z"
WORD = r"^[-a-zA-Z0-9_]+\Z"
URL = r"^(https?://\S+)?\Z"
MOST_TAGS = 50
MOST_CUSTOM = 64
NAMED = 10
"""How many choices a sentence names."""
LONGEST_CUSTOM = 16_384
"""Bytes of all custom fields of one thing as JSON."""
_SAID = {
    SLUG: "lower-case letters, digits and single hyphens",
    KEY: "environment/data-center/name, in lower-case letters, digits and hyphens",
    WORD: "letters, digits, hyphens and underscores",
    URL: "an http or https address",
}
_LARGEST = {
    "PositiveSmallIntegerField": 2**15 - 1,
    "PositiveIntegerField": 2**31 - 1,
    "PositiveBigIntegerField": 2**63 - 1,
}
BOUNDS = {"tier": (1, 4), "port": (1, 65_535), "needed": (1, 2**15 - 1)}
"""What CHECK constraints ask of a number."""


class Wrong(ValueError):
    """What is wrong about a value, as a sentence."""


@dataclass(frozen=True)
class Field:
    """One field that is written by its value. ``type``: text, integer, decimal, boolean, list or object."""

    name: str
    type: str
    check: Check
    default: Any = ""
    required: bool = False
    choices: tuple[str, ...] = ()
    longest: int | None = None
    bounds: tuple[int, int] | None = None
    help: str = ""


def text(longest: int, *, blank: bool = True, pattern: str = "") -> Check:
    """Text of at most ``longest`` characters."""
    fits = re.compile(pattern).match if pattern else None

    def check(value: Any) -> str:
        if type(value) is not str:
            raise Wrong("This must be text.")
        if len(value) > longest:
            raise Wrong(f"This must be at most {longest} characters long.")
        if not value.isprintable():
            _storable(value)
        if not blank and not value.strip():
            raise Wrong("This must not be empty.")
        if fits and value and not fits(value):
            raise Wrong(f"“{value[:80]}” must be {_SAID[pattern]}.")
        return value

    return check


def _storable(value: str) -> None:
    """PostgreSQL keeps no NUL, and UTF-8 has no half of a surrogate pair."""
    if "\x00" in value:
        raise Wrong("Text must not hold the character NUL.")
    try:
        value.encode()
    except UnicodeEncodeError:
        raise Wrong("This text holds half a character.") from None


def choice(values: Collection[str], *, blank: bool = False) -> Check:
    """One of ``values``."""
    known = frozenset(values) | ({""} if blank else frozenset())
    more = f", … (and {len(values) - NAMED} more)" if len(values) > NAMED else ""
    named = ", ".join(list(values)[:NAMED]) + more

    def check(value: Any) -> str:
        if type(value) is str and value in known:
            return value
        if type(value) is not str or not value:
            raise Wrong(f"This must be one of: {named}.")
        _storable(value)
        near = difflib.get_close_matches(value[:80].lower(), values, 1, 0.75)
        meant = f" Did you mean “{near[0]}”?" if near else ""
        raise Wrong(f"This is “{value[:80]}”, which is none of: {named}.{meant}")

    return check


def whole(least: int, most: int, *, null: bool = False) -> Check:
    """A whole number between ``least`` and ``most``."""

    def check(value: Any) -> int | None:
        if value is None and null:
            return None
        if type(value) is not int:
            raise Wrong("This must be a whole number.")
        if not least <= value <= most:
            raise Wrong(f"This must be between {least} and {most}.")
        return value

    return check


def flag(value: Any) -> bool:
    """True or false."""
    if type(value) is not bool:
        raise Wrong("This must be true or false.")
    return value


def percent(value: Any) -> Decimal | None:
    """More than 0 and less than 100, with at most three digits behind the point; a number, or one written as text."""
    if value is None:
        return None
    if type(value) not in (int, float, str, Decimal):
        raise Wrong("This must be a number.")
    try:
        found = Decimal(str(value))
        if not 0 < found < 100 or found != round(found, 3):
            raise Wrong("This must be more than 0 and less than 100, with at most three digits behind the point.")
    except InvalidOperation:
        raise Wrong("This must be a number.") from None
    return round(found, 3)


def tags(value: Any) -> list[str]:
    """A list of words, each once, in the order given."""
    if type(value) is not list:
        raise Wrong("This must be a list of tags.")
    if len(value) > MOST_TAGS:
        raise Wrong(f"There may be at most {MOST_TAGS} tags.")
    return list(dict.fromkeys(_tag(each) for each in value))


_tag = text(50, blank=False, pattern=WORD)


def custom(value: Any) -> dict[str, Any]:
    """Free-form fields: a mapping of names to anything JSON can say."""
    if type(value) is not dict:
        raise Wrong("This must be a mapping of names to values.")
    if not value:
        return {}
    if len(value) > MOST_CUSTOM or not all(type(name) is str and 0 < len(name) <= MOST_CUSTOM for name in value):
        raise Wrong(f"This may hold at most {MOST_CUSTOM} names, each of 1 to {MOST_CUSTOM} characters.")
    try:
        said = msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        raise Wrong("This must hold only what JSON can say.") from None
    if len(said) > LONGEST_CUSTOM:
        raise Wrong(f"This must be at most {LONGEST_CUSTOM} bytes long as JSON.")
    if b"\\u0000" in said:
        _walk(value)
    return value


def _walk(value: Any) -> None:
    if isinstance(value, str):
        _storable(value)
    elif isinstance(value, dict | list):
        for each in (*value, *value.values()) if isinstance(value, dict) else value:
            _walk(each)


def address(value: Any) -> str | None:
    """An IPv4 or IPv6 address in its usual form."""
    if value in (None, ""):
        return None
    try:
        return str(ipaddress.ip_address(_line(value)))
    except ValueError:
        raise Wrong("This must be an IPv4 or IPv6 address.") from None


def network(value: Any) -> str:
    """A network in CIDR notation."""
    try:
        return str(ipaddress.ip_network(_line(value))) if value else _line(value)
    except ValueError:
        raise Wrong("This must be a network such as 10.0.0.0/16, without bits of a host.") from None


_line = text(64)


def _list(value: Any) -> list[str]:
    if type(value) is not list:
        raise Wrong("This must be a list of texts.")
    return [_item(each) for each in value]


_item = text(255)


def _shape(shape: kinds.Shape) -> Check:
    if "enum" in shape:
        return choice(shape["enum"])
    if shape["type"] == "string":
        return text(shape["maxLength"])
    if shape["type"] == "integer":
        return whole(shape["minimum"], shape["maximum"])
    return flag if shape["type"] == "boolean" else _list


ATTRIBUTES: dict[str, dict[str, Check]] = {
    kind: {name: _shape(shape) for name, shape in spec.attributes.items()} for kind, spec in kinds.KINDS.items()
}
"""Kind → attribute → check."""


def _attributes(value: Any) -> dict[str, Any]:
    """What depends on the kind is looked at when the kind is known."""
    if type(value) is not dict:
        raise Wrong("This must be a mapping of attributes to values.")
    return value


SPECIAL: dict[str, tuple[str, Check]] = {
    "tags": ("list", tags),
    "custom": ("object", custom),
    "attributes": ("object", _attributes),
    "slo": ("decimal", percent),
    "address": ("text", address),
    "cidr": ("text", network),
}


def field_of(field: models.Field[Any, Any], *, placed: bool) -> Field:
    """The declaration of a model's field. ``placed``: its slug reads ``environment/data-center/name``."""
    name, internal = field.name, field.get_internal_type()
    default = field.get_default() if field.has_default() else None if field.null else ""
    default = default.value if isinstance(default, models.Choices) else default
    required = not field.has_default() and not field.blank and not field.null
    facts: dict[str, Any] = {"name": name, "default": default, "required": required, "help": str(field.help_text)}
    if name in SPECIAL:
        kind, check = SPECIAL[name]
        return Field(type=kind, check=check, **facts)
    if isinstance(field, models.BooleanField):
        return Field(type="boolean", check=flag, **facts)
    if internal in _LARGEST:
        bounds = BOUNDS.get(name, (0, _LARGEST[internal]))
        return Field(type="integer", check=whole(*bounds, null=field.null), bounds=bounds, **facts)
    if isinstance(field, ArrayField) or not isinstance(field, models.CharField | models.TextField):
        raise TypeError(f"{field} has no check")
    if field.choices:
        values = tuple(str(value) for value, _ in field.flatchoices if value)
        return Field(type="text", check=choice(values, blank=field.blank), choices=values, **facts)
    longest = field.max_length or 2000
    check = text(longest, blank=field.blank, pattern=_pattern(field, placed=placed))
    return Field(type="text", check=check, longest=longest, **facts)


def _pattern(field: models.Field[Any, Any], *, placed: bool) -> str:
    if field.name == "slug":
        return KEY if placed else SLUG
    if field.name == "connection":
        return KEY
    if isinstance(field, models.SlugField):
        return WORD
    return URL if isinstance(field, models.URLField) else ""
