"""What no single file shows: every name resolves, environments are kept apart, nothing needs itself."""

from __future__ import annotations

import ipaddress
from collections import defaultdict
from collections.abc import Iterator
from decimal import Decimal
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Any

from inventory.catalog.nouns import EVERYWHERE, NOUNS, environment_of, links, placed
from inventory.catalog.source import Problem
from inventory.models import CROSSING, Dependency

if TYPE_CHECKING:
    from inventory.catalog.estate import Estate

MAX_CYCLES = 20
Graph = dict[str, set[str]]


def check(estate: Estate) -> Iterator[Problem]:
    """Every problem of the catalog as a whole. Asks no database; what other catalogs declare goes to ``foreign``."""
    yield from _references(estate)
    yield from _values(estate)
    yield from _isolation(estate)
    yield from _groups(estate)
    hard: Graph = {key: _hard(targets) for key, targets in estate.dependencies.items()}
    yield from _cycles(estate, "dependencies", hard, "These need each other, so none could start: {}.")
    parts: Graph = {key: {row["part_of"]} for key, row in estate.components.items() if row.get("part_of")}
    yield from _cycles(estate, "components", parts, "These are parts of each other: {}.")


def _hard(targets: dict[str, Any]) -> set[str]:
    return {target for target, link in links(targets) if link.get("kind", "hard") == Dependency.Kind.HARD}


def _references(estate: Estate) -> Iterator[Problem]:
    for reserved in estate.data_centers.keys() & EVERYWHERE.keys():
        yield estate.problem(("data_centers", reserved), f"“{reserved}” is reserved: it {EVERYWHERE[reserved]}.")
    for noun, key, where in _named(estate):
        if key in getattr(estate, NOUNS[noun].section):
            continue
        if estate.relies_on:
            estate.foreign.setdefault(noun, {}).setdefault(key, where)
        else:
            yield estate.problem(where, f"There is no {noun} “{key}”.")


def _named(estate: Estate) -> Iterator[tuple[str, str, tuple[str, ...]]]:
    """Every noun and key that something in the catalog names, and where it does."""
    for noun in NOUNS.values():
        if noun.name in ("endpoint", "dependency"):
            continue
        pointing = [field for field in noun.fields if field.to]
        for key, row in getattr(estate, noun.section).items():
            here = (noun.section, key)
            if noun.placed:
                environment, center = placed(key)
                yield "environment", environment, here
                if center is not None:
                    yield "data center", center, here
            for field in pointing:
                if value := row.get(field.name):
                    yield field.to, value, (*here, field.name)
    for key, row in estate.components.items():
        for name, endpoint in row.get("endpoints", {}).items():
            if zone := endpoint.get("zone"):
                yield "network zone", zone, ("components", key, "endpoints", name, "zone")
    for origin, targets in estate.dependencies.items():
        yield "component", origin, ("dependencies", origin)
        for target in targets:
            yield "component", target, ("dependencies", origin, target)


def _values(estate: Estate) -> Iterator[Problem]:
    """What JSON Schema cannot say about single values."""
    for key, row in estate.services.items():
        exponent = Decimal(str(row.get("slo", 1))).as_tuple().exponent
        if isinstance(exponent, int) and exponent < -3:
            yield estate.problem(("services", key, "slo"), "“slo” has at most three decimal places.")
    for key, row in estate.network_zones.items():
        if row.get("cidr") and not _parses(ipaddress.ip_network, row["cidr"]):
            yield estate.problem(("network_zones", key, "cidr"), f"“{row['cidr']}” must be a network, as 10.0.0.0/16.")
    for key, row in estate.servers.items():
        if row.get("address") and not _parses(ipaddress.ip_address, row["address"]):
            yield estate.problem(("servers", key, "address"), f"“{row['address']}” must be an IP address.")
    for key, row in estate.server_groups.items():
        if (most := row.get("most")) is not None and most < row.get("least", 0):
            yield estate.problem(("server_groups", key, "most"), "“most” must not be less than “least”.")
    for section in ("servers", "components"):
        first: dict[str, str] = {}
        for key, row in getattr(estate, section).items():
            if (name := row.get("external_id")) and first.setdefault(name, key) != key:
                sentence = f"“{name}” is the external id of “{first[name]}” already."
                yield estate.problem((section, key, "external_id"), sentence)


def _parses(reader: Any, value: str) -> bool:
    try:
        reader(value)
    except ValueError:
        return False
    return True


def _isolation(estate: Estate) -> Iterator[Problem]:
    """Environments are kept apart: nothing reaches into another environment."""
    seen: dict[str, dict[str, str]] = {"connection": {}, "endpoint": {}}
    for key, row in estate.components.items():
        wanted = environment_of(key)
        connection = row.get("connection")
        if connection and environment_of(connection) != wanted:
            sentence = f"A component of {wanted} must not point at {environment_of(connection)} (“{connection}”)."
            yield estate.problem(("components", key, "connection"), sentence)
        for name, users in seen.items():
            if value := row.get(name):
                other = users.setdefault(value, key)
                if environment_of(other) != wanted:
                    sentence = f"A component of {wanted} must not use the {name} of “{other}”."
                    yield estate.problem(("components", key, name), sentence)
    for noun, key, where in _named(estate):
        if NOUNS[noun].placed and where[0] != "dependencies" and environment_of(key) != environment_of(where[1]):
            sentence = f"What stands in {environment_of(where[1])} must not name the {noun} “{key}”."
            yield estate.problem(where, sentence)
    for origin, targets in estate.dependencies.items():
        for target, link in links(targets):
            if environment_of(target) != environment_of(origin) and link.get("relation", "uses") not in CROSSING:
                sentence = f"A component of {environment_of(origin)} must not depend on {environment_of(target)}."
                yield estate.problem(("dependencies", origin, target), sentence)


def _groups(estate: Estate) -> Iterator[Problem]:
    """Redundant dependencies have a group, all of one group say the same number, and there are enough of them."""
    for origin, targets in estate.dependencies.items():
        members: dict[str, list[tuple[str, int]]] = defaultdict(list)
        for target, link in links(targets):
            where = ("dependencies", origin, target)
            said = {name for name in ("group", "needed") if link.get(name)}
            if link.get("kind") != Dependency.Kind.REDUNDANT:
                if said:
                    yield estate.problem(where, "Only a redundant dependency has “group” and “needed”.")
            elif len(said) < 2:
                yield estate.problem(where, "A redundant dependency needs “group” and how many of it are “needed”.")
            else:
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
