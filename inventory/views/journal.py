"""Screens of notes on what there is, and of what somebody watches."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from inventory import addresses, forms
from inventory.actions import journal, watching
from inventory.history import watched
from inventory.models import NOUNS, Note, Revision, Watch
from portal import ui
from portal.http import go, page
from portal.lifecycle import Tone, Transition

NOTE = Transition("note", (), "", journal.NOTE, "Write a note", "noted", fields=("text", "kind"), tone=Tone.INFO)


@require_http_methods(["GET", "HEAD", "POST"])
def noun_note(request: HttpRequest, noun: str, key: Any) -> HttpResponse:
    """Write a note on one thing."""
    return ui.act(request, addresses.find(noun, key, request.user), NOTE, journal.note, forms.NoteForm)


@require_POST
def note_retract(request: HttpRequest, pk: UUID) -> HttpResponse:
    """Take a note of one's own back."""
    note = get_object_or_404(Note.objects.filter(noun__in=NOUNS), pk=pk)
    subject = get_object_or_404(addresses.rows_of(note.noun, request.user), pk=note.object_id)
    journal.retract_note(note, by=request.user, subject=subject)
    messages.success(request, "The note was taken back.")
    return go(request, subject.get_absolute_url())


@require_POST
def noun_watch(request: HttpRequest, noun: str, key: Any) -> HttpResponse:
    """Watch one thing, or no longer (``stop``)."""
    obj = addresses.find(noun, key, request.user)
    if request.POST.get("stop"):
        watching.unwatch(obj, request.user)
        messages.info(request, f"You no longer watch {addresses.title_of(obj)}.")
    else:
        watching.watch(obj, request.user)
        messages.success(request, f"You watch {addresses.title_of(obj)}: its changes stand under “Watched”.")
    return go(request, obj.get_absolute_url())


@require_safe
def watched_list(request: HttpRequest) -> HttpResponse:
    """What the reader watches, and what changed since they looked."""
    return page(request, "inventory/watched.html", {"title": "Watched", "watched": watched(request.user)})


@require_POST
def watched_see(request: HttpRequest) -> HttpResponse:
    """Everything that changed so far was looked at."""
    newest = Revision.objects.order_by("-id").values_list("id", flat=True).first() or 0
    Watch.objects.filter(account=request.user.pk, seen_revision__lt=newest).update(seen_revision=newest)
    messages.success(request, "Nothing is new any more.")
    return go(request, reverse("watched-list"))
