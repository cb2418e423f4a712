"""What no single file shows: every name resolves, environments are kept apart, nothing needs itself."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from inventory.catalog.nouns import NOUNS, Noun, environment_of, links
from inventory.catalog.shape import said
from inventory.catalog.source import Problem
from inventory.models import Dependency
from inventory.writing.places import EVERYWHERE
from inventory.writing.rules import UNIQUE, broken

if TYPE_CHECKING:
    from inventory.catalog.estate import Estate

MAX_CYCLES = 20
Graph = dict[str, set[str]]


def check(estate: Estate) -> Iterator[Problem]:
    """Every problem of the catalog as a whole. Asks no database; what other catalogs declare goes to ``foreign``."""
    yield from _reserved(estate)
    for noun in NOUNS.values():
        yield from _rows(estate, noun)
    yield from _shared(estate)
    yield from _groups(estate)
    hard: Graph = {key: _hard(targets) for key, targets in estate.dependencies.items()}
    yield from _cycles(estate, "dependencies", hard, "These need each other, so none could start: {}.")
    parts: Graph = {key: {row["part_of"]} for key, row in estate.components.items() if row.get("part_of")}
    yield from _cycles(estate, "components", parts, "These are parts of each other: {}.")


def _hard(targets: dict[str, Any]) -> set[str]:
    return {target for target, link in links(targets) if link.get("kind", "hard") == Dependency.Kind.HARD}


def _reserved(estate: Estate) -> Iterator[Problem]:
    for key in estate.data_centers.keys() & EVERYWHERE.keys():
        yield estate.problem(("data_centers", key), f"“{key}” is reserved: it {EVERYWHERE[key]}.")


def _rows(estate: Estate, noun: Noun) -> Iterator[Problem]:
    """What is wrong with each row by itself: names that lead nowhere, broken rules, values that are there twice."""
    known = noun.declaration
    once: dict[str, dict[Any, str]] = {name: {} for name in UNIQUE if name in noun.fields}
    for where, values in estate.rows(noun):
        for name, reference in known.references.items():
            if values[name]:
                # What the key says stands where the row begins.
                place = (*where, name) if name in noun.fields else where[:2] if name == "source" else where
                yield from _named(estate, reference.noun.replace("-", " "), values[name], place)
        for name, sentence in broken(known, values, _at(values)):
            yield estate.problem((*where, *name.split(".")), said(name.rpartition(".")[2], sentence))
        for name, first in once.items():
            if (value := values[name]) and first.setdefault(value, where[1]) != where[1]:
                sentence = f"“{value}” is the {name.replace('_', ' ')} of “{first[value]}” already."
                yield estate.problem((*where, name), sentence)


def _named(estate: Estate, noun: str, key: str, where: tuple[str, ...]) -> Iterator[Problem]:
    declared = getattr(estate, NOUNS[noun].section)
    if key in declared:
        return
    if estate.relies_on:
        estate.foreign.setdefault(noun, {}).setdefault(key, where)
    else:
        elsewhere = "" if declared else " Rows of another catalog may be named when “relies_on” names that one."
        yield estate.problem(where, f"There is no {noun} “{key}”.{elsewhere}")


def _at(values: dict[str, Any]) -> Callable[[str], str | None]:
    """Keys say in which environment something is."""
    return lambda name: environment_of(values[name]) if values[name] else None


def _shared(estate: Estate) -> Iterator[Problem]:
    """Environments are kept apart: nothing is reached the same way from two of them."""
    seen: dict[str, dict[str, str]] = {"connection": {}, "endpoint": {}}
    for key, row in estate.components.items():
        for name, users in seen.items():
            if value := row.get(name):
                other = users.setdefault(value, key)
                if environment_of(other) != environment_of(key):
                    sentence = f"A component of {environment_of(key)} must not use the {name} of “{other}”."
                    yield estate.problem(("components", key, name), sentence)


def _groups(estate: Estate) -> Iterator[Problem]:
    """All redundant dependencies of one group say the same number, and there are enough of them."""
    for origin, targets in estate.dependencies.items():
        members: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for target, link in links(targets):
            if link.get("group") and link.get("needed"):
                members[link["group"]].append((target, link["needed"]))
        for group, found in members.items():
            for target, needed in found:
                number = ("dependencies", origin, target, "needed")
                if needed != found[0][1]:
                    yield estate.problem(number, f"All of the group “{group}” must say the same “needed”.")
                elif needed > len(found):
                    have = f"{len(found)} member{'s' if len(found) > 1 else ''}"
                    yield estate.problem(number, f"The group “{group}” has {have}, so {needed} cannot be needed.")


def _cycles(estate: Estate, section: str, graph: Graph, sentence: str) -> Iterator[Problem]:
    """Each cycle once; one of its links is then left out to find the next."""
    for _ in range(MAX_CYCLES):
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            # graphlib lists each component before the one that needs it; turned round it reads “needs”.
            cycle = error.args[1][::-1]
            # The link stands beside its target; a part names its whole in a field.
            where = (section, cycle[0], cycle[1] if section == "dependencies" else "part_of")
            yield estate.problem(where, sentence.format(" → ".join(cycle)))
            graph[cycle[0]].discard(cycle[1])
        else:
            return
