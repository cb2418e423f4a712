"""What verbs on operations ask a person for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

from django import forms
from django.utils import timezone

from operations.models import ChangeWindow


class Instant(forms.DateTimeField):
    """An instant in UTC, typed through the browser's own picker."""

    widget = forms.DateTimeInput({"type": "datetime-local"}, format="%Y-%m-%dT%H:%M")

    def to_python(self, value: Any) -> datetime | None:
        with timezone.override(UTC):
            return super().to_python(value)


class ReasonForm(forms.Form):
    reason = forms.CharField(required=False, max_length=1000, label="Why", widget=forms.Textarea({"rows": 3}))


class ApproveForm(forms.Form):
    # What the approver has read: an agreement to other steps is refused.
    digest = forms.CharField(max_length=64, widget=forms.HiddenInput)


class WindowForm(forms.Form):
    kind = forms.ChoiceField(choices=ChangeWindow.Kind.choices)
    environment = forms.CharField(max_length=64, initial="production", help_text="An environment, or * for all.")
    service = forms.CharField(max_length=64, initial="*", help_text="A service, or * for all.")
    starts_at = Instant(label="From (UTC)")
    ends_at = Instant(label="Until (UTC)")
    reason = forms.CharField(max_length=500, label="Why", help_text="People who have to wait will read it.")


class OverrideForm(forms.Form):
    reason = forms.CharField(
        max_length=1000,
        label="Why it cannot wait",
        help_text="Kept for good in the audit trail, and read when freezes are reviewed.",
        widget=forms.Textarea({"rows": 3}),
    )


class SettleForm(forms.Form):
    reason = forms.CharField(
        max_length=1000,
        label="What was done by hand",
        help_text="Kept for good in the audit trail.",
        widget=forms.Textarea({"rows": 3}),
    )
