"""What a file of each noun may hold: its columns explained, and a file to begin with."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from inventory.importing.columns import Column, Columns
from portal.ui.export import csv_lines

PLACE = "production/us-central"
EXAMPLES: dict[str, dict[str, Any]] = {
    "data-center": {"slug": "us-central", "name": "US Central", "role": "primary", "provider": "Example Hosting"},
    "environment": {"slug": "production", "name": "Production", "kind": "production"},
    "network-zone": {"slug": f"{PLACE}/dmz", "name": "DMZ", "exposure": "public", "cidr": "10.0.0.0/16"},
    "server-group": {"slug": f"{PLACE}/web", "service": "api", "least": 2, "most": 6, "tags": "web blue"},
    "server": {"slug": f"{PLACE}/web-1", "service": "api", "kind": "vm", "status": "active", "address": "10.0.0.11"},
    "service": {"slug": "api", "name": "API", "tier": 1, "owner": "platform", "slo": "99.9", "tags": "public"},
    "component": {
        "slug": f"{PLACE}/api", "service": "api", "kind": "app", "status": "active", "version": "2.4.1",
        "endpoint": "10.0.0.11:8080", "tags": "public|node", "attributes.processes": 4, "custom.cost_center": "4711",
    },
    "endpoint": {"component": f"{PLACE}/api", "name": "http", "protocol": "tcp", "port": 8080, "tls": "false"},
    "dependency": {"source": f"{PLACE}/api", "target": f"{PLACE}/cache", "kind": "hard", "relation": "uses"},
}  # fmt: skip
"""One row of each noun, as somebody would write it."""
WORDS = {
    "text": "Text",
    "reference": "Name of another",
    "integer": "Whole number",
    "decimal": "Number",
    "boolean": "true or false",
    "list": "Words, separated by spaces or |",
    "object": "JSON object",
}


class Line(NamedTuple):
    """One column as the guide tells it."""

    name: str
    takes: str
    needed: str
    example: Any
    help: str


def template(noun: str) -> Iterator[str]:
    """A CSV file with the header and one row."""
    example = EXAMPLES[noun]
    known = [name for name in Columns(noun).known if "." not in name]
    names = [name for name in known if name in example or name not in ("attributes", "custom")]
    names += [name for name in example if name not in names]
    return csv_lines([names, [example.get(name, "") for name in names]])


def guide(noun: str) -> list[Line]:
    """Every column, those that tell rows apart first."""
    columns = Columns(noun)
    key = columns.declaration.key
    ordered = sorted(columns.known.values(), key=lambda column: (column.name not in key, bool(column.part)))
    lines = [_line(column, noun, key) for column in ordered]
    if "custom" in columns.known:
        example = EXAMPLES[noun].get("custom.cost_center", "")
        lines.append(Line("custom.<name>", "Text", "", example, "A field of your own; an empty cell takes it away."))
    return lines


def _line(column: Column, noun: str, key: tuple[str, ...]) -> Line:
    needed = "key" if column.name in key else "for new ones" if column.required else ""
    return Line(column.name, _takes(column), needed, EXAMPLES[noun].get(column.name, ""), column.help)


def _takes(column: Column) -> str:
    if column.choices:
        return f"One of {', '.join(column.choices)}"
    word = WORDS[column.type]
    if column.noun:
        return f"{word} {column.noun.replace('-', ' ')} (its slug)"
    if column.bounds and column.bounds[1] < 2**31 - 1:
        return f"{word}, {column.bounds[0]} to {column.bounds[1]}"
    return f"{word}, at most {column.longest} characters" if column.longest else word
