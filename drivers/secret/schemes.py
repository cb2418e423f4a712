"""Where a secret may be kept: each scheme once, with the form of its references and the function that reads them.

Checking a reference loads no client library: the module behind a scheme is imported when the first secret is read.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import cast

MAX_REFERENCE = 1024


@dataclass(frozen=True, slots=True)
class Scheme:
    """`name` stands before the colon, `place` is the pattern of what follows, `form` shows both to people.

    `source` is `module:function`. The function is given the place and returns the value as text; it raises
    `PermanentError` when nothing usable is there and `TransientError` when asking again can help, never with the value
    in the message.
    """

    name: str
    form: str
    place: re.Pattern[str]
    source: str

    def reader(self) -> Callable[[str], str]:
        """The function that reads a secret of this scheme."""
        module, _, function = self.source.partition(":")
        return cast(Callable[[str], str], getattr(importlib.import_module(module), function))


_SEGMENT = r"[A-Za-z0-9_-][A-Za-z0-9._-]*"
_FIELD = r"[A-Za-z0-9_-][A-Za-z0-9._-]{0,127}"

SCHEMES = {
    scheme.name: scheme
    for scheme in (
        Scheme("env", "env:NAME", re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}"), "drivers.secret.local:variable"),
        Scheme("file", "file:/absolute/path", re.compile(r"/.*"), "drivers.secret.local:file"),
        Scheme(
            "vault",
            "vault:<mount>/<path>#<field>",
            re.compile(rf"{_SEGMENT}(/{_SEGMENT})+#{_FIELD}"),
            "drivers.secret.vault:read",
        ),
        Scheme(
            "aws-sm",
            "aws-sm:<name or ARN>[#<field>]",
            re.compile(rf"[A-Za-z0-9/_+=.@:-]{{1,512}}(#{_FIELD})?"),
            "drivers.secret.aws:read",
        ),
    )
}

FORMS = ", ".join(scheme.form for scheme in SCHEMES.values())
"""What a reference may look like, for people."""


def split(reference: object) -> tuple[Scheme, str] | None:
    """The scheme and the place of a reference; None when it is not one."""
    if not isinstance(reference, str) or len(reference) > MAX_REFERENCE or not reference.isprintable():
        return None
    name, _, place = reference.partition(":")
    scheme = SCHEMES.get(name)
    return (scheme, place) if scheme and scheme.place.fullmatch(place) else None


def is_reference(value: object) -> bool:
    """Whether it has the form of a reference; nothing is read."""
    return split(value) is not None
