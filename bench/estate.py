"""An estate of any size that is the same on every machine: 20 data centers, 8 kinds, 10 teams, 100 services, 12 tags.

``record(number)`` is one component of it, plain values only, so that it can be made in every system that is measured.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from uuid_utils.compat import uuid7

CENTERS = [f"dc{number:02}" for number in range(1, 21)]
ROLES = {
    "web": "edge", "app": "app", "db": "database", "cache": "cache",
    "queue": "queue", "lb": "load_balancer", "k8s": "process_manager", "bastion": "monitor",
}  # fmt: skip
"""The first word of a name, and the kind of component it is."""
TEAMS = [f"team-{number:02}" for number in range(1, 11)]
TAGS = ["prod", "stage", "dev", "pci", "gdpr", "edge", "legacy", "blue", "green", "critical", "spare", "lab"]
STATES = ["active", "active", "active", "active", "planned", "retiring", "retired"]
ENVIRONMENTS = ["production", "production", "production", "staging"]
LINKS_EACH = 3
MANY = 20_000
WORD = 0xFFFFFFFF


def mix(number: int, salt: int) -> int:
    """A 32-bit number that looks drawn and is always the same."""
    value = (number * 2654435761 + salt * 40503) & WORD
    value = ((value ^ (value >> 15)) * 2246822519) & WORD
    return value ^ (value >> 13)


def drawn(values: Any, number: int, salt: int) -> Any:
    return list(values)[mix(number, salt) % len(values)]


def record(number: int) -> dict[str, Any]:
    """The component of that number (from 1): names, no keys of any system."""
    center, role, team = drawn(CENTERS, number, 1), drawn(ROLES, number, 2), drawn(TEAMS, number, 4)
    tag = mix(number, 5) % len(TAGS)
    environment = drawn(ENVIRONMENTS, number, 9)
    name = f"{role}-{center}-{number:06}"
    return {
        "slug": f"{environment}/{center}/{name}", "name": name, "kind": ROLES[role], "role": role,
        "environment": environment, "data_center": center, "service": f"{team}-{mix(number, 3) % 10}", "team": team,
        "tags": [TAGS[tag], TAGS[(tag + 1 + mix(number, 6) % (len(TAGS) - 1)) % len(TAGS)]],
        "status": drawn(STATES, number, 7), "external_id": f"SN{number:08}", "software": role,
        "version": f"1.{mix(number, 8) % 40}", "description": f"inventory object number {number}",
        "custom": {"tier": 1 + mix(number, 8) % 4},
    }  # fmt: skip


def links(number: int) -> list[int]:
    """What the component of that number needs: components of its environment with smaller numbers."""
    own = record(number)["environment"]
    found: dict[int, None] = {}
    for salt in range(20, 20 + 8 * LINKS_EACH):
        other = 1 + mix(number, salt) % max(1, number - 1)
        if other != number and record(other)["environment"] == own:
            found[other] = None
        if len(found) == LINKS_EACH:
            break
    return list(found)


def frame() -> dict[str, dict[str, Any]]:
    """Everything components point at, made where it is missing: rows by slug, scopes by (environment, service)."""
    from identity import rights
    from inventory.models import DataCenter, Environment, Service
    from tests import world

    for slug in TEAMS:
        world.team(slug)
    centers = {slug: DataCenter.objects.get_or_create(slug=slug, defaults={"name": slug, "role": "primary"})[0]
               for slug in CENTERS}  # fmt: skip
    environments = {slug: Environment.objects.get_or_create(slug=slug, defaults={"name": slug, "kind": slug})[0]
                    for slug in set(ENVIRONMENTS)}  # fmt: skip
    teams = {slug: world.team(slug) for slug in TEAMS}
    services = {}
    for slug in (f"{team}-{number}" for team in TEAMS for number in range(10)):
        facts = {"name": slug, "tier": 1 + int(slug[-1]) % 4, "owner": teams[slug.rpartition("-")[0]]}
        services[slug] = Service.objects.get_or_create(slug=slug, defaults=facts)[0]
    scopes = {(where, what): rights.scope_for(where, what) for where in environments for what in services}
    return {"data_center": centers, "environment": environments, "service": services, "scope": scopes}


def fill(upto: int) -> None:
    """Bring the estate to ``upto`` components with their dependencies by COPY: seconds for 100,000."""
    from django.db import transaction

    from inventory.models import Component, Dependency

    with transaction.atomic():
        points = frame()
    begin = Component.objects.count()
    ids = dict(enumerate(Component.objects.order_by("external_id").values_list("pk", flat=True), 1))
    ids |= {number: uuid7() for number in range(begin + 1, upto + 1)}
    for first in range(begin + 1, upto + 1, MANY):
        numbers = range(first, min(first + MANY, upto + 1))
        _copy(Component, (_component(ids[number], record(number), points) for number in numbers))
        _copy(Dependency, (row for number in numbers for row in _links(number, ids)))


def _component(key: Any, facts: dict[str, Any], points: dict[str, dict[str, Any]]) -> dict[str, Any]:
    import json

    plain = ("slug", "name", "kind", "tags", "status", "external_id", "software", "version", "description")
    pointers = {f"{name}_id": points[name][facts[name]].pk for name in ("environment", "data_center", "service")}
    scope = points["scope"][facts["environment"], facts["service"]].pk
    rest = {"endpoint": "", "connection": "", "classification": "", "provenance": "", "attributes": "{}"}
    return {"id": key, "declared_by": "", "scope_id": scope, "custom": json.dumps(facts["custom"]), **rest, **pointers,
            **{name: facts[name] for name in plain}}  # fmt: skip


def _links(number: int, ids: dict[int, Any]) -> Iterator[dict[str, Any]]:
    for place, other in enumerate(links(number)):
        yield {"id": uuid7(), "declared_by": "", "source_id": ids[number], "target_id": ids[other],
               "kind": "soft" if place == 2 else "hard", "relation": "uses", "group": "", "protocol": "tcp",
               "mode": "sync", "description": ""}  # fmt: skip


def _copy(model: Any, rows: Iterator[dict[str, Any]]) -> None:
    from django.db import connection
    from psycopg import sql

    with connection.cursor() as cursor:
        first = next(rows, None)
        if first is None:
            return
        columns = sql.SQL(",").join(map(sql.Identifier, first))
        statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(model._meta.db_table), columns)
        with cursor.copy(statement) as copy:
            copy.write_row(list(first.values()))
            for row in rows:
                copy.write_row(list(row.values()))
