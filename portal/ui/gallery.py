"""The gallery: each shared component in each state, as a page of sections. Nothing in it touches a row."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django import forms
from django.http import HttpRequest

from portal import clock, lifecycle
from portal.errors import Conflict, Invalid
from portal.lifecycle import Availability, State, Tone, Transition
from portal.models import Event
from portal.ui.columns import Column, Label
from portal.ui.table import Table
from portal.ui.timeline import Entry, Timeline

SECTIONS = {"tones": "Tones", "lists": "Lists", "details": "Details", "actions": "Actions", "states": "States"}
LONG = "a name that goes on for much longer than anybody would think wise " * 3
TONES = list(Tone)


class SampleForm(forms.Form):
    """One field of each kind."""

    severity = forms.ChoiceField(choices=[("sev1", "SEV1: users cannot work"), ("sev2", "SEV2: degraded")])
    note = forms.CharField(widget=forms.Textarea(attrs={"rows": 3}), help_text="What you saw, in a sentence or two.")
    minutes = forms.IntegerField(min_value=15, max_value=240, initial=60, help_text="From 15 to 240 minutes.")
    urgent = forms.BooleanField(required=False, label="Page the second line at once")


def gallery_context(request: HttpRequest) -> dict[str, Any]:
    """What ``gallery.html`` shows of ``?section=…``. Raises ``Invalid`` for a section that is not there."""
    section = request.GET.get("section", "tones")
    if section not in SECTIONS:
        raise Invalid(f"The gallery has no section “{section}”. Sections: {', '.join(SECTIONS)}.")
    return {"title": "Gallery", "section": section, "sections": SECTIONS, **globals()[f"_{section}"](request)}


def _tones(request: HttpRequest) -> dict[str, Any]:
    return {"tones": TONES, "lifecycles": lifecycle.registry.values(), "long": LONG}


def _lists(request: HttpRequest) -> dict[str, Any]:
    columns = [
        Column("name", "Name", link="#{name}".format_map),
        Column("state", "State", kind="badge"),
        Column("at", "Seen", kind="instant"),
        Column("version", "Version", kind="code", minor=True),
        Column("size", "Requests/min", kind="number"),
    ]

    def rows(count: int) -> list[dict[str, Any]]:
        return [
            {
                "name": LONG if count == 3 and n == 1 else f"production/us-central/sample-{n:04}",
                "state": Label(TONES[n % 6].title(), TONES[n % 6]),
                "at": clock.now() - timedelta(minutes=7 * n) if n % 9 else None,
                "version": f"1.{n}.0",
                "size": n * 37 % 991,
            }
            for n in range(count)
        ]

    def table(count: int, name: str, **facts: Any) -> Table:
        return Table(request, rows(count), columns, order="name", name=name, caption=f"{count} rows", **facts)

    empty = "No incident is open. When a signal arrives, or somebody opens one, it stands here."
    return {
        "many": table(1000, "table", search=("name", "version"), page_size=20),
        "one": table(1, "one"),
        "three": table(3, "three"),
        "none": table(0, "none", empty=empty),
    }


def _details(request: HttpRequest) -> dict[str, Any]:
    at = clock.now() - timedelta(minutes=4)
    facts = [
        ("Service", "Billing"),
        ("State", Label("Degraded", Tone.WARN), "badge"),
        ("Since", at, "instant"),
        ("Version", "4.12.0", "code"),
        ("Owner", None),
        ("Endpoint", "https://billing.example.org/a/very/long/path/that/has/to/break/somewhere?and=a&query=too"),
    ]
    words = ("reopened", "closed", "mitigated", "acknowledged", "noted something", "opened")
    entries = [
        Entry(
            Event(actor_label="Operations owner", at=at - timedelta(hours=n), reason=LONG if n == 1 else ""),
            past,
            TONES[n],
            own=n == 2,
        )
        for n, past in enumerate(words)
    ]
    entries[3].event.before, entries[3].event.after = (
        {"severity": "SEV2", "owner": None},
        {"severity": "SEV1", "owner": "on-call"},
    )
    waves = [12, 14, 13, 18, 22, None, None, 16, 15, 15, 31, 28, 19, 14]
    timeline = Timeline(entries, page=1, more=True)
    return {"facts": facts, "timeline": timeline, "waves": waves, "flat": [3, 3, 3], "nothing": [], "tones": TONES}


def _actions(request: HttpRequest) -> dict[str, Any]:
    def move(label: str, reason: str = "", tone: Tone = Tone.NEUTRAL, **facts: Any) -> tuple[Availability, str]:
        return Availability(Transition(label.lower(), (), "", "", label, "", tone=tone, **facts), reason), "#"

    buttons = [
        move("Acknowledge"),
        move("Add note"),
        move("Discard", tone=Tone.BAD),
        move("Close", "The post-mortem is not written."),
    ]
    refusal = Conflict("It cannot be closed yet.", ["The post-mortem is not written.", "A step has no owner.", LONG])
    return {
        "buttons": buttons,
        "form": SampleForm(),
        "refused_form": SampleForm(
            {"severity": "sev9", "minutes": "600", "note": "<b>not markup</b>"}, auto_id="refused_%s"
        ),
        "error": refusal,
        "obj": "Incident 7 · Billing answers slowly",
        "target": State("closed", "Closed", Tone.MUTED, "Over, written up, and nothing is left to do."),
        "transition": move("Close", second_person=True, step_up=True)[0].transition,
    }


def _states(request: HttpRequest) -> dict[str, Any]:
    return {
        "messages_shown": [
            (tone, f"A message of the kind “{tone}”.") for tone in ("success", "info", "warning", "error")
        ]
    }
