"""Shapes of what people type."""

from __future__ import annotations

from django import forms

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


class ReasonForm(forms.Form):
    """Why something was decided so."""

    reason = forms.CharField(max_length=1000, required=False, label="Why", widget=forms.Textarea({"rows": 3}))


class ExemptForm(forms.Form):
    """Until when a drift is allowed, and why."""

    until = Instant(label="Until", help_text="UTC. After that it is open again; it holds for what is seen now.")
    reason = forms.CharField(max_length=1000, label="Why", widget=forms.Textarea({"rows": 3}))
