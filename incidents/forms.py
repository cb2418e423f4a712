"""What the screens of incidents ask people for."""

from __future__ import annotations

from typing import Any
from zoneinfo import ZoneInfo

from django import forms

from identity.models import Person
from incidents import severity
from incidents.models import ActionItem, Incident, Schedule
from inventory.models import Component, Environment

ACTION_ROWS = 4


def text(label: str, *, required: bool = True, rows: int = 3, limit: int = 20_000, hint: str = "") -> forms.CharField:
    widget = forms.Textarea({"rows": rows})
    return forms.CharField(label=label, required=required, max_length=limit, widget=widget, help_text=hint)


class OpenForm(forms.Form):
    title = forms.CharField(label="What is wrong", max_length=200)
    environment = forms.ModelChoiceField(Environment.objects.none(), to_field_name="slug")
    component = forms.ModelChoiceField(Component.objects.none(), required=False, to_field_name="slug")
    unknown_reason = forms.CharField(label="If the component is not known: why", max_length=300, required=False)
    summary = text("What is seen", required=False)
    impact = forms.TypedChoiceField(
        label="Impact",
        choices=[("", "Not decided yet"), *severity.Impact.choices],
        coerce=int,
        required=False,
        empty_value=None,
    )
    urgency = forms.TypedChoiceField(
        label="Urgency",
        choices=[("", "Not decided yet"), *severity.Urgency.choices],
        coerce=int,
        required=False,
        empty_value=None,
    )

    def __init__(self, *args: Any, reader: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["environment"].queryset = Environment.objects.visible_to(reader, "incidents.open")
        fields["component"].queryset = Component.objects.visible_to(reader, "incidents.open")


class ClassifyForm(forms.Form):
    impact = forms.TypedChoiceField(label="Impact", choices=severity.Impact.choices, coerce=int)
    urgency = forms.TypedChoiceField(label="Urgency", choices=severity.Urgency.choices, coerce=int)
    reason = text("Why", required=False, limit=2000)


class ReclassifyForm(ClassifyForm):
    reason = text("Why", limit=2000)


class NoteForm(forms.Form):
    note = text("A note (may be empty)", required=False, limit=2000)


class OptionalReasonForm(forms.Form):
    reason = text("Why (needed when you take over from somebody)", required=False, limit=2000)


class ReasonForm(forms.Form):
    reason = text("Why", limit=2000)


class MitigateForm(forms.Form):
    mitigation = text(
        "What is done", limit=5000, hint="An action, a step of a runbook, or why observing is enough for now."
    )


class InvestigateForm(forms.Form):
    evidence = text("The impact has ended: how one knows", required=False, limit=5000)
    no_mitigation_reason = text("Or: nothing has helped yet, because", required=False, limit=2000)


class ResolveForm(forms.Form):
    diagnosis = text("What the cause was")
    fix = forms.ChoiceField(label="The fix is", choices=[("permanent", "Permanent"), ("temporary", "Temporary")])
    follow_up = text("Follow-up (needed after a temporary fix)", required=False, limit=5000)
    validation = text("How the restoration was checked")
    evidence = text("How one knows that the impact has ended, if nobody wrote it yet", required=False, limit=5000)


class CloseForm(forms.Form):
    runbooks = text("Which runbooks changed, or why none did", limit=5000)
    ticket = forms.CharField(label="Ticket in the tracker", max_length=200, required=False)
    ticket_waiver = forms.CharField(label="Or: why there is none", max_length=300, required=False)


class CommentForm(forms.Form):
    text = text("Note")


class MergeForm(forms.Form):
    into = forms.ModelChoiceField(Incident.objects.none(), label="Into", to_field_name="reference")
    reason = text("Why they are the same", limit=2000)

    def __init__(self, *args: Any, incident: Incident, reader: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        others = Incident.objects.visible_to(reader, "incidents.merge").working().exclude(pk=incident.pk)
        fields: Any = self.fields
        fields["into"].queryset = others


class PostMortemForm(forms.Form):
    """The texts, and up to ``ACTION_ROWS`` actions; ``cleaned_data`` holds them as the list ``actions``."""

    summary = text("What happened, in a few sentences")
    impact = text("Whom it hit, how badly, for how long", required=False)
    root_cause = text("Why it could happen", required=False)
    went_well = text("What went well", required=False)
    went_poorly = text("What went poorly", required=False)
    no_actions_reason = forms.CharField(label="If nothing follows from it: why", max_length=300, required=False)

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        people = Person.objects.all()
        for row in range(1, ACTION_ROWS + 1):
            self.fields[f"action_{row}"] = forms.CharField(label=f"Action {row}", max_length=200, required=False)
            self.fields[f"kind_{row}"] = forms.ChoiceField(
                label="Kind", choices=ActionItem.Kind.choices, required=False
            )
            self.fields[f"owner_{row}"] = forms.ModelChoiceField(people, label="Owner", required=False)
            due = forms.DateField(label="Due", required=False, widget=forms.DateInput({"type": "date"}))
            self.fields[f"due_{row}"] = due

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        actions = []
        for row in range(1, ACTION_ROWS + 1):
            names = {"title": "action", "kind": "kind", "owner": "owner", "due": "due"}
            action = {key: given.pop(f"{name}_{row}", None) for key, name in names.items()}
            if action["title"] or action["owner"] or action["due"]:
                actions.append(action)
        return {**given, "actions": actions}

    @staticmethod
    def initial_of(incident: Incident) -> dict[str, Any]:
        """What is written already."""
        written = getattr(incident, "post_mortem", None)
        if written is None:
            return {"impact": incident.summary, "root_cause": incident.diagnosis}
        names = ("summary", "impact", "root_cause", "went_well", "went_poorly", "no_actions_reason")
        found = {name: getattr(written, name) for name in names}
        for row, action in enumerate(written.actions.all()[:ACTION_ROWS], 1):
            found |= {f"action_{row}": action.title, f"kind_{row}": action.kind}
            found |= {f"owner_{row}": action.owner_id, f"due_{row}": action.due}
        return found


class OverrideForm(forms.Form):
    """Who stands in, in the schedule's own local time."""

    person = forms.ModelChoiceField(Person.objects.none(), label="Who stands in")
    starts = forms.DateTimeField(label="From", widget=forms.DateTimeInput({"type": "datetime-local"}))
    ends = forms.DateTimeField(label="Until", widget=forms.DateTimeInput({"type": "datetime-local"}))
    reason = forms.CharField(label="Why", max_length=300, required=False)

    def __init__(self, *args: Any, schedule: Schedule, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        fields: Any = self.fields
        fields["person"].queryset = Person.objects.filter(accounts__teams=schedule.team).distinct()
        self.zone = ZoneInfo(schedule.time_zone)
        for name in ("starts", "ends"):
            self.fields[name].help_text = f"Local time in {schedule.time_zone}."

    def clean(self) -> dict[str, Any]:
        """Read the times as local to the schedule. One that the clocks skip or show twice is asked for again."""
        given = super().clean() or {}
        for name in ("starts", "ends"):
            if given.get(name):
                # The form has read it as UTC; only the wall-clock reading is what the person meant.
                wall = given[name].replace(tzinfo=None)
                first, second = wall.replace(tzinfo=self.zone), wall.replace(tzinfo=self.zone, fold=1)
                if first.utcoffset() != second.utcoffset():
                    self.add_error(name, "The clocks change at this time here. Choose a time before or after it.")
                given[name] = first
        return given
