"""What people type when they ask for access or decide on it."""

from __future__ import annotations

from typing import Any

from django import forms

from access import queries
from access.models import AccessRequest

PRESETS = [(30, "30 minutes"), (60, "1 hour"), (120, "2 hours"), (240, "4 hours"), (480, "8 hours")]


class RequestForm(forms.Form):
    """Which service where, for how long, why. ``cleaned_data`` is what the verb takes."""

    service = forms.ChoiceField()
    environment = forms.ChoiceField()
    minutes = forms.TypedChoiceField(label="For how long", choices=PRESETS, coerce=int, initial=60)
    wanted_from = forms.DateTimeField(
        required=False,
        label="From (UTC)",
        help_text="Empty: from the moment somebody agrees.",
        widget=forms.DateTimeInput(attrs={"type": "datetime-local"}, format="%Y-%m-%dT%H:%M"),
        input_formats=["%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"],
    )
    reason = forms.CharField(
        min_length=10,
        max_length=2000,
        help_text="What you are going to do, and because of what.",
        widget=forms.Textarea(attrs={"rows": 3}),
    )

    def __init__(self, *args: Any, account: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        for name, offered in queries.choices(account).items():
            self.fields[name].choices = offered  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if self.errors:
            return given
        scope = queries.scope_named(given.pop("environment"), given.pop("service"))
        return {**given, "scope": scope}


class ApproveForm(forms.Form):
    minutes = forms.IntegerField(
        label="For how many minutes", min_value=5, help_text="May be shortened, never widened."
    )
    note = forms.CharField(required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 2}))
    content_hash = forms.CharField(widget=forms.HiddenInput, max_length=64)

    def __init__(self, *args: Any, asked: AccessRequest, initial: dict[str, Any] | None = None, **kwargs: Any) -> None:
        start = {"minutes": asked.minutes, "content_hash": asked.content_hash, **(initial or {})}
        super().__init__(*args, **{**kwargs, "initial": start})
        self.fields["minutes"].widget.attrs["max"] = asked.minutes


class DenyForm(forms.Form):
    note = forms.CharField(label="Why", max_length=2000, widget=forms.Textarea(attrs={"rows": 2}))


class RevokeForm(forms.Form):
    reason = forms.CharField(label="Why", max_length=2000, widget=forms.Textarea(attrs={"rows": 2}))


class ExtendForm(forms.Form):
    minutes = forms.TypedChoiceField(
        label="For how long, from the approval on", choices=PRESETS, coerce=int, initial=60
    )
    reason = forms.CharField(min_length=10, max_length=2000, widget=forms.Textarea(attrs={"rows": 3}))
