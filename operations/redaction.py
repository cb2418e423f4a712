"""What drivers hand back is shown and stored, so whatever looks like a secret is taken out first."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Mapping
from datetime import date
from typing import Any

HIDDEN = "[hidden]"
MAX_TEXT = 4000
MAX_ITEMS = 500
MAX_DEPTH = 12

_NAMES = re.compile(
    r"pass(word|wd|phrase)|secret|api_?key|access_?key|private_?key|^token$|_token$|authorization|cookie|credential",
    re.IGNORECASE,
)
_VALUES = (
    # user:password@ in an address: the user may stay
    (re.compile(r"(?P<keep>[a-z][a-z0-9+.-]*://[^/\s:@]*:)[^/\s@]+(?=@)", re.IGNORECASE), rf"\g<keep>{HIDDEN}"),
    (re.compile(r"(?P<keep>\b(?:Bearer|Basic)\s+)[A-Za-z0-9._~+/=-]{8,}", re.IGNORECASE), rf"\g<keep>{HIDDEN}"),
    (
        re.compile(
            r"(?P<keep>\b[\w-]*(?:password|passwd|secret|token|api[_-]?key)[\w-]*\"?\s*[=:]\s*\"?)[^\s\",;&]+",
            re.IGNORECASE,
        ),
        rf"\g<keep>{HIDDEN}",
    ),
    (re.compile(r"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"), HIDDEN),
    (re.compile(r"\bedye_[A-Za-z0-9_-]{20,}"), HIDDEN),
    (re.compile(r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(?:-----END [A-Z ]*PRIVATE KEY-----|\Z)", re.DOTALL), HIDDEN),
)


def text(value: object, limit: int = MAX_TEXT) -> str:
    """``value`` as text without secrets and without characters PostgreSQL refuses, at most ``limit`` long."""
    shown = str(value).replace("\x00", "")
    for pattern, replacement in _VALUES:
        shown = pattern.sub(replacement, shown)
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def plain(value: Any, depth: int = 0) -> Any:
    """``value`` as JSON data without secrets: mappings, lists, text, numbers, booleans and null.

    Anything else is shown as text; a driver's secret type shows itself as hidden. Large values are cut.
    """
    if isinstance(value, float) and not math.isfinite(value):
        return str(value)  # JSON has no such numbers
    if value is None or isinstance(value, bool | int | float):
        return value
    if depth >= MAX_DEPTH:
        return "…"
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        value = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {text(key, 200): _item(str(key), inner, depth) for key, inner in list(value.items())[:MAX_ITEMS]}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(inner, depth + 1) for inner in list(value)[:MAX_ITEMS]]
    if isinstance(value, date):
        return value.isoformat()
    return text(value)


def _item(name: str, value: Any, depth: int) -> Any:
    if _NAMES.search(name) and value is not None and not isinstance(value, bool):
        return HIDDEN
    return plain(value, depth + 1)
