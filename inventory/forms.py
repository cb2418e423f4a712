"""Shapes of what people type."""

from __future__ import annotations

from django import forms


class ReloadForm(forms.Form):
    """Why, and whether to look at the plan first."""

    reason = forms.CharField(max_length=1000, required=False, label="Reason", help_text="What the others should know.")
    draft = forms.BooleanField(
        required=False, initial=True, label="Show me the plan first", help_text="It then waits until you confirm it."
    )


class ApplyCatalogForm(forms.Form):
    """The digest of the difference that was read."""

    expected = forms.CharField(max_length=64, widget=forms.HiddenInput)
