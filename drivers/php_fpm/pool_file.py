"""The text of a pool's file: reading and changing one directive of one section, and leaving the rest as it is.

Source: php.net/manual/en/install.fpm.configuration.php. The file is an INI file; a later line wins over an earlier one.
"""

from __future__ import annotations

import re

_SECTION = re.compile(r"\s*\[([^\]]+)\]\s*(;.*)?")
_DIRECTIVE = re.compile(r"\s*([A-Za-z_.]+(?:\[[^\]]*\])?)\s*=\s*([^;]*?)\s*(;.*)?")
_INCLUDE = re.compile(r"\s*include\s*=\s*\"?([^\";]+?)\"?\s*(;.*)?")


def line_of(text: str, pool: str, name: str) -> str | None:
    """The line that sets `name` in the section `[pool]`, the last one when there are several."""
    lines = text.splitlines()
    found = _positions(lines, pool, name)
    return lines[found[-1]] if found else None


def value_of(line: str | None) -> str | None:
    """The value in a line that `line_of` has given."""
    matched = _DIRECTIVE.fullmatch(line) if line is not None else None
    return matched.group(2) if matched else None


def with_line(text: str, pool: str, name: str, line: str | None) -> str:
    """The text in which `line` stands where `name` is set; None takes the line away, a new one follows the others."""
    lines = text.splitlines()
    found = _positions(lines, pool, name)
    if found and line is None:
        del lines[found[-1]]
    elif found and line is not None:
        lines[found[-1]] = line
    elif line is not None:
        lines.insert(_end(lines, pool), line)
    return "\n".join(lines) + ("\n" if text.endswith("\n") or not text else "")


def has_pool(text: str, pool: str) -> bool:
    """Whether the text has the section `[pool]`."""
    return any(_section(line) == pool for line in text.splitlines())


def includes(text: str) -> list[str]:
    """The patterns of the files that a main configuration includes, in order."""
    return [found.group(1) for line in text.splitlines() if (found := _INCLUDE.fullmatch(line))]


def without_includes(text: str) -> str:
    """A main configuration without its include lines."""
    return "".join(f"{line}\n" for line in text.splitlines() if not _INCLUDE.fullmatch(line))


def _section(line: str) -> str | None:
    found = _SECTION.fullmatch(line)
    return found.group(1).strip() if found else None


def _positions(lines: list[str], pool: str, name: str) -> list[int]:
    section, found = None, []
    for position, line in enumerate(lines):
        section = _section(line) or section
        matched = _DIRECTIVE.fullmatch(line)
        if section == pool and matched and matched.group(1) == name:
            found.append(position)
    return found


def _end(lines: list[str], pool: str) -> int:
    """Behind the last directive of the section (the section's head counts as one)."""
    section, end = None, len(lines)
    for position, line in enumerate(lines):
        section = _section(line) or section
        if section == pool and (_section(line) or _DIRECTIVE.fullmatch(line)):
            end = position + 1
    return end
