"""The rows of a file against the estate, part by part: what is wrong, what would change, and a digest of all of it."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec
from uuid_utils.compat import uuid7

from inventory.importing.reading import Reading
from inventory.importing.rows import Row
from inventory.importing.suggesting import Suggestions
from inventory.models import Environment
from inventory.writing import Batch, Mode, check
from inventory.writing.batch import Beside, Target

NOTHING_THERE = "There is no "


class Changed(NamedTuple):
    """What becomes of one row: ``act`` create or change, ``fields`` (name, before, after) as JSON."""

    line: int
    act: str
    key: str
    fields: bytes


class Examination:
    """One comparison of a ``Reading`` with the estate. ``counts`` and ``digest`` are complete when it has ended."""

    def __init__(self, reading: Reading, *, mode: Mode, by: Any, lock: bool = False) -> None:
        self.reading, self.mode, self.by, self.lock = reading, mode, by, lock
        self.known = reading.columns.declaration
        self.counts: Counter[str] = Counter()
        self.denied: set[tuple[str, str]] = set()
        self._hash = hashlib.sha256()
        self._suggestions = Suggestions(self.known, by)

    @property
    def digest(self) -> str:
        """Stands for exactly these changes."""
        return self._hash.hexdigest()

    def parts(self) -> Iterator[tuple[Batch, list[Changed]]]:
        """Each part checked, with what it changes. Whoever writes it does so before he asks for the next."""
        beside = self._beside()
        for rows in self.reading.parts():
            given = self._given(rows)
            batch = check(self.known.noun, given, by=self.by, mode=self.mode, lock=self.lock, beside=beside)
            self._note(batch, rows)
            self._note_further(batch, given, rows)
            self.counts["unchanged"] += len(batch.acting("same"))
            acting = zip(batch.acting("create", "change"), batch.changes, strict=True)
            yield batch, [self._changed(row, change, rows) for row, change in acting]

    def _beside(self) -> Beside:
        """Rows of the file that others point at, and that may come after them: each is given its key already."""
        if not self.reading.own or self.mode == "update":
            return {}
        model: Any = self.known.model
        there = model._base_manager.filter(slug__in=self.reading.own).values_list("slug", flat=True)
        environments: dict[Any, Any] = dict(Environment.objects.values_list("slug", "pk"))
        new = self.reading.own.difference(there)
        known = {slug: Target(uuid7(), slug, environments.get(slug.partition("/")[0])) for slug in new}
        return {self.known.noun: known}

    def _given(self, rows: list[Row]) -> list[dict[str, Any]]:
        """The rows as the write path takes them: parts of a field laid over what is stored of it."""
        names = sorted({name for row in rows for name in row.parts})
        if not names:
            return [row.given for row in rows]
        stored = self._stored(rows, names)
        return [{**row.given, **self._laid(row, stored.get(row.given.get("slug"), {}))} for row in rows]

    def _stored(self, rows: list[Row], names: list[str]) -> dict[Any, dict[str, Any]]:
        slugs = [slug for row in rows if isinstance(slug := row.given.get("slug"), str) and "\x00" not in slug]
        model: Any = self.known.model
        found = model._base_manager.filter(slug__among=slugs).order_by("pk").values("slug", *names)
        return {each["slug"]: each for each in (found.select_for_update() if self.lock else found)}

    def _laid(self, row: Row, stored: dict[str, Any]) -> dict[str, Any]:
        laid = {}
        for name, parts in row.parts.items():
            whole = row.given.get(name, stored.get(name) or {})
            if isinstance(whole, dict):
                kept = {part: value for part, value in whole.items() if part not in parts}
                laid[name] = kept | {part: value for part, value in parts.items() if value is not None}
        return laid

    def _note(self, batch: Batch, rows: list[Row]) -> None:
        faults = self.reading.faults
        for action, where in sorted(batch.denied - self.denied):
            faults.add(0, "", f"“{action}” is needed on {where}.")
        self.denied |= batch.denied
        for mistake in sorted(batch.mistakes):
            sentence = mistake.sentence
            if sentence.startswith(NOTHING_THERE):
                sentence += self._suggestions.near(mistake.field, rows[mistake.index].given.get(mistake.field))
            faults.add(rows[mistake.index].line, mistake.field[:80], sentence)

    def _note_further(self, batch: Batch, given: list[dict[str, Any]], rows: list[Row]) -> None:
        """What else is wrong with rows of which something is: they are looked at once more without that."""
        wrong: dict[int, set[str]] = {}
        for mistake in batch.mistakes:
            wrong.setdefault(mistake.index, set()).add(mistake.field.partition(".")[0])
        for names in wrong.values():
            names |= {"attributes"} if "kind" in names else set()
        # Without its key a row is another one; what would be told of that is not true.
        again = [index for index, names in wrong.items() if not names & {"", *self.known.key}]
        if again and len(self.reading.faults.kept) < self.reading.faults.most:
            less = [
                {name: value for name, value in given[index].items() if name not in wrong[index]} for index in again
            ]
            further = check(self.known.noun, less, by=self.by, mode=self.mode, beside=batch.beside)
            self._note(further, [rows[index] for index in again])

    def _changed(self, row: Any, change: Any, rows: list[Row]) -> Changed:
        self.counts[change.act] += 1
        fields = msgspec.json.encode(change.fields)
        self._hash.update(msgspec.json.encode((change.act, change.key)) + fields)
        return Changed(rows[row.index].line, change.act, change.key, fields)
