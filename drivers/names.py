"""What names, versions, weights, ports and addresses may look like.

Everything that ends up in a command line, a configuration file or a path passes here first. Patterns are matched over
the whole text (`fullmatch`), because `$` would let a trailing newline through.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from urllib.parse import urlsplit

import semver

from drivers.errors import InvalidInput

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_TOKEN = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,99}")
_ENV = re.compile(r"[A-Z][A-Z0-9_]{0,62}")
_PATH = re.compile(r"/[A-Za-z0-9._/+@=,~ -]{0,511}")
_URL_PATH = re.compile(r"/[A-Za-z0-9._~/%-]{0,255}")
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")
_HOST = re.compile(r"[A-Za-z0-9]([A-Za-z0-9.-]{0,251}[A-Za-z0-9])?")
SLOTS = ("a", "b")


def _refuse(what: str, value: object) -> InvalidInput:
    return InvalidInput(f"not a valid {what}: {repr(value)[:80]}")


def _match(pattern: re.Pattern[str], what: str, value: object) -> str:
    if isinstance(value, str) and pattern.fullmatch(value):
        return value
    raise _refuse(what, value)


def name(value: object, what: str = "name") -> str:
    """A name of a service or process: lower case, digits, `.`, `_`, `-`; 1 to 63 characters, no leading sign."""
    return _match(_NAME, what, value)


def token(value: object) -> str:
    """An idempotency token such as `operation:position`: 1 to 100 characters."""
    return _match(_TOKEN, "token", value)


def env_name(value: object) -> str:
    """The name of an environment variable: upper case letters, digits and `_`."""
    return _match(_ENV, "environment variable", value)


def url_path(value: object) -> str:
    """The path of a URL, without query and fragment."""
    return _match(_URL_PATH, "URL path", value)


def host(value: object) -> str:
    """A host name or an IPv4 address."""
    return _match(_HOST, "host", value)


def version(value: object) -> str:
    """A semantic version (semver.org 2.0.0) of at most 64 characters."""
    if isinstance(value, str) and len(value) <= 64 and semver.Version.is_valid(value) and value.isascii():
        return value
    raise _refuse("semantic version", value)


def digest(value: object) -> str:
    """A SHA-256 digest as "sha256:" and 64 lower-case hexadecimal digits."""
    return _match(_DIGEST, "sha256 digest", value)


def whole(value: object, low: int, high: int, what: str) -> int:
    """An int within [low, high]; a bool is not a number here."""
    if isinstance(value, int) and not isinstance(value, bool) and low <= value <= high:
        return value
    raise _refuse(f"{what} ({low} to {high})", value)


def port(value: object) -> int:
    """A TCP port."""
    return whole(value, 1, 65535, "port")


def slot(value: object) -> str:
    """One of the two slots, `a` or `b`."""
    if value in SLOTS:
        return str(value)
    raise _refuse("slot", value)


def weights(value: object) -> dict[str, int]:
    """The traffic weights of both slots, 0 to 100 each, not both 0 (nobody would serve)."""
    if not isinstance(value, Mapping) or set(value) != set(SLOTS):
        raise _refuse("pair of weights (a and b)", value)
    pair = {key: whole(value[key], 0, 100, "weight") for key in SLOTS}
    if not any(pair.values()):
        raise InvalidInput("at least one slot must have a weight above 0")
    return pair


def path(value: object) -> Path:
    """An absolute path without `..` and without a character that has a meaning in a configuration file."""
    text = _match(_PATH, "absolute path", str(value) if isinstance(value, Path) else value)
    if ".." in Path(text).parts:
        raise _refuse("absolute path", value)
    return Path(text)


def url(value: object) -> str:
    """An http or https address without credentials; at most 2,000 printable ASCII characters."""
    if not isinstance(value, str) or len(value) > 2000 or not value.isascii() or not value.isprintable():
        raise _refuse("http address", value)
    try:
        parts = urlsplit(value)
        usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        usable = False
    if not usable or "@" in parts.netloc or " " in value or "\\" in value:
        raise _refuse("http address", value)
    return value
