"""Where a catalog is read, and what part of the estate becomes one."""

from __future__ import annotations

from typing import Any

from django import forms
from django.conf import settings

from inventory.reconcile import git
from portal.errors import Invalid, Refused

PLACING = ("catalog", "environment", "service", "data_center")


class ReadCatalogForm(forms.Form):
    """Where a catalog is to be read: a repository by its name, or a file."""

    source = forms.ChoiceField(required=False, label="Repository")
    ref = forms.CharField(
        max_length=200, required=False, label="Revision", help_text="A branch, tag or commit; empty for the pinned one."
    )
    file = forms.FileField(
        required=False,
        label="File",
        help_text="YAML, a tar or zip of YAML files, or a state of Terraform, up to 8 MiB.",
    )
    catalog = forms.SlugField(max_length=50, required=False, label="Name of the catalog", initial="terraform")
    environment = forms.SlugField(max_length=64, required=False, label="Environment of its resources")
    service = forms.SlugField(max_length=64, required=False, label="Service of its resources")
    data_center = forms.SlugField(
        max_length=64, required=False, label="Data center", help_text="Where the provider's region is none of ours."
    )

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        known = git.remotes().values()
        choices = [("", "—"), *((one.name, f"{one.name} ({one.label}#{one.ref})") for one in known)]
        self.fields["source"].choices = choices  # type: ignore[attr-defined]
        if not known:
            del self.fields["source"], self.fields["ref"]

    def clean(self) -> dict[str, Any]:
        given = super().clean() or {}
        if not self.errors and bool(given.get("source")) == bool(given.get("file")):
            raise forms.ValidationError("Choose either a repository or a file.")
        return given

    @property
    def asked(self) -> dict[str, Any]:
        """What ``read_catalog`` takes."""
        given = self.cleaned_data
        where = {"source": given.get("source", ""), "ref": given.get("ref", ""), "file": given.get("file")}
        return {**where, "placing": {name: given.get(name, "") for name in PLACING}}

    def mark(self, refusal: Refused) -> None:
        """Say beside each field what is wrong with it."""
        for name, problems in refusal.fields.items():
            self.add_error(name if name in self.fields else None, problems)  # type: ignore[arg-type]


class ExportForm(forms.Form):
    """What part of the estate is exported. ``declared_by``: only rows of that catalog."""

    catalog = forms.SlugField(max_length=50, required=False)
    declared_by = forms.SlugField(max_length=64, required=False)
    environment = forms.SlugField(max_length=64, required=False)
    service = forms.SlugField(max_length=64, required=False)
    data_center = forms.SlugField(max_length=64, required=False)

    def asked(self) -> dict[str, Any]:
        """What ``export.whole`` takes. Raises ``Invalid`` for what is no name."""
        if not self.is_valid():
            wrong = {name: [str(error) for error in found] for name, found in self.errors.items()}
            raise Invalid("Some fields are not right.", fields=wrong)
        given = {name: value for name, value in self.cleaned_data.items() if value}
        by = given.pop("declared_by", None)
        return {"catalog": given.pop("catalog", by or settings.CATALOG_DIR.name), "by": by, **given}
