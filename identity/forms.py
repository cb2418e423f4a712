"""What people type at the door and on their profile."""

from __future__ import annotations

from datetime import datetime, time
from typing import Any

from django import forms
from django.core.exceptions import ValidationError
from django.db.models import TextChoices
from django.utils import timezone

from identity import matrix, rights
from identity.models import Account, Team
from identity.models.scope import ANY


class SignInForm(forms.Form):
    username = forms.CharField(
        label="Account",
        max_length=64,
        strip=True,
        widget=forms.TextInput(
            attrs={"autocomplete": "username webauthn", "autofocus": True, "autocapitalize": "none"}
        ),
    )
    password = forms.CharField(
        strip=False, max_length=256, widget=forms.PasswordInput(attrs={"autocomplete": "current-password"})
    )


class CodeForm(forms.Form):
    """The six digits of an authenticator app."""

    code = forms.RegexField(
        r"^\s*\d{3}\s?\d{3}\s*$",
        label="One-time code",
        error_messages={"invalid": "A code is six digits."},
        widget=forms.TextInput(attrs={"inputmode": "numeric", "autocomplete": "one-time-code", "autofocus": True}),
    )


class TokenForm(forms.Form):
    label = forms.CharField(label="What it is for", max_length=80)
    days = forms.IntegerField(label="Valid for (days)", min_value=1, max_value=90, initial=30)


class ReasonForm(forms.Form):
    reason = forms.CharField(label="Reason", max_length=500, widget=forms.Textarea(attrs={"rows": 2}))


class BindRoleForm(forms.Form):
    """Who gets which role where, until when. ``cleaned_data`` is what the verb takes."""

    class Kind(TextChoices):
        ACCOUNT = "account", "Account"
        TEAM = "team", "Team"

    holder = forms.ChoiceField(label="Account or team")
    role = forms.ChoiceField()
    environment = forms.SlugField(required=False, help_text="Empty: every environment.")
    service = forms.SlugField(required=False, help_text="Empty: every service.")
    until = forms.DateField(
        required=False,
        label="Until (day, UTC)",
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="Empty: no end.",
    )
    reason = forms.CharField(max_length=500, widget=forms.Textarea(attrs={"rows": 2}))

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        accounts = Account.objects.filter(is_active=True).select_related("person")
        self.fields["holder"].choices = [  # type: ignore[attr-defined]
            *((f"account:{account.pk}", f"{account} ({account.username})") for account in accounts),
            *((f"team:{team.pk}", f"Team {team}") for team in Team.objects.all()),
        ]
        roles = [(slug, facts["label"]) for slug, facts in matrix.load()["roles"].items()]
        self.fields["role"].choices = roles  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if self.errors:
            return given
        kind, _, pk = given["holder"].partition(":")
        holder = (Account if kind == self.Kind.ACCOUNT else Team).objects.get(pk=pk)
        until = given["until"]
        end = datetime.combine(until, time.max, tzinfo=timezone.get_current_timezone()) if until else None
        if until and end and end < timezone.now():
            raise ValidationError({"until": "Choose a day that is still to come."})
        scope = rights.scope_for(given["environment"] or ANY, given["service"] or ANY)
        facts = {"holder": holder, "role": given["role"], "scope": scope, "valid_until": end}
        return {**facts, "reason": given["reason"]}
