"""Shapes of what people say about a file of rows."""

from __future__ import annotations

from typing import Any

from django import forms

from inventory.importing import MOST_BYTES
from inventory.models import NOUNS, Import


class ImportForm(forms.Form):
    """A file of rows, chosen or pasted. Gives ``noun``, ``mode``, ``format``, ``data`` and ``name``."""

    noun = forms.ChoiceField(label="Rows of", initial="component")
    file = forms.FileField(required=False, allow_empty_file=True, help_text="CSV, JSON or YAML; at most 64 MB.")
    text = forms.CharField(
        max_length=1_000_000, required=False, strip=False, label="Or paste the rows", widget=forms.Textarea({"rows": 6})
    )
    mode = forms.ChoiceField(choices=Import.Mode.choices, label="What it may do", initial=Import.Mode.UPSERT)
    format = forms.ChoiceField(choices=[("", "As the file says"), *Import.Format.choices], required=False)

    def __init__(self, *args: Any, **facts: Any) -> None:
        super().__init__(*args, **facts)
        choices = [(noun, noun.replace("-", " ").capitalize()) for noun in NOUNS]
        self.fields["noun"].choices = choices  # type: ignore[attr-defined]

    def clean(self) -> dict[str, Any]:
        found = super().clean() or {}
        file, text = found.pop("file", None), found.pop("text", "")
        if bool(file) == bool(text) and "file" not in self.errors and "text" not in self.errors:
            self.add_error("file", "Choose a file, or paste the rows." if not file else "Choose a file or paste rows.")
        elif file and file.size > MOST_BYTES:
            self.add_error("file", f"A file may have at most {MOST_BYTES // 2**20} MB. Split it.")
        elif file:
            found |= {"data": file.read(), "name": file.name}
        else:
            found |= {"data": text.encode(errors="replace"), "name": ""}
        return found


class ApplyImportForm(forms.Form):
    """The digest of the difference that was read, and why it is to be made true."""

    expected = forms.CharField(max_length=64, widget=forms.HiddenInput)
    reason = forms.CharField(max_length=1000, required=False, label="Why", widget=forms.Textarea({"rows": 3}))
