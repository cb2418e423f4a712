"""Forms of what there is: fields made from what is declared of each noun, and of each kind of component."""

from __future__ import annotations

import json
from typing import Any

from django import forms

from identity.models import Team
from inventory import kinds
from inventory.filters import Picker
from inventory.models import NOUNS, Declared
from inventory.writing import Declaration, declaration
from inventory.writing.fields import Field
from operations.schema_form import field as schema_field
from portal.errors import Refused

ATTRIBUTE = "attribute_"
LONG = 300
"""Text that may be longer gets several lines."""
STALE = "Somebody changed it while you wrote. What is there now stands beside each field; saving again is on purpose."
FLAG = [("", "—"), ("yes", "Yes"), ("no", "No")]
BESIDE = ("reason", "revision", "was")
HELP = {
    "tags": "Words, with spaces or commas between them.",
    "custom": "One on each line: name: value. Never a secret.",
    "classification": "What data it holds.",
    "provenance": "Where that data comes from.",
    "connection": "The key under which the portal reaches it.",
    "external_id": "What its provider calls it.",
    "needed": "How many of the group it needs.",
}


class Tags(forms.CharField):
    """Words with spaces or commas between them."""

    def prepare_value(self, value: Any) -> Any:
        return " ".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        return list(dict.fromkeys(str(value or "").replace(",", " ").split()))

    def validate(self, value: Any) -> None:
        """No tag at all is right as well."""


class Pairs(forms.CharField):
    """Names with values, one on each line. A value that is JSON is taken as what it says, everything else as text."""

    widget = forms.Textarea({"rows": 3, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        if not isinstance(value, dict):
            return value
        return "\n".join(f"{name}: {self._text(inner)}" for name, inner in value.items())

    def _text(self, value: Any) -> str:
        return (
            value if isinstance(value, str) and self._value(value) == value else json.dumps(value, ensure_ascii=False)
        )

    def _value(self, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError:
            return text

    def to_python(self, value: Any) -> Any:
        found: dict[str, Any] = {}
        for line in str(value or "").splitlines():
            name, colon, text = line.partition(":")
            if line.strip() and not colon:
                raise forms.ValidationError(f"“{line.strip()[:80]}” has no colon between name and value.")
            if line.strip():
                found[name.strip()] = self._value(text.strip())
        return found

    def validate(self, value: Any) -> None:
        """None at all is right as well."""


def _field(noun: str, known: Field) -> forms.Field:
    model = NOUNS[noun]._meta.get_field(known.name)
    label = str(model.verbose_name).capitalize()  # type: ignore[union-attr]
    common: dict[str, Any] = {"label": label, "help_text": HELP.get(known.name, ""), "required": known.required}
    if known.name not in ("tags", "custom"):
        common["initial"] = known.default
    if known.choices:
        empty = [] if known.required or known.default else [("", "—")]
        return forms.ChoiceField(choices=[*empty, *model.flatchoices], **common)  # type: ignore[union-attr]
    if known.type == "integer":
        least, most = known.bounds or (None, None)
        return forms.IntegerField(min_value=least, max_value=most, **common)
    if known.type == "decimal":
        return forms.DecimalField(max_digits=6, decimal_places=3, **common)
    if known.type == "boolean":
        return forms.BooleanField(**{**common, "required": False})
    if known.type in ("list", "object"):
        return (Tags if known.type == "list" else Pairs)(**common)
    wide = (known.longest or 0) > LONG
    return forms.CharField(max_length=known.longest, widget=forms.Textarea({"rows": 3}) if wide else None, **common)


def fields_of(known: Declaration) -> dict[str, forms.Field]:
    """The form fields of a noun: what it points at first, by slug with suggestions, then its own."""
    made: dict[str, forms.Field] = {}
    for name, reference in known.references.items():
        label = name.replace("_", " ").capitalize()
        if reference.noun == "team":
            teams = [("", "—"), *Team.objects.order_by("name").values_list("slug", "name")]
            made[name] = forms.ChoiceField(choices=teams, required=reference.required, label=label)
        else:
            widget = Picker(reference.noun)
            made[name] = forms.CharField(max_length=200, required=reference.required, label=label, widget=widget)
    return made | {name: _field(known.noun, each) for name, each in known.fields.items() if name != "attributes"}


FIRST = ("kind", "name", "slug", "environment", "service", "data_center", "source", "relation", "target", "component")
LAST = ("description", "tags", "custom")


class NounForm(forms.Form):
    """One row of a noun. ``values`` gives what the writing engine takes; for a component also its kind's attributes.

    ``obj``: what is changed; its ``revision`` travels with the form. ``typed``: show these texts without judging them.
    """

    def __init__(self, noun: str, data: Any = None, *, obj: Declared | None = None, typed: Any = None) -> None:
        self.noun, self.obj, self.known = noun, obj, declaration(noun)
        self.stored = stored(obj) if obj else {}
        self.theirs: dict[str, Any] = {}
        self.data: Any
        super().__init__(data.copy() if data is not None else None, initial=self.stored | self._shown(typed))
        self.fields |= fields_of(self.known)
        if self.known.placed and obj is None:
            del self.fields["slug"]  # it follows from the place and the name
        self.kind = self._kind(data if data is not None else typed)
        for name, shape in self._shapes().items():
            made = schema_field(name, shape, required=False)
            if shape.get("type") == "boolean":
                made = forms.TypedChoiceField(choices=FLAG, required=False, coerce="yes".__eq__, label=made.label)
            self.fields[ATTRIBUTE + name] = made
        last = [name for name in LAST if name in self.fields]
        self.order_fields([*(name for name in [*FIRST, *self.fields] if name not in last), *last])
        self.fields["reason"] = forms.CharField(
            max_length=1000, required=False, help_text="What the others should know."
        )
        if obj is not None:
            self.fields["revision"] = forms.IntegerField(widget=forms.HiddenInput, initial=obj.revision)
            self.fields["was"] = forms.CharField(widget=forms.HiddenInput, required=False, initial=self.was)

    def _shown(self, typed: Any) -> dict[str, Any]:
        return {name: typed.get(name) for name in typed} if typed is not None else {}

    def _kind(self, source: Any) -> str:
        given = source.get("kind") if source is not None else None
        # Nothing chosen yet: the first one stands in the list, so its fields must stand below.
        return str(given or self.stored.get("kind") or kinds.Kind.values[0]) if self.noun == "component" else ""

    def _shapes(self) -> dict[str, kinds.Shape]:
        return kinds.KINDS[self.kind].attributes if self.kind in kinds.KINDS else {}

    @property
    def values(self) -> dict[str, Any]:
        """What was typed, as the writing engine takes it."""
        found = {name: value for name, value in self.cleaned_data.items() if name in self.known.names}
        for name, reference in self.known.references.items():
            found[name] = found[name] or None if not reference.required else found[name]
        if "attributes" in self.known.fields:
            typed = {name: self.cleaned_data[ATTRIBUTE + name] for name in self._shapes()}
            found["attributes"] = {name: value for name, value in typed.items() if value not in (None, "", [])}
        if found.get("slug") == self.stored.get("slug"):
            found.pop("slug", None)  # a thing that moves is named after its new place
        return found

    def text(self, name: str, value: Any) -> str:
        """``value`` as the field's box holds it."""
        field = self.fields[name]
        if isinstance(field, forms.BooleanField):
            return "on" if value else ""
        shown = field.prepare_value(value)
        return "" if shown is None else str(shown).replace("\r\n", "\n")

    def clean(self) -> dict[str, Any]:
        """Refuse to write over what somebody else wrote meanwhile, and show it."""
        given = super().clean() or {}
        if self.obj is not None and given.get("revision") not in (None, self.obj.revision):
            self.merge()
        return given

    def merge(self) -> None:
        """Take over what others changed where nothing was typed; elsewhere keep both to look at, and ask again."""
        assert self.obj is not None
        try:
            was = json.loads(self.data.get("was") or "{}")
        except ValueError:
            was = {}
        for name, value in self.shown.items():
            typed, now = self.text(name, self.data.get(name)), self.text(name, value)
            if typed == now:
                continue
            if typed == was.get(name):
                self.data[name] = now
                self.theirs[name] = "changed by somebody else meanwhile"
            else:
                self.theirs[name] = f"now: {now or 'nothing'}"
        self.data["revision"], self.data["was"] = str(self.obj.revision), self.was
        self.add_error(None, STALE)

    @property
    def shown(self) -> dict[str, Any]:
        """What is stored in the fields that the form has."""
        return {name: self.stored.get(name) for name in self.fields if name not in BESIDE}

    @property
    def was(self) -> str:
        """What is stored, as texts: travels with the form to tell what was typed from what was there."""
        return json.dumps({name: self.text(name, value) for name, value in self.shown.items()})

    @property
    def rows(self) -> list[tuple[Any, Any]]:
        """Each field with what is stored now, where that is another."""
        return [(bound, self.theirs.get(bound.name)) for bound in self]

    def mark(self, refusal: Refused) -> None:
        """What the engine says against a field stands beside it; the rest stays with the refusal."""
        for error in refusal.errors:
            name = str(error["field"])
            beside = ATTRIBUTE + name.partition(".")[2] if name.startswith("attributes.") else name
            self.add_error(beside if beside in self.fields else None, str(error["detail"]))


def stored(obj: Declared) -> dict[str, Any]:
    """The values of a row as the form shows them: other rows by slug, attributes one by one."""
    known = declaration(obj.noun)
    found: dict[str, Any] = {name: getattr(obj, name) for name in known.fields if name != "attributes"}
    for name in known.references:
        target = getattr(obj, name)
        found[name] = target.slug if target else ""
    for name, value in getattr(obj, "attributes", {}).items():
        found[ATTRIBUTE + name] = {True: "yes", False: "no"}[value] if isinstance(value, bool) else value
    return found
