"""What the screens ask for."""

from typing import Any

from django import forms

from deployments.models import Artifact
from inventory.models import Environment


class ApproveForm(forms.Form):
    note = forms.CharField(required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 3}))


class ReasonForm(forms.Form):
    reason = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 3}))


class RequestForm(forms.Form):
    """Which environment an artifact goes to next."""

    def __init__(self, *args: Any, artifact: Artifact, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        places = Environment.objects.filter(components__service=artifact.service, components__kind="app").distinct()
        self.fields["environment"] = forms.ModelChoiceField(places, to_field_name="slug", empty_label=None)
