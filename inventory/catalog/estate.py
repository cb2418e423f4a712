"""A whole catalog, read and merged from its files, and found sound by ``checks``."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from inventory.catalog import checks, shape, source
from inventory.catalog.nouns import SECTIONS, Noun, links
from inventory.catalog.source import CatalogInvalid, Document, Files, Problem

Rows = dict[str, dict[str, Any]]


@dataclass
class Estate:
    """What a catalog declares, by section and key. Keys of what stands somewhere read ``environment/data-center/name``.

    ``dependencies`` maps source → target → kind, or → the fields of the long form. ``relies_on`` names the catalogs
    whose rows this one may name without declaring them; ``foreign`` holds what it does name: noun → key → where.
    ``places`` says which file each row stands in, for messages.
    """

    catalog: str
    relies_on: list[str] = field(default_factory=list)
    teams: Rows = field(default_factory=dict)
    data_centers: Rows = field(default_factory=dict)
    environments: Rows = field(default_factory=dict)
    services: Rows = field(default_factory=dict)
    network_zones: Rows = field(default_factory=dict)
    server_groups: Rows = field(default_factory=dict)
    servers: Rows = field(default_factory=dict)
    components: Rows = field(default_factory=dict)
    dependencies: dict[str, dict[str, Any]] = field(default_factory=dict)
    foreign: dict[str, dict[str, tuple[str, ...]]] = field(default_factory=dict, repr=False)
    places: dict[tuple[str, str], Document] = field(default_factory=dict, repr=False)

    def rows(self, noun: Noun) -> Iterator[tuple[tuple[str, ...], dict[str, Any]]]:
        """Where each row of ``noun`` stands in its file, and all of its values: what is not said has its default."""
        if noun.name == "endpoint":
            for component, row in self.components.items():
                for name, said in row.get("endpoints", {}).items():
                    where = ("components", component, "endpoints", name)
                    yield where, noun.values(said, (component, name), self.catalog)
        elif noun.name == "dependency":
            for source, targets in self.dependencies.items():
                for target, said in links(targets):
                    yield ("dependencies", source, target), noun.values(said, (source, target), self.catalog)
        else:
            for key, row in getattr(self, noun.section).items():
                yield (noun.section, key), noun.values(row, (key,), self.catalog)

    def problem(self, where: tuple[str, ...], sentence: str) -> Problem:
        """``sentence`` about the row or field at ``where`` (section, key, …)."""
        document = self.places.get((where[0], where[1])) if len(where) > 1 else None
        if document is None:
            return Problem(self.catalog, 0, sentence)
        return Problem(document.file, document.line(where), sentence)


def load(folder: Path | str) -> Estate:
    """The estate declared in ``folder``. Raises ``CatalogInvalid`` with every problem of every file."""
    folder = Path(folder)
    return read(source.files(folder), folder.resolve().name)


def read(files: Files, name: str) -> Estate:
    """The estate that ``files`` (file name, its bytes or why there are none) declare.

    Without ``catalog:`` in one of them it is called ``name``. Raises ``CatalogInvalid`` with every problem of each.
    """
    documents, problems = source.read(files)
    for document in documents:
        problems += shape.check(document)
    estate, doubled = _merge(documents, name)
    problems += doubled
    if not problems:
        # References are judged only when every file could be read: a broken file would make all of them dangle.
        problems += checks.check(estate)
    if problems:
        raise CatalogInvalid(problems)
    return estate


def _merge(documents: Iterable[Document], name: str) -> tuple[Estate, list[Problem]]:
    estate = Estate(name)
    problems: list[Problem] = []
    named: tuple[str, int] | None = None
    for document in documents:
        own = document.content.get("catalog")
        if isinstance(own, str):
            if named and own != estate.catalog:
                sentence = f"The catalog is called “{estate.catalog}” in {named[0]}:{named[1]}."
                problems.append(Problem(document.file, document.line(("catalog",)), sentence))
            named = named or (document.file, document.line(("catalog",)))
            estate.catalog = own if named[0] == document.file else estate.catalog
        relied = document.content.get("relies_on")
        estate.relies_on += [name for name in relied if isinstance(name, str)] if isinstance(relied, list) else []
        for section in SECTIONS:
            problems += _take(estate, document, section)
    return estate, problems


def _take(estate: Estate, document: Document, section: str) -> Iterator[Problem]:
    rows = document.content.get(section)
    if not isinstance(rows, dict):
        return  # absent, or of a wrong type, which the shape has complained about
    known: dict[str, Any] = getattr(estate, section)
    for key, row in rows.items():
        if key in known:
            first = estate.places[section, key]
            sentence = f"“{key}” is declared twice; first in {first.file}:{first.line((section, key))}."
            yield Problem(document.file, document.line((section, key)), sentence)
        else:
            known[key] = row
            estate.places[section, key] = document
