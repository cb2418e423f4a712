"""An estate compared with the database: what would be created, changed and removed."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from django.db import models

from identity.models import Team
from inventory.catalog.estate import Estate
from inventory.catalog.shape import EVERYWHERE
from inventory.catalog.source import Problem
from inventory.models import Component, DataCenter, Declared, Dependency, Environment, Service

ORDER = ("team", "data center", "environment", "service", "component", "dependency")
"""What is pointed at comes before what points; removal goes the other way."""
MODELS: dict[str, type[models.Model]] = {
    "team": Team,
    "data center": DataCenter,
    "environment": Environment,
    "service": Service,
    "component": Component,
    "dependency": Dependency,
}
_CREATE, _CHANGE, _REMOVE = "create", "change", "remove"


@dataclass(frozen=True)
class Change:
    """One row: ``create``, ``change`` or ``remove``; ``fields`` maps a field to its values before and after."""

    act: str
    noun: str
    key: str
    fields: tuple[tuple[str, Any, Any], ...] = ()


@dataclass(frozen=True)
class Difference:
    """Every change that would make the database equal to the catalog, and why it cannot be made (if so)."""

    catalog: str
    changes: tuple[Change, ...]
    problems: tuple[Problem, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows would be created, changed and removed."""
        acts = {"created": _CREATE, "changed": _CHANGE, "removed": _REMOVE}
        return {name: sum(change.act == act for change in self.changes) for name, act in acts.items()}

    @property
    def summary(self) -> str:
        """The counts as a sentence."""
        if not self.changes:
            return "No difference: everything is as declared."
        counts = self.counts
        return f"{counts['created']} to create, {counts['changed']} to change, {counts['removed']} to remove."

    @property
    def digest(self) -> str:
        """Stands for exactly these changes: what a person has read can be told from what would now be done."""
        facts = [(change.act, change.noun, change.key, change.fields) for change in self.changes]
        return hashlib.sha256(json.dumps([self.catalog, facts], sort_keys=True).encode()).hexdigest()[:16]


def declared(estate: Estate) -> dict[str, dict[str, dict[str, Any]]]:
    """Noun → key → fields, as the catalog wants them."""
    by = {"declared_by": estate.catalog}
    wanted: dict[str, dict[str, dict[str, Any]]] = {
        "team": {key: {"name": row["name"]} for key, row in estate.teams.items()},
        "data center": _filled(estate.data_centers, {"name": "", "provider": "", "region": "", "role": ""}, by),
        "environment": _filled(estate.environments, {"name": "", "kind": "", "description": ""}, by),
        "service": _filled(estate.services, _SERVICE, by),
        "component": {},
        "dependency": {},
    }
    for key, row in _filled(estate.components, _COMPONENT, by).items():
        environment, center, _ = key.split("/")
        where = {"environment": environment, "data_center": None if center in EVERYWHERE else center}
        wanted["component"][key] = row | where
    for origin, targets in estate.dependencies.items():
        for target, kind in targets.items():
            wanted["dependency"][f"{origin} → {target}"] = {"source": origin, "target": target, "kind": kind} | by
    return wanted


_SERVICE = {"name": "", "description": "", "tier": 2, "language": "", "repository": "", "runbook": "", "owner": None}
_COMPONENT = {"name": "", "kind": "", "service": "", "software": "", "version": "", "endpoint": ""}
_COMPONENT |= {"connection": "", "attributes": {}}


def _filled(rows: dict[str, dict[str, Any]], empty: dict[str, Any], more: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {key: {name: row.get(name, value) for name, value in empty.items()} | more for key, row in rows.items()}


def stored() -> dict[str, dict[str, dict[str, Any]]]:
    """The same shape, as the database has it: six queries."""
    own = ("slug", "name", "declared_by")
    found = {
        "team": Team.objects.values("slug", "name"),
        "data center": DataCenter.objects.values(*own, "provider", "region", "role"),
        "environment": Environment.objects.values(*own, "kind", "description"),
        "service": Service.objects.values(*own, *(set(_SERVICE) - {"name", "owner"}), owner_=models.F("owner__slug")),
        "component": Component.objects.values(
            *(*own, "kind", "software", "version", "endpoint", "connection", "attributes"),
            environment_=models.F("environment__slug"),
            data_center_=models.F("data_center__slug"),
            service_=models.F("service__slug"),
        ),
    }
    rows = {noun: {row["slug"]: _row(row) for row in query} for noun, query in found.items()}
    links = Dependency.objects.values(
        "kind", "declared_by", source_=models.F("source__slug"), target_=models.F("target__slug")
    )
    rows["dependency"] = {f"{link['source_']} → {link['target_']}": _row({**link}) for link in links}
    return rows


def _row(values: dict[str, Any]) -> dict[str, Any]:
    # A trailing underscore keeps a joined slug apart from the foreign key column of the same name.
    return {name.rstrip("_"): value for name, value in values.items() if name != "slug"}


def compare(estate: Estate) -> Difference:
    """What ``inventory.actions.apply_catalog`` would do. Reads only; a refusal is in ``problems``, not raised."""
    wanted, present = declared(estate), stored()
    changes: list[Change] = []
    problems: list[Problem] = []
    for noun in ORDER:
        for key, fields in wanted[noun].items():
            before = present[noun].get(key)
            problems += _foreign(estate, noun, key, before)
            changes += _change(noun, key, before, fields)
    removed = {
        noun: [
            key
            for key, fields in present[noun].items()
            if fields.get("declared_by") == estate.catalog and key not in wanted[noun]
        ]
        for noun in reversed(ORDER)
    }
    for noun, keys in removed.items():
        changes += [Change(_REMOVE, noun, key) for key in keys]
    problems += _pointed_at(estate, removed, wanted)
    return Difference(estate.catalog, tuple(changes), tuple(sorted(problems)))


def _change(noun: str, key: str, before: dict[str, Any] | None, after: dict[str, Any]) -> Iterator[Change]:
    if before is None:
        shown = tuple((name, None, value) for name, value in sorted(after.items()) if value not in ("", None, {}))
        yield Change(_CREATE, noun, key, shown)
        return
    fields = tuple((name, before[name], value) for name, value in sorted(after.items()) if before[name] != value)
    if fields:
        yield Change(_CHANGE, noun, key, fields)


def _foreign(estate: Estate, noun: str, key: str, before: dict[str, Any] | None) -> Iterator[Problem]:
    owner = (before or {}).get("declared_by")
    if owner and owner != estate.catalog:
        where = (f"{noun.replace(' ', '_')}s", key) if noun != "dependency" else ("dependencies", *key.split(" → "))
        yield estate.problem(where, f"“{key}” is declared by the catalog “{owner}” already.")


def _pointed_at(estate: Estate, removed: dict[str, list[str]], wanted: dict[str, Any]) -> Iterator[Problem]:
    """A row may go only when nothing that stays points at it; rows that are parts of it go with it."""
    # What is declared will point where the catalog says, which is never at a row that goes.
    settled = {
        MODELS[noun]: set(_rows(noun, [*keys, *wanted[noun]]).values_list("pk", flat=True))
        for noun, keys in removed.items()
        if any(removed.values())
    }
    for noun, keys in removed.items():
        for row in _rows(noun, keys) if keys else ():
            for relation in row._meta.related_objects:
                if count := _staying(row, relation, settled):
                    key = getattr(row, "slug", row)
                    what = f"{count} × {relation.related_model._meta.verbose_name}"
                    sentence = f"The {noun} “{key}” is no longer declared, but still pointed at: {what}."
                    yield Problem(estate.catalog, 0, sentence)


def _rows(noun: str, keys: Iterable[str]) -> models.QuerySet[Any]:
    if noun != "dependency":
        return MODELS[noun]._default_manager.filter(slug__in=keys)
    pairs = models.Q(pk=None)
    for key in keys:
        origin, target = key.split(" → ")
        pairs |= models.Q(source__slug=origin, target__slug=target)
    return Dependency.objects.filter(pairs)


def _staying(row: models.Model, relation: Any, settled: dict[type[models.Model], set[Any]]) -> int:
    related = relation.related_model
    owned = relation.on_delete in (models.CASCADE, models.DB_CASCADE) and not issubclass(related, Declared)
    if owned:
        return 0
    staying = related._base_manager.filter(**{relation.field.name: row.pk}).exclude(pk__in=settled.get(related, ()))
    return int(staying.count())
