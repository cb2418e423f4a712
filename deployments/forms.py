"""What the screens ask for."""

from django import forms

from deployments.models import Artifact
from inventory.models import Environment


class ApproveForm(forms.Form):
    note = forms.CharField(required=False, max_length=2000, widget=forms.Textarea(attrs={"rows": 3}))


class ReasonForm(forms.Form):
    reason = forms.CharField(max_length=2000, widget=forms.Textarea(attrs={"rows": 3}))


class RequestForm(forms.Form):
    """Which environment an artifact goes to next."""

    environment = forms.ModelChoiceField(queryset=Environment.objects.none(), to_field_name="slug", empty_label=None)

    def __init__(self, *args: object, artifact: Artifact, **kwargs: object) -> None:
        super().__init__(*args, **kwargs)
        places = Environment.objects.filter(components__service=artifact.service, components__kind="app").distinct()
        self.fields["environment"].queryset = places
