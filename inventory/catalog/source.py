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
from typing import Any

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


@dataclass
class Document:
    """One file: its content as plain values, and the line of each place in it (a path of keys and positions)."""

    file: str
    content: dict[str, Any] = field(default_factory=dict)
    lines: dict[Path_, int] = field(default_factory=dict)

    def line(self, path: Path_) -> int:
        """The line of ``path``, or of the nearest place around it that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


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
    try:
        _refuse_tricks(text)
        root = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        raise broken(error) from None
    if root is None:
        return
    if not isinstance(root, yaml.MappingNode):
        raise Refusal(root.start_mark.line + 1, "The file must be a mapping of sections.")
    document.content = _value(root, (), document, problems)


def broken(error: yaml.YAMLError) -> Refusal:
    """Where and why a text is not YAML."""
    if isinstance(error, yaml.MarkedYAMLError):
        mark = error.problem_mark or error.context_mark
        return Refusal(mark.line + 1 if mark else 1, f"This is not YAML: {error.problem or error.context}.")
    return Refusal(1, f"This is not YAML: {str(error).splitlines()[0]}.")


def _refuse_tricks(text: str) -> None:
    """Walk the events first: composing would already unfold aliases and recurse into deep nesting."""
    for _ in guarded(text):
        pass


def guarded(text: str) -> Iterator[Any]:
    """The events of a YAML text. Raises ``Refusal`` at an anchor, alias, tag, second document or deep nesting."""
    documents = depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        assert event.start_mark is not None
        line = event.start_mark.line + 1
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None):
            raise Refusal(line, "Anchors and aliases (& and *) are not allowed; write the value out.")
        if getattr(event, "tag", None):
            raise Refusal(line, "Tags (!) are not allowed.")
        if isinstance(event, yaml.DocumentStartEvent):
            documents += 1
            if documents > 1:
                raise Refusal(line, "A file holds one document only.")
        if isinstance(event, yaml.CollectionStartEvent):
            depth += 1
            if depth > MAX_DEPTH:
                raise Refusal(line, f"The nesting is deeper than {MAX_DEPTH} levels.")
        elif isinstance(event, yaml.CollectionEndEvent):
            depth -= 1
        yield event


_RESOLVER = _Loader("")


def plain(event: Any) -> Any:
    """The value of a scalar's event. Raises ``Refusal`` for one that nothing can hold."""
    tag = _RESOLVER.resolve(yaml.ScalarNode, event.value, event.implicit)
    problems: list[Problem] = []
    value = _scalar(yaml.ScalarNode(tag, event.value, event.start_mark), Document(""), problems)
    if problems:
        raise Refusal(problems[0].line, problems[0].sentence)
    return value


def _value(node: Any, path: Path_, document: Document, problems: list[Problem]) -> Any:
    document.lines.setdefault(path, node.start_mark.line + 1)
    if isinstance(node, yaml.MappingNode):
        return _mapping(node, path, document, problems)
    if isinstance(node, yaml.SequenceNode):
        return [_value(item, (*path, place), document, problems) for place, item in enumerate(node.value)]
    return _scalar(node, document, problems)


def _mapping(node: Any, path: Path_, document: Document, problems: list[Problem]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            problems.append(Problem(document.file, line, "A key must be plain text."))
            continue
        name = key.value.replace("\x00", "\ufffd")
        if name in found:
            first = document.lines[(*path, name)]
            problems.append(Problem(document.file, line, f"“{name}” is here twice; first in line {first}."))
            continue
        document.lines[(*path, name)] = line
        found[name] = _value(value, (*path, name), document, problems)
    return found


def _scalar(node: Any, document: Document, problems: list[Problem]) -> Any:
    kind = node.tag.rsplit(":", 1)[-1]
    if "\x00" in node.value:
        problems.append(Problem(document.file, node.start_mark.line + 1, "Text must not hold the character NUL."))
        return ""
    try:
        if kind == "int":
            return int(node.value.replace("_", ""), 0)
        if kind == "float":
            return _finite(node.value)
    except ValueError:
        sentence = f"The number {node.value[:40]} must be written in plain decimal digits; quote it if it is text."
        problems.append(Problem(document.file, node.start_mark.line + 1, sentence))
        return None
    if kind == "bool":
        # YAML 1.1 reads yes, no, on and off as truth values; nobody who writes a country code expects that.
        return node.value.lower() == "true" if node.value.lower() in ("true", "false") else node.value
    return None if kind == "null" else node.value


def _finite(text: str) -> float:
    # JSON, and so the database, has no infinity and no "not a number".
    if not math.isfinite(value := float(text.replace("_", ""))):
        raise ValueError(text)
    # The database keeps 1e23 as the whole number that it says; as a float it would never be equal to that again.
    return value if abs(value) < _EXACT else int(Decimal(text.replace("_", "")))
