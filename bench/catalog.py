"""A catalog of 100,000 components: reading its files, comparing them, making them true, and doing so again.

Everything runs in this process, as in one command: its processor time and its largest memory are the command's. The
database is a PostgreSQL of its own with its default durability.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from typing import Any

from bench.import_csv import Largest, Measurement
from bench.stage import stage
from bench.table import show

COMPONENTS, LINKS, A_FILE = 100_000, 3, 20_000
HEAD = """\
catalog: large
teams: {core: {name: Core}}
data_centers: {us-central: {name: US Central, role: primary}}
environments: {production: {name: Production, kind: production}}
services:
"""


def main(options: argparse.Namespace) -> None:
    size = (getattr(options, "size", None) or [COMPONENTS])[0]
    with stage() as it:
        rows = Measured(it, size).rows
    head = ("step", "rows", "s", "rows/s", "app CPU s", "database CPU s", "largest MB")
    show(f"Catalog of {size:,} components, {LINKS} links each", head, rows)


class Measured(Measurement):
    """Each step once, in the order in which people take them."""

    def __init__(self, it: Any, size: int) -> None:
        from inventory.actions.catalog import apply_catalog
        from inventory.catalog import compare, read
        from portal.events import SYSTEM

        super().__init__(it)
        self.size, self.rows = size, list[tuple[object, ...]]()
        given = list(files(size, "1.0"))
        estate = self.step(f"read {sum(len(data) for _, data in given) / 2**20:.1f} MB", lambda: read(given, "large"))
        self.step("compare, all new", lambda: compare(estate).counts)
        self.step("apply, all new", lambda: apply_catalog(estate, by=SYSTEM).counts)
        self.step("apply, all as they are", lambda: apply_catalog(estate, by=SYSTEM).counts)
        other = read(files(size, "1.1"), "large")
        self.step("apply, one field of each", lambda: apply_catalog(other, by=SYSTEM).counts)
        none = read([("head.yaml", HEAD.encode() + b"  s0: {name: S, tier: 1, owner: core}\n")], "large")
        self.step("apply, all removed", lambda: apply_catalog(none, by=SYSTEM).counts)

    def step(self, name: str, do: Callable[[], Any]) -> Any:
        largest = Largest()
        found, *spent = self._timed(do)
        count = self.size * (1 + LINKS)
        self.rows.append((name, count, spent[0], int(count / spent[0]), *spent[1:], largest.stop()))
        print(self.rows[-1], found if isinstance(found, dict) else "", flush=True)
        return found


def files(size: int, version: str) -> Iterator[tuple[str, bytes]]:
    """The estate in files of ``A_FILE`` components, and as many for their dependencies."""
    services = "".join(f"  s{number}: {{name: S{number}, tier: 1, owner: core}}\n" for number in range(100))
    yield "head.yaml", (HEAD + services).encode()
    for start in range(0, size, A_FILE):
        numbers = range(start, min(size, start + A_FILE))
        yield f"c{start:07}.yaml", ("components:\n" + "".join(_component(each, version) for each in numbers)).encode()
        yield f"d{start:07}.yaml", ("dependencies:\n" + "".join(_links(each, size) for each in numbers)).encode()


def _component(number: int, version: str) -> str:
    return (
        f"  production/us-central/c{number}:\n"
        f"    {{name: C{number}, kind: database, service: s{number % 100}, software: MySQL, version: '{version}',\n"
        f"     classification: internal, tags: [a, b], attributes: {{role: primary, encrypted: true}},\n"
        f"     custom: {{rack: {number}}}}}\n"
    )


def _links(number: int, size: int) -> str:
    targets = [f"    production/us-central/c{(number + step) % size}: soft\n" for step in range(1, LINKS + 1)]
    return f"  production/us-central/c{number}:\n{''.join(targets)}"
