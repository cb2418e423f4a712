"""Journal notes on what there is: written once, never changed; taken back, they say so."""

from __future__ import annotations

from django.db import transaction

from inventory.models import Declared, Note
from portal import clock, events
from portal.errors import Conflict, Denied, Invalid
from portal.lifecycle import Actor, authorize

NOTE = "inventory.note"
LONGEST = 10_000


@transaction.atomic
def note(obj: Declared, *, by: Actor, text: str, kind: str = Note.Kind.INFO) -> Declared:
    """Write a note on ``obj``. ``by`` must hold ``inventory.note`` on its scope (or anywhere, if it has none)."""
    authorize(by, NOTE, obj)
    problems = {}
    if not text.strip() or len(text) > LONGEST or "\x00" in text:
        problems["text"] = [f"A note has 1 to {LONGEST:,} characters."]
    if kind not in Note.Kind.values:
        problems["kind"] = [f"A note is one of {', '.join(Note.Kind.values)}."]
    if problems:
        raise Invalid("The note cannot be kept.", fields=problems)
    scope = getattr(obj, "scope_id", None)
    Note.objects.create(noun=obj.noun, object_id=obj.pk, scope_id=scope, kind=kind, text=text.strip(), author_id=by.pk)
    events.record(NOTE, obj, by=by, reason=text.strip()[:200], after={"kind": kind})
    return obj


@transaction.atomic
def retract_note(note: Note, *, by: Actor, subject: Declared) -> Declared:
    """Take a note back; only who wrote it can. Its text stays, struck through. ``subject`` is what it is about."""
    authorize(by, NOTE, subject)
    if note.author_id != by.pk:
        raise Denied("Only whoever wrote a note can take it back.")
    if not Note.objects.filter(pk=note.pk, retracted_at=None).update(retracted_at=clock.now()):
        raise Conflict("The note was taken back before.")
    events.record("inventory.retract_note", subject, by=by, before={"note": note.text[:200]})
    return subject
