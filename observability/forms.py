"""Shapes of what addresses say."""

from __future__ import annotations

from typing import Any

from django import forms

from observability.pictures.neighbours import DIRECTIONS
from portal.errors import Invalid


class Asked(forms.Form):
    """What an address asks for. What it does not say is as ``usual``."""

    usual: dict[str, Any] = {}

    def asked(self) -> dict[str, Any]:
        """The values. Raises ``Invalid`` for what cannot be."""
        if not self.is_valid():
            raise Invalid("There is no such page.", [f"{name}: {text[0]}" for name, text in self.errors.items()])
        return {name: value or self.usual.get(name, value) for name, value in self.cleaned_data.items()}


class ExplorerForm(Asked):
    """Around which component (by slug), how far and in which direction; or which environment."""

    usual = {"direction": "both", "hops": 1}
    focus = forms.CharField(required=False, max_length=200, label="Component")
    environment = forms.SlugField(required=False, max_length=64)
    direction = forms.ChoiceField(required=False, choices=list(DIRECTIONS.items()))
    hops = forms.TypedChoiceField(required=False, choices=[(1, "1 hop"), (2, "2 hops")], coerce=int)


class PageForm(Asked):
    """The number of a page."""

    usual = {"page": 1}
    page = forms.IntegerField(required=False, min_value=1, max_value=10_000)


class ImpactForm(PageForm):
    """Which of the two states is listed, and which way is asked."""

    state = forms.ChoiceField(required=False, choices=[("down", "Down"), ("degraded", "Degraded")])
    direction = forms.ChoiceField(required=False, choices=[("down", "What breaks"), ("up", "What could break it")])
