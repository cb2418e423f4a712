"""What happened to one thing, newest first, worded by its lifecycle."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from portal import lifecycle
from portal.lifecycle import Tone
from portal.models import Event
from portal.prepared import prepared

PAGE_SIZE = 50
_IRREGULAR = {"apply": "applied", "bind": "bound", "step": "stepped", "unbind": "unbound", "write": "wrote"}


@dataclass(frozen=True)
class Entry:
    """One event in words: who, did what (``past``), why, and what changed."""

    event: Event
    past: str
    tone: Tone
    own: bool

    @property
    def changes(self) -> list[tuple[str, Any, Any]]:
        before, after = self.event.before, self.event.after
        names = [name for name in {**before, **after} if before.get(name) != after.get(name)]
        return [(name.replace("_", " "), before.get(name), after.get(name)) for name in names]


@dataclass(frozen=True)
class Timeline:
    entries: list[Entry]
    page: int
    more: bool


def timeline(obj: Any, viewer: Any = None, page: int = 1) -> Timeline:
    """The events of ``obj``, 50 a page, one query. Whoever may see ``obj`` may see what happened to it."""
    start = (page - 1) * PAGE_SIZE
    noun, key = obj._meta.label_lower, str(obj.pk)
    found = list(_events(noun, key)[start : start + PAGE_SIZE + 1]) if start else _newest(noun, key)
    viewer_id = getattr(viewer, "pk", None)
    return Timeline([entry(event, viewer_id) for event in found[:PAGE_SIZE]], page, len(found) > PAGE_SIZE)


def _events(noun: str, key: str) -> QuerySet[Event]:
    return Event.objects.filter(subject_type=noun, subject_id=key)


@prepared
def _newest(noun: str, key: str) -> QuerySet[Event]:
    return _events(noun, key)[: PAGE_SIZE + 1]


def entry(event: Event, viewer_id: Any = None) -> Entry:
    """An event in the words of its noun's lifecycle, or of its verb's own name."""
    verb = event.verb.rpartition(".")[2]
    machine = getattr(_model(event.subject_type), "lifecycle", None) or lifecycle.registry.get(event.subject_type)
    declared = (*machine.transitions, *machine.beside) if machine else ()
    move = next((m for m in declared if m.name in (verb, verb.replace("_", "-"))), None)
    own = event.actor_id is not None and event.actor_id == viewer_id
    if move is None or machine is None:
        return Entry(event, past(verb), Tone.NEUTRAL, own)
    return Entry(event, move.past, machine.state(move.target).tone if move.target else move.tone, own)


def past(verb: str) -> str:
    """``change_health`` as “changed health”: the words of a verb that no lifecycle declares."""
    word, *rest = verb.split("_")
    ending = "d" if word.endswith("e") else "ed"
    return " ".join((_IRREGULAR.get(word) or word + ending, *rest))


def _model(label: str) -> Any:
    from django.apps import apps

    try:
        return apps.get_model(label)
    except (LookupError, ValueError):
        return None
