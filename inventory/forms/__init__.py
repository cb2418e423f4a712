"""Shapes of what people type."""

from __future__ import annotations

from django import forms

from inventory.models import Note, SavedView
from operations.forms import Instant


class ReloadForm(forms.Form):
    """Why, and whether to look at the plan first."""

    reason = forms.CharField(max_length=1000, required=False, label="Reason", help_text="What the others should know.")
    draft = forms.BooleanField(
        required=False, initial=True, label="Show me the plan first", help_text="It then waits until you confirm it."
    )


class ApplyCatalogForm(forms.Form):
    """The digest of the difference that was read."""

    expected = forms.CharField(max_length=64, widget=forms.HiddenInput)


class WaiveForm(forms.Form):
    """Until which day a finding is let be, and why."""

    until = forms.DateField(
        label="Until", widget=forms.DateInput({"type": "date"}), help_text="The last day, a year ahead at most."
    )
    reason = forms.CharField(max_length=1000, label="Why", widget=forms.Textarea({"rows": 3}))


class ReasonForm(forms.Form):
    """Why something was decided so."""

    reason = forms.CharField(max_length=1000, required=False, label="Why", widget=forms.Textarea({"rows": 3}))


class ExemptForm(forms.Form):
    """Until when a drift is allowed, and why."""

    until = Instant(label="Until", help_text="UTC. After that it is open again; it holds for what is seen now.")
    reason = forms.CharField(max_length=1000, label="Why", widget=forms.Textarea({"rows": 3}))


class SaveViewForm(forms.Form):
    """The list, what its address asks for, and how to call that."""

    place = forms.CharField(max_length=64, widget=forms.HiddenInput)
    query = forms.CharField(max_length=2000, required=False, widget=forms.HiddenInput)
    name = forms.CharField(max_length=80)


class SavedViewForm(forms.ModelForm):
    """How a view is called, and who finds it."""

    class Meta:
        model = SavedView
        fields = ("name", "shared", "first")
        labels = {"shared": "Show it to everybody", "first": "Open the list with it"}
        help_texts = {"shared": "Others see its name and its filters; of the rows they see what they may."}


class NoteForm(forms.Form):
    """What a note says."""

    text = forms.CharField(max_length=10_000, label="Note", widget=forms.Textarea({"rows": 4}))
    kind = forms.ChoiceField(choices=Note.Kind.choices, initial=Note.Kind.INFO)
