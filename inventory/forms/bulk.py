"""The form of a change of many things at once."""

from __future__ import annotations

from typing import Any

from django import forms

from inventory.forms.nouns import Tags, fields_of
from inventory.models import Declared
from inventory.writing import declaration

SINGLE = {"slug", "name", "attributes", "custom", "external_id", "address", "tags", "source", "target", "component"}
"""Fields that many things never share."""


class BulkForm(forms.Form):
    """Which fields to set, and to what; fields that are not ticked stay as they are."""

    def __init__(self, noun: str, data: Any = None) -> None:
        super().__init__(data)
        self.known = declaration(noun)
        made = {name: field for name, field in fields_of(self.known).items() if name not in SINGLE}
        choices = [(name, field.label) for name, field in made.items()]
        self.fields["set"] = forms.MultipleChoiceField(choices=choices, required=False, label="Set")
        for name, field in made.items():
            field.required = False
            self.fields[name] = field
        if "tags" in self.known.fields:
            self.fields["add_tags"] = Tags(required=False, help_text="Words, with spaces or commas between them.")
            self.fields["remove_tags"] = Tags(required=False)
        self.fields["reason"] = forms.CharField(
            max_length=1000, required=False, help_text="What the others should know."
        )

    @property
    def pairs(self) -> list[tuple[Any, bool]]:
        """Each field that can be set, and whether it is ticked."""
        ticked = self.data.getlist("set") if self.is_bound else []  # type: ignore[attr-defined]
        return [(self[name], name in ticked) for name, _ in self.fields["set"].choices]  # type: ignore[attr-defined]

    @property
    def others(self) -> list[Any]:
        """Fields that need no tick."""
        return [self[name] for name in ("add_tags", "remove_tags", "reason") if name in self.fields]

    def rows(self, things: list[Declared]) -> list[dict[str, Any]]:
        """What the writing engine takes for ``things``."""
        given = self.cleaned_data
        common: dict[str, Any] = {}
        for name in given["set"]:
            reference = self.known.references.get(name)
            common[name] = (given[name] or None) if reference and not reference.required else given[name]
        added, taken = given.get("add_tags", []), given.get("remove_tags", [])
        rows = []
        for thing in things:
            row: dict[str, Any] = {"id": thing.pk, "revision": thing.revision, **common}
            if added or taken:
                row["tags"] = [tag for tag in dict.fromkeys([*thing.tags, *added]) if tag not in taken]  # type: ignore[attr-defined]
            rows.append(row)
        return rows
