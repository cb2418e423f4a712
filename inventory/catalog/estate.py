"""A whole catalog, checked: every name resolves, environments are kept apart, hard dependencies have no cycle."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from inventory.catalog import shape, source
from inventory.catalog.source import CatalogInvalid, Document, Problem
from inventory.models import Dependency

Rows = dict[str, dict[str, Any]]
SECTIONS = ("teams", "data_centers", "environments", "services", "components", "dependencies")
MAX_CYCLES = 20


@dataclass
class Estate:
    """What a catalog declares, by section and key. Keys of components read ``environment/data-center/name``.

    ``dependencies`` maps source → target → kind. ``places`` says where each row stands, for messages.
    """

    catalog: str
    teams: Rows = field(default_factory=dict)
    data_centers: Rows = field(default_factory=dict)
    environments: Rows = field(default_factory=dict)
    services: Rows = field(default_factory=dict)
    components: Rows = field(default_factory=dict)
    dependencies: dict[str, dict[str, str]] = field(default_factory=dict)
    places: dict[tuple[str, ...], tuple[str, int]] = field(default_factory=dict, repr=False)

    def problem(self, where: tuple[str, ...], sentence: str) -> Problem:
        """``sentence`` about the row or field at ``where`` (section, key, …)."""
        while where and where not in self.places:
            where = where[:-1]
        file, line = self.places.get(where, (self.catalog, 0))
        return Problem(file, line, sentence)


def load(folder: Path | str) -> Estate:
    """The estate declared in ``folder``. Raises ``CatalogInvalid`` with every problem of every file."""
    folder = Path(folder)
    documents, problems = source.read(folder)
    for document in documents:
        problems += shape.check(document)
    estate, doubled = _merge(documents, folder.resolve().name)
    problems += doubled
    if not problems:
        # References are judged only when every file could be read: a broken file would make all of them dangle.
        problems += [*_references(estate), *_isolation(estate), *_cycles(estate)]
    if problems:
        raise CatalogInvalid(problems)
    return estate


def _merge(documents: Iterable[Document], name: str) -> tuple[Estate, list[Problem]]:
    estate = Estate(name)
    problems: list[Problem] = []
    named: tuple[str, int] | None = None
    for document in documents:
        for path, line in document.lines.items():
            if len(path) > 1:
                estate.places.setdefault(tuple(map(str, path)), (document.file, line))
        own = document.content.get("catalog")
        if isinstance(own, str):
            if named and own != estate.catalog:
                sentence = f"The catalog is called “{estate.catalog}” in {named[0]}:{named[1]}."
                problems.append(Problem(document.file, document.line(("catalog",)), sentence))
            named = named or (document.file, document.line(("catalog",)))
            estate.catalog = own if named[0] == document.file else estate.catalog
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
            file, line = estate.places[section, key]
            sentence = f"“{key}” is declared twice; first in {file}:{line}."
            yield Problem(document.file, document.line((section, key)), sentence)
        else:
            known[key] = row


def _references(estate: Estate) -> Iterator[Problem]:
    for key, row in estate.services.items():
        if row["owner"] not in estate.teams:
            yield estate.problem(("services", key, "owner"), f"There is no team “{row['owner']}”.")
    for reserved in estate.data_centers.keys() & shape.EVERYWHERE.keys():
        yield estate.problem(("data_centers", reserved), f"“{reserved}” is reserved: it {shape.EVERYWHERE[reserved]}.")
    for key, row in estate.components.items():
        environment, center, _ = key.split("/")
        here = ("components", key)
        if environment not in estate.environments:
            yield estate.problem(here, f"There is no environment “{environment}”.")
        if center not in estate.data_centers and center not in shape.EVERYWHERE:
            yield estate.problem(here, f"There is no data center “{center}”.")
        if row["service"] not in estate.services:
            yield estate.problem((*here, "service"), f"There is no service “{row['service']}”.")
    for origin, targets in estate.dependencies.items():
        for name in [origin, *targets]:
            if name not in estate.components:
                where = ("dependencies", origin) if name == origin else ("dependencies", origin, name)
                yield estate.problem(where, f"There is no component “{name}”.")


def _environment(key: str) -> str:
    return key.split("/", 1)[0]


def _isolation(estate: Estate) -> Iterator[Problem]:
    """Environments are kept apart: no component reaches into another environment."""
    seen: dict[str, dict[str, str]] = {"connection": {}, "endpoint": {}}
    for key, row in estate.components.items():
        wanted = _environment(key)
        connection = row.get("connection")
        if connection and _environment(connection) != wanted:
            sentence = f"A component of {wanted} must not point at {_environment(connection)} (“{connection}”)."
            yield estate.problem(("components", key, "connection"), sentence)
        for name, users in seen.items():
            if value := row.get(name):
                other = users.setdefault(value, key)
                if _environment(other) != wanted:
                    sentence = f"A component of {wanted} must not use the {name} of “{other}”."
                    yield estate.problem(("components", key, name), sentence)
    for origin, targets in estate.dependencies.items():
        for target in targets:
            if _environment(target) != _environment(origin):
                sentence = f"A component of {_environment(origin)} must not depend on {_environment(target)}."
                yield estate.problem(("dependencies", origin, target), sentence)


def _cycles(estate: Estate) -> Iterator[Problem]:
    """Each cycle of hard dependencies once; one of its links is then left out to find the next."""
    graph: dict[str, set[str]] = defaultdict(set)
    for origin, targets in estate.dependencies.items():
        graph[origin] = {target for target, kind in targets.items() if kind == Dependency.Kind.HARD}
    for _ in range(MAX_CYCLES):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            # graphlib lists each component before the one that needs it; turned round it reads “needs”.
            cycle = error.args[1][::-1]
            sentence = f"These need each other, so none could start: {' → '.join(cycle)}."
            yield estate.problem(("dependencies", cycle[0], cycle[1]), sentence)
            graph[cycle[0]].discard(cycle[1])
        else:
            return
