"""What verbs on operations ask a person for."""

from __future__ import annotations

from django import forms


class ReasonForm(forms.Form):
    reason = forms.CharField(required=False, max_length=1000, label="Why", widget=forms.Textarea({"rows": 3}))


class ApproveForm(forms.Form):
    # What the approver has read: an agreement to other steps is refused.
    digest = forms.CharField(max_length=64, widget=forms.HiddenInput)


class SettleForm(forms.Form):
    reason = forms.CharField(
        max_length=1000,
        label="What was done by hand",
        help_text="Kept for good in the audit trail.",
        widget=forms.Textarea({"rows": 3}),
    )
