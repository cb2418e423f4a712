"""The history of one thing, newest first: each revision with what it changed, who did it and why.

A revision holds what was before; what came after is in the next newer one that changed the same field, or in the row.
"""

from __future__ import annotations

import json
from collections import defaultdict
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from django.db import connection

from inventory import kinds
from inventory.history.names import Names
from inventory.models import NOUNS, Revision
from inventory.models.base import KEPT_BY_THE_DATABASE
from portal.errors import Invalid
from portal.models import Event

PAGE_SIZE = 50
UNTOLD = {"id", "scope_id", "created_at", *KEPT_BY_THE_DATABASE}
_LATER = """
    SELECT DISTINCT ON (was.key) was.key, was.value
      FROM inventory_revision revision, jsonb_each(revision.before) was
     WHERE revision.object_id = %s AND revision.id >= %s AND revision.before IS NOT NULL
     ORDER BY was.key, revision.id
"""


@dataclass(frozen=True)
class Change:
    """One field: what it was and what it became, in words."""

    label: str
    before: Any
    after: Any


@dataclass
class Entry:
    """One revision in words."""

    revision: Revision
    changes: list[Change] = field(default_factory=list)
    event: Event | None = None

    @property
    def who(self) -> str:
        return f"by {self.event.actor_label}" if self.event else "outside the portal"


@dataclass(frozen=True)
class History:
    """One page. ``older``: the revision after which the next page begins, or ``None``."""

    entries: list[Entry]
    older: int | None
    newest: bool


def row_of(noun: str, key: UUID) -> dict[str, Any] | None:
    """The row as the history knows rows, or ``None`` when it is gone."""
    table = connection.ops.quote_name(NOUNS[noun]._meta.db_table)
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT to_jsonb(its) FROM {table} its WHERE id = %s", [key])  # noqa: S608 (a table of ours)
        found = cursor.fetchone()
    return _json(found[0]) if found else None


def history(noun: str, key: UUID, reader: Any, *, below: int | None = None) -> History:
    """Revisions of one thing, ``PAGE_SIZE`` a page; ``below`` is the last one of the page before.

    Whoever may see the thing may see its history, where it stood and what it was part of; names of other things stand
    only where ``reader`` may see those.
    Costs the same however many revisions there are: one query for them, one for the events, one for the row, and one
    for each noun that is named.
    """
    rows = Revision.objects.filter(object_id=key).order_by("-id")
    found = list((rows.filter(id__lt=below) if below else rows)[: PAGE_SIZE + 1])
    shown = found[:PAGE_SIZE]
    state = row_of(noun, key) or {}
    if below:
        state |= _later(key, below)
    names = Names(NOUNS[noun], reader)
    names.learn([state, *(revision.before for revision in shown if revision.before)])
    entries = []
    for revision in shown:
        entries.append(Entry(revision, _changes(revision, state, names)))
        state = state | (revision.before or {})
    _add_events(entries)
    return History(entries, shown[-1].id if len(found) > PAGE_SIZE else None, below is None)


def _later(key: UUID, since: int) -> dict[str, Any]:
    """What each field was when the revision ``since`` began, as far as it changed from then on."""
    with connection.cursor() as cursor:
        cursor.execute(_LATER, [key, since])
        return {name: _json(value) for name, value in cursor.fetchall()}


def _json(value: Any) -> Any:
    """Django leaves JSON as text, to be read by each field."""
    return json.loads(value) if isinstance(value, str) else value


def _changes(revision: Revision, state: dict[str, Any], names: Names) -> list[Change]:
    before = revision.before or {}
    if revision.act == Revision.Act.DELETED:
        pairs = [(name, value, None) for name, value in before.items()]
    elif revision.act == Revision.Act.CREATED:
        pairs = [(name, None, value) for name, value in state.items()]
    else:
        pairs = [(name, value, state.get(name)) for name, value in before.items()]
    changes: list[Change] = []
    for name, old, new in pairs:
        if name not in UNTOLD and _said(old) != _said(new):
            changes += _told(names, name, names.say(name, old), names.say(name, new))
    return sorted(changes, key=lambda change: change.label)


def _said(value: Any) -> Any:
    return None if value in ("", [], {}) else value


def _worded(value: Any) -> Any:
    """A value as people read it; ``None`` where nothing was said."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list):
        return ", ".join(map(str, value)) or None
    return json.dumps(value, ensure_ascii=False) if isinstance(value, dict) and value else _said(value)


def _told(names: Names, name: str, old: Any, new: Any) -> list[Change]:
    """A field in words; what is in attributes and custom fields one by one."""
    if name not in ("attributes", "custom"):
        return [Change(names.label(name), _worded(old), _worded(new))]
    was, now = old or {}, new or {}
    titles = {key: shape.get("title", key) for spec in kinds.KINDS.values() for key, shape in spec.attributes.items()}
    inner = [key for key in {**was, **now} if was.get(key) != now.get(key)]
    named = {key: titles.get(key, key) if name == "attributes" else f"Custom: {key}" for key in inner}
    return [Change(named[key], _worded(was.get(key)), _worded(now.get(key))) for key in inner]


def _add_events(entries: list[Entry]) -> None:
    """Who and why: the events of the same transactions; one about the thing itself rather than one about many."""
    by_transaction: dict[int, list[Event]] = defaultdict(list)
    wanted = {entry.revision.transaction for entry in entries}
    for event in Event.objects.filter(transaction__in=wanted).order_by("at", "id"):
        by_transaction[event.transaction or 0].append(event)
    for entry in entries:
        found = by_transaction[entry.revision.transaction]
        own = [event for event in found if event.subject_id == str(entry.revision.object_id)]
        entry.event = next(reversed(own or found), None)


def page_after(text: str) -> int | None:
    """The revision that an address names. Raises ``Invalid`` for what is no number."""
    if text and not (text.isascii() and text.isdigit() and len(text) < 19):
        raise Invalid("This is not the address of a page of a history.")
    return int(text) if text else None
