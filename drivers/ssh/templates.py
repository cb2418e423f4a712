"""The commands that a connection allows: argument lists with placeholders, each of which has its pattern."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from drivers import names
from drivers.errors import InvalidInput

RESERVED = ("restart-service", "service-status", "package-check", "reboot")
"""Templates with a meaning of their own; `run` refuses them."""
_PLACEHOLDER = re.compile(r"\{([a-z][a-z0-9_]{0,31})\}")
_COMMAND = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")
_KNOWN = {"argv", "patterns", "undo", "repeatable", "seconds"}


@dataclass(frozen=True, slots=True)
class Template:
    """One allowed command. `repeatable` says that beginning it again after an unknown end does no harm."""

    name: str
    argv: tuple[str, ...]
    patterns: Mapping[str, re.Pattern[str]]
    undo: str | None
    repeatable: bool
    seconds: int

    def filled(self, values: Mapping[str, str]) -> list[str]:
        """The command with these values, exactly one for each placeholder; `InvalidInput` for anything else.

        A value fits its pattern as a whole and never begins with `-`: it would be taken for an option.
        """
        if set(values) != set(self.patterns):
            wanted = ", ".join(sorted(self.patterns)) or "none"
            raise InvalidInput(f"{self.name} takes these arguments: {wanted}")
        for name, value in values.items():
            good = isinstance(value, str) and value.isprintable() and 0 < len(value) <= 200 and value[0] != "-"
            if not good or not self.patterns[name].fullmatch(value):
                raise InvalidInput(f"{self.name}: {name} does not look as it must: {repr(value)[:80]}")
        return [values[found.group(1)] if (found := _PLACEHOLDER.fullmatch(word)) else word for word in self.argv]


def load(given: object, units: Sequence[str]) -> dict[str, Template]:
    """The templates of the fact `commands`; `InvalidInput` says what is wrong with one."""
    if not isinstance(given, Mapping):
        raise InvalidInput("commands must be an object of templates")
    found = {name: _template(name, shape, units) for name, shape in given.items()}
    for template in found.values():
        if template.undo is not None:
            undo = found.get(template.undo)
            if undo is None or template.name in RESERVED or not set(undo.patterns) <= set(template.patterns):
                raise InvalidInput(f"the command {template.name} cannot be undone by {template.undo!r}"[:200])
    return found


def _template(name: object, shape: Any, units: Sequence[str]) -> Template:
    if not isinstance(name, str) or not _COMMAND.fullmatch(name) or not isinstance(shape, Mapping):
        raise InvalidInput("a command has a name of a-z, 0-9 and -, and an object")
    if set(shape) - _KNOWN:
        raise InvalidInput(f"the command {name} has unknown facts")
    argv = shape.get("argv")
    if not isinstance(argv, list) or not argv or not all(isinstance(word, str) and word.isprintable() for word in argv):
        raise InvalidInput(f"the command {name} needs argv, a list of words")
    names.path(argv[0])
    placeholders = {found.group(1) for word in argv if (found := _PLACEHOLDER.fullmatch(word))}
    if any(_PLACEHOLDER.search(word) and not _PLACEHOLDER.fullmatch(word) for word in argv):
        raise InvalidInput(f"the command {name}: a placeholder must be a whole word")
    patterns = dict(shape.get("patterns", {}))
    if name in RESERVED and "unit" in placeholders:
        patterns["unit"] = "|".join(map(re.escape, units)) or r"(?!)"
    if set(patterns) != placeholders:
        raise InvalidInput(f"the command {name} needs one pattern for each placeholder, and no other")
    try:
        compiled = {key: re.compile(pattern) for key, pattern in patterns.items()}
    except (re.error, TypeError):
        raise InvalidInput(f"the command {name} has a pattern that is not a regular expression") from None
    seconds = names.whole(shape.get("seconds", 60), 1, 540, "limit in seconds")
    return Template(name, tuple(argv), compiled, shape.get("undo"), bool(shape.get("repeatable")), seconds)
