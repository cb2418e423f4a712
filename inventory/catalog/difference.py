"""An estate compared with the database: what would be created, changed and removed.

Stored rows are read once per noun, streamed, and only what differs is kept. That goes through the checks of
``inventory.writing``, so that a catalog can do nothing which could not be done by hand.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.db.models import Q
from uuid_utils.compat import uuid7

from identity.models import Team
from inventory.catalog import standing
from inventory.catalog.estate import Estate
from inventory.catalog.nouns import NOUNS, ORDER, TEAM, Noun
from inventory.catalog.shape import said
from inventory.catalog.source import Problem
from inventory.writing import Batch, Change, check
from inventory.writing.batch import Beside, Target
from inventory.writing.declarations import ARROW, HASH
from portal.events import SYSTEM

CREATE, CHANGE, REMOVE = "create", "change", "remove"


@dataclass(frozen=True)
class Difference:
    """Every change that would make the database equal to the catalog, and why it cannot be made (if so).

    ``denied``: (action, where) that the actor lacks. ``batches`` and ``teams`` are the changes, ready to be stored.
    """

    catalog: str
    changes: tuple[Change, ...]
    problems: tuple[Problem, ...] = ()
    denied: frozenset[tuple[str, str]] = frozenset()
    batches: tuple[Batch, ...] = field(default=(), compare=False, repr=False)
    teams: tuple[Team, ...] = field(default=(), compare=False, repr=False)

    def __bool__(self) -> bool:
        return bool(self.changes)

    @property
    def counts(self) -> dict[str, int]:
        """How many rows would be created, changed and removed."""
        acts = {"created": CREATE, "changed": CHANGE, "removed": REMOVE}
        return {name: sum(change.act == act for change in self.changes) for name, act in acts.items()}

    @property
    def by_noun(self) -> dict[str, dict[str, int]]:
        """Noun → act → how many, for what changes at all."""
        found: dict[str, dict[str, int]] = {}
        for change in self.changes:
            acts = found.setdefault(change.noun, {CREATE: 0, CHANGE: 0, REMOVE: 0})
            acts[change.act] += 1
        return {noun: found[noun] for noun in ORDER if noun in found}

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
        whole = hashlib.sha256(self.catalog.encode())
        for change in self.changes:
            facts = [change.act, change.noun, change.key, change.fields]
            whole.update(b"\0" + json.dumps(facts, sort_keys=True, separators=(",", ":")).encode())
        return whole.hexdigest()[:16]


def compare(estate: Estate, *, by: Any = SYSTEM, lock: bool = False) -> Difference:
    """What ``inventory.actions.apply_catalog`` would do, by ``by``. Reads only; a refusal is told, not raised.

    ``lock``: keep the rows that differ as they are until the transaction ends.
    """
    comparison = _Comparison(estate, by, lock)
    for noun in NOUNS.values():
        comparison.look(noun)
    for noun in reversed(NOUNS.values()):
        comparison.remove(noun)
    return comparison.difference


class _Comparison:
    """Noun by noun: whatever differs goes through the checks of the write path, new rows before what points at them."""

    def __init__(self, estate: Estate, by: Any, lock: bool) -> None:
        self.estate = estate
        self.how: dict[str, Any] = {"by": by, "lock": lock, "catalog": estate.catalog}
        self.problems: list[Problem] = []
        self.missing = standing.missing(estate)
        for name, keys in self.missing.items():
            for key in keys:
                sentence = f"There is no {name} “{key}”, neither here nor in {', '.join(estate.relies_on)}."
                self.problems.append(estate.problem(estate.foreign[name][key], sentence))
        self.changes: list[Change] = []
        self.batches: list[Batch] = []
        self.teams: list[Team] = []
        self.beside: Beside = {}
        self.renamed: standing.Renamed = {}
        self.gone: dict[str, list[Any]] = {}

    @property
    def difference(self) -> Difference:
        denied = frozenset(pair for batch in self.batches for pair in batch.denied)
        problems = tuple(sorted(self.problems))
        return Difference(
            self.estate.catalog, tuple(self.changes), problems, denied, tuple(self.batches), tuple(self.teams)
        )

    def look(self, noun: Noun) -> None:
        """Find what is new, changed or no longer declared."""
        known, catalog = noun.declaration, self.estate.catalog
        wanted = {known.label_of(values): (where, values) for where, values in self.estate.rows(noun)}
        stored: dict[str, Any] = {}
        same: set[str] = set()
        absent: dict[str, tuple[Any, dict[str, Any]]] = {}
        for pk, key, fields in standing.read(noun, self._asked(noun, wanted), self.renamed):
            if key in wanted and fields == wanted[key][1]:
                same.add(key)
            elif key in wanted:
                stored[key] = pk
            elif fields.get("declared_by") == catalog:
                absent[key] = (pk, fields)
        rows = {key: row for key, row in wanted.items() if key not in same}
        if moved := _moved(noun, absent, {key: values for key, (_, values) in rows.items() if key not in stored}):
            self.renamed[known.noun] = {old: key for key, old in moved.items()}
            stored |= {key: absent.pop(old)[0] for key, old in moved.items()}
        self.gone[noun.name] = [absent[key][0] for key in sorted(absent)]
        if rows and known is TEAM:
            self._teams(rows, stored)
        elif rows:
            given = [{"id": stored[key], **values} if key in stored else values for key, (_, values) in rows.items()]
            self._write(noun, given, [where for where, _ in rows.values()])

    def _asked(self, noun: Noun, wanted: Iterable[str]) -> Any:
        first = noun.paths[noun.declaration.key[0]]
        keys = sorted({key.partition(HASH)[0].partition(ARROW)[0] for key in wanted})
        own = Q(declared_by=self.estate.catalog) if "declared_by" in noun.paths else Q(pk=None)
        return noun.declaration.model._default_manager.filter(own | Q(**{f"{first}__among": keys})).order_by()

    def _write(self, noun: Noun, given: list[dict[str, Any]], places: list[tuple[str, ...]]) -> None:
        batch = check(noun.declaration.noun, given, mode="upsert", beside=self.beside, **self.how)
        for mistake in batch.mistakes:
            reference = noun.declaration.references.get(mistake.field)
            named = given[mistake.index].get(mistake.field)
            if reference and named in self.missing.get(reference.noun.replace("-", " "), ()):
                continue
            where = (*places[mistake.index], *mistake.field.split("."))
            self.problems.append(self.estate.problem(where, said(where[-1], mistake.sentence)))
        self.batches.append(batch)
        self.changes += batch.changes
        known = self.beside.setdefault(noun.declaration.noun, {})
        for row in batch.rows:
            if slug := row.given.get("slug"):
                before = row.current or {}
                known[slug] = Target(row.id or uuid7(), slug, row.values.get("environment_id"), before.get("scope_id"))

    def _teams(self, rows: dict[str, Any], stored: dict[str, Any]) -> None:
        """Teams belong to no catalog and have no history, so that the write path does not know them."""
        names = dict(Team.objects.filter(slug__in=stored).values_list("slug", "name"))
        self.teams = [
            Team(pk=stored.get(slug) or uuid7(), slug=slug, name=row["name"]) for slug, (_, row) in rows.items()
        ]
        for team in self.teams:
            fields = (("name", names.get(team.slug), team.name),)
            self.changes.append(Change(CHANGE if team.slug in names else CREATE, "team", team.slug, fields))
        self.beside["team"] = {team.slug: Target(team.pk, team.slug) for team in self.teams}

    def remove(self, noun: Noun) -> None:
        """A row may go only when nothing that stays points at it; rows that are parts of it go with it."""
        if not (given := [{"id": pk} for pk in self.gone[noun.name]]):
            return
        adopted = [row.id for batch in self.batches for row in batch.acting("change") if row.id]
        batch = check(noun.declaration.noun, given, mode="remove", settled=adopted, **self.how)
        sentences = [f"The {noun.name} {mistake.sentence}" for mistake in batch.mistakes]
        self.problems += [Problem(self.estate.catalog, 0, sentence) for sentence in sentences]
        self.batches.append(batch)
        self.changes += batch.changes


def _moved(noun: Noun, absent: dict[str, Any], new: dict[str, dict[str, Any]]) -> dict[str, str]:
    """New key → old key of rows that their provider calls the same: renamed, not removed and made again."""
    if "external_id" not in noun.fields:
        return {}
    known = {fields["external_id"]: key for key, (_, fields) in absent.items() if fields["external_id"]}
    return {key: known[name] for key in sorted(new) if (name := new[key]["external_id"]) in known}
