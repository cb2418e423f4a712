"""YAML files as plain values, each remembered with its file and line.

Only composes: no object is ever constructed from a tag. Aliases, anchors, tags and several documents are refused,
so that a small file cannot unfold into a large one.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path
from typing import Any, NamedTuple

import yaml

from portal.errors import Invalid

MAX_FILES = 200
MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_FOLDER_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 12
_EXACT = 2**53
_Loader: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
Path_ = tuple[str | int, ...]
Files = Iterable[tuple[str, bytes | str]]
"""Names and contents of files, in order. Text in the place of bytes says why a file cannot be read."""
SUFFIXES = (".yaml", ".yml")


@dataclass(frozen=True, order=True)
class Problem:
    """What is wrong, and where: ``file:line: sentence``."""

    file: str
    line: int
    sentence: str

    def __str__(self) -> str:
        return f"{self.file}:{self.line}: {self.sentence}" if self.line else f"{self.file}: {self.sentence}"


class CatalogInvalid(Invalid):
    """The catalog cannot be used. ``found`` holds every problem; nothing was changed."""

    title = "Catalog refused"

    def __init__(self, found: list[Problem]) -> None:
        self.found = sorted(set(found))
        count = f"{len(self.found)} problems" if len(self.found) != 1 else "1 problem"
        super().__init__(f"The catalog has {count}. Nothing was changed.", [str(problem) for problem in self.found])


class Lines(NamedTuple):
    """The line of a mapping or list, and of what is in it by key or position: of a plain value only the number."""

    line: int
    inner: dict[str, Lines | int] | list[Lines | int]


@dataclass
class Document:
    """One file: its content as plain values, and the lines of all places in it."""

    file: str
    content: dict[str, Any] = field(default_factory=dict)
    lines: Lines = field(default_factory=lambda: Lines(1, {}))

    def line(self, path: Path_) -> int:
        """The line of ``path`` (keys and positions), or of the nearest place around it that has one."""
        at: Lines | int = self.lines
        for step in path:
            try:
                at = at.inner[step]  # type: ignore[union-attr,index]
            except (AttributeError, LookupError, TypeError):
                break
        return at.line if isinstance(at, Lines) else at


class Refusal(Exception):
    """Why a text is not taken, and the line."""

    def __init__(self, line: int, sentence: str) -> None:
        super().__init__(sentence)
        self.line, self.sentence = line, sentence


def read(files: Files) -> tuple[list[Document], list[Problem]]:
    """Each of ``files`` as plain values, and what cannot be read as YAML."""
    documents: list[Document] = []
    problems: list[Problem] = []
    total = 0
    for name, data in files:
        document = Document(name)
        try:
            text = _text(data, MAX_FOLDER_BYTES - total)
            total += len(data)
            _fill(document, text, problems)
        except Refusal as error:
            problems.append(Problem(name, error.line, error.sentence))
        else:
            documents.append(document)
    return documents, problems


def files(folder: Path) -> Iterator[tuple[str, bytes | str]]:
    """Every ``*.yaml`` file of ``folder`` (not of folders below it)."""
    if not folder.is_dir():
        raise CatalogInvalid([Problem(str(folder), 0, "There is no such folder.")])
    found = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES)
    if not found:
        raise CatalogInvalid([Problem(str(folder), 0, "There is no .yaml file in this folder.")])
    if len(found) > MAX_FILES:
        raise CatalogInvalid([Problem(str(folder), 0, f"There are more than {MAX_FILES} files in this folder.")])
    return ((path.name, _bytes(path)) for path in found)


def _bytes(path: Path) -> bytes | str:
    # A link could lead out of the folder to any file of the server.
    if path.is_symlink() or not path.is_file():
        return "This is not a regular file."
    try:
        with path.open("rb") as handle:
            return handle.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        return f"The file cannot be read: {error.strerror}."


def _text(data: bytes | str, left: int) -> str:
    if isinstance(data, str):
        raise Refusal(0, data)
    if len(data) > MAX_FILE_BYTES:
        raise Refusal(0, f"The file is larger than {MAX_FILE_BYTES // 1024} KiB.")
    if len(data) > left:
        raise Refusal(0, f"The folder holds more than {MAX_FOLDER_BYTES // 1024} KiB in all.")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        raise Refusal(data[: error.start].count(b"\n") + 1, "The file is not UTF-8 text.") from None


def _fill(document: Document, text: str, problems: list[Problem]) -> None:
    found = _Values(guarded(text))
    try:
        root = next(found.events, None)
        if root is None:
            return
        if type(root) is not yaml.MappingStartEvent:
            raise Refusal(_line(root), "The file must be a mapping of sections.")
        document.content, document.lines = found.take(root)
        for _ in found.events:  # a second document is refused
            pass
    except yaml.YAMLError as error:
        raise broken(error) from None
    problems += [Problem(document.file, line, sentence) for line, sentence in found.wrong]


def broken(error: yaml.YAMLError) -> Refusal:
    """Where and why a text is not YAML."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        return Refusal(mark.line + 1 if mark else 1, f"This is not YAML: {error.problem or error.context}.")
    return Refusal(1, f"This is not YAML: {str(error).splitlines()[0]}.")


def guarded(text: str) -> Iterator[Any]:
    """The events of all nodes of a YAML text: nothing is ever composed, so nothing unfolds or recurses.

    Raises ``Refusal`` at an anchor, alias, tag, second document or deep nesting.
    """
    documents = depth = 0
    loader = _Loader(text)
    try:
        while (event := loader.get_event()) is not None:
            kind = type(event)
            if kind is yaml.ScalarEvent and not event.anchor and not event.tag:
                yield event
                continue
            if kind is yaml.AliasEvent or getattr(event, "anchor", None):
                raise Refusal(_line(event), "Anchors and aliases (& and *) are not allowed; write the value out.")
            if getattr(event, "tag", None):
                raise Refusal(_line(event), "Tags (!) are not allowed.")
            if kind is yaml.DocumentStartEvent:
                documents += 1
                if documents > 1:
                    raise Refusal(_line(event), "A file holds one document only.")
            elif kind in _STARTS:
                depth += 1
                if depth > MAX_DEPTH:
                    raise Refusal(_line(event), f"The nesting is deeper than {MAX_DEPTH} levels.")
            elif kind in _ENDS:
                depth -= 1
            if kind not in _STREAM:
                yield event
    finally:
        loader.dispose()


_STARTS = {yaml.MappingStartEvent, yaml.SequenceStartEvent}
_ENDS = {yaml.MappingEndEvent, yaml.SequenceEndEvent}
_STREAM = {yaml.StreamStartEvent, yaml.StreamEndEvent, yaml.DocumentStartEvent, yaml.DocumentEndEvent}


def _line(event: Any) -> int:
    return int(event.start_mark.line) + 1


class _Values:
    """Values and lines out of events, in one pass. ``wrong``: (line, sentence) of what nothing can hold."""

    def __init__(self, events: Iterator[Any]) -> None:
        self.events = events
        self.wrong: list[tuple[int, str]] = []

    def take(self, event: Any) -> tuple[Any, Any]:
        """The value that begins with ``event``, and its lines."""
        kind = type(event)
        if kind is yaml.MappingStartEvent:
            return self._mapping(event)
        if kind is yaml.SequenceStartEvent:
            items = []
            while type(each := next(self.events)) is not yaml.SequenceEndEvent:
                items.append(self.take(each))
            return [value for value, _ in items], Lines(_line(event), [lines for _, lines in items])
        try:
            return plain(event), _line(event)
        except Refusal as refusal:
            self.wrong.append((refusal.line, refusal.sentence))
            return None, refusal.line

    def _mapping(self, start: Any) -> tuple[dict[str, Any], Lines]:
        found: dict[str, Any] = {}
        lines: dict[str, Lines | int] = {}
        while type(key := next(self.events)) is not yaml.MappingEndEvent:
            line = _line(key)
            if type(key) is not yaml.ScalarEvent:
                self.wrong.append((line, "A key must be plain text."))
                self.take(key)
                self.take(next(self.events))
                continue
            name = key.value.replace("\x00", "\ufffd")
            value, inner = self.take(next(self.events))
            if name in found:
                first = at.line if isinstance(at := lines[name], Lines) else at
                self.wrong.append((line, f"“{name}” is here twice; first in line {first}."))
                continue
            found[name] = value
            # A row is where its key stands.
            lines[name] = Lines(line, inner.inner) if type(inner) is Lines else line
        return found, Lines(_line(start), lines)


def _kind(event: Any) -> str:
    """What a scalar is by YAML 1.1: the last word of its tag. What stands in quotes is text."""
    if event.implicit[0]:
        for tag, fits in _IMPLICIT.get(event.value[:1], ()):
            if fits.match(event.value):
                return str(tag).rsplit(":", 1)[-1]
    return "str"


_IMPLICIT: dict[str, Any] = _Loader.yaml_implicit_resolvers


def plain(event: Any) -> Any:
    """The value of a scalar's event. Raises ``Refusal`` for one that nothing can hold."""
    text, kind = event.value, _kind(event)
    if "\x00" in text:
        raise Refusal(_line(event), "Text must not hold the character NUL.")
    try:
        if kind == "int":
            return int(text.replace("_", ""), 0)
        if kind == "float":
            return _finite(text)
    except ValueError:
        sentence = f"The number {text[:40]} must be written in plain decimal digits; quote it if it is text."
        raise Refusal(_line(event), sentence) from None
    if kind == "bool":
        # YAML 1.1 reads yes, no, on and off as truth values; nobody who writes a country code expects that.
        return text.lower() == "true" if text.lower() in ("true", "false") else text
    return None if kind == "null" else text


def _finite(text: str) -> float:
    # JSON, and so the database, has no infinity and no "not a number".
    if not math.isfinite(value := float(text.replace("_", ""))):
        raise ValueError(text)
    # The database keeps 1e23 as the whole number that it says; as a float it would never be equal to that again.
    return value if abs(value) < _EXACT else int(Decimal(text.replace("_", "")))
