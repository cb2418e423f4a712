"""An nginx configuration as it lies on disk, parsed: directives with their arguments and blocks, includes followed.

Source of the syntax: nginx.org/en/docs/beginners_guide.html and ngx_conf_file.c (quotes, escapes, comments).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

MAX_FILES = 500
MAX_BYTES = 4 * 1024 * 1024
_TOKEN = re.compile(
    r"""\s+|\#[^\n]*|([{};])|"((?:\\.|[^"\\])*)"|'((?:\\.|[^'\\])*)'|((?:\\.|\$\{[^}]*\}|[^\s{};"'\\])+)"""
)


@dataclass
class Directive:
    """One directive; `block` is empty for one that ends in a semicolon."""

    name: str
    args: list[str]
    block: list[Directive] = field(default_factory=list)

    def all(self, name: str) -> Iterator[Directive]:
        """Every directive of this name inside, however deep."""
        for inner in self.block:
            if inner.name == name:
                yield inner
            yield from inner.all(name)

    def own(self, name: str) -> list[str]:
        """The arguments of the first directive of this name directly inside; empty without one."""
        return next((inner.args for inner in self.block if inner.name == name), [])


@dataclass
class Parsed:
    """A whole configuration as one directive without a name, and what could not be read of it."""

    root: Directive
    problems: list[str] = field(default_factory=list)
    files: int = 0


def parse(main: Path) -> Parsed:
    """The configuration that begins in `main`; what is wrong with it is in `problems`."""
    found = Parsed(Directive("", []))
    found.root.block = _file(main, main.parent, found)
    return found


def _file(path: Path, folder: Path, found: Parsed) -> list[Directive]:
    found.files += 1
    if found.files > MAX_FILES:
        found.problems.append(f"more than {MAX_FILES} files are included")
        return []
    try:
        if path.stat().st_size > MAX_BYTES:
            found.problems.append(f"{path} is larger than {MAX_BYTES} bytes")
            return []
        tokens = list(_tokens(path.read_text(errors="replace")))
    except (OSError, ValueError) as error:
        found.problems.append(f"{path} cannot be read: {getattr(error, 'strerror', None) or error}")
        return []
    directives, rest = _block(tokens, 0)
    if rest < len(tokens):
        found.problems.append(f"{path} has a brace too many")
    return _included(directives, folder, found)


def _tokens(text: str) -> Iterator[tuple[str, bool]]:
    """Each word, and whether it is a sign of the syntax."""
    place = 0
    while place < len(text):
        matched = _TOKEN.match(text, place)
        if matched is None:
            raise ValueError(f"character {place} has no meaning")
        place = matched.end()
        sign, double, single, bare = matched.groups()
        if sign:
            yield sign, True
        elif (word := next((one for one in (double, single, bare) if one is not None), None)) is not None:
            yield re.sub(r"\\(.)", r"\1", word), False


def _block(tokens: list[tuple[str, bool]], place: int) -> tuple[list[Directive], int]:
    found: list[Directive] = []
    words: list[str] = []
    while place < len(tokens):
        word, sign = tokens[place]
        place += 1
        if not sign:
            words.append(word)
        elif word == "}":
            return found, place
        else:
            made = Directive(words[0] if words else "", words[1:])
            if word == "{":
                made.block, place = _block(tokens, place)
            if made.name:
                found.append(made)
            words = []
    return found, place


def _included(directives: list[Directive], folder: Path, found: Parsed) -> list[Directive]:
    """The directives with every include replaced by what the files hold; patterns are relative to the main file."""
    whole: list[Directive] = []
    for directive in directives:
        directive.block = _included(directive.block, folder, found)
        if directive.name != "include" or not directive.args:
            whole.append(directive)
            continue
        pattern = directive.args[0]
        files = _matching(folder, pattern)
        if not files and not any(sign in pattern for sign in "*?["):
            found.problems.append(f"{pattern} is included and not there")
        for path in files:
            whole += _file(path, folder, found)
    return whole


def _matching(folder: Path, pattern: str) -> list[Path]:
    path = Path(pattern)
    base, inside = (Path(path.anchor), str(path.relative_to(path.anchor))) if path.is_absolute() else (folder, pattern)
    return sorted(base.glob(inside))
