"""A form made of a plan's parameter schema, so that screen, API and validation never differ."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django import forms
from django.core.validators import RegexValidator

from operations.models import OnFailure, Priority
from portal.errors import Invalid

LINES = "One on each line."
PREFIX = "param_"
NOT_SAID: list[tuple[Any, str]] = [("", "—")]
LONGEST_LINE, LONGEST_TEXT = 1000, 100_000


@contextmanager
def beside_their_fields(schema: dict[str, Any]) -> Iterator[None]:
    """What a verb says against a parameter, or a part of it, stands beside that parameter's field of the form."""
    try:
        yield
    except Invalid as refusal:
        own = schema.get("properties", {})
        named: dict[str, list[str]] = {}
        for name, problems in refusal.fields.items():
            parameter = name.partition(".")[0]
            named.setdefault(PREFIX + parameter if parameter in own else name, []).extend(problems)
        refusal.fields = named
        raise


def _plain(shape: dict[str, Any]) -> dict[str, Any]:
    """A value that may be left out is described as one of two, the other being null: the field is that of the first."""
    one = [each for each in shape.get("anyOf", ()) if each.get("type") != "null"]
    return {**one[0], **shape} if len(one) == 1 else shape


def field(name: str, shape: dict[str, Any], *, required: bool) -> forms.Field:
    """The form field of one property of a JSON Schema (string, integer, number, boolean, enum, list of strings).

    A value that may be null is one that may be left out.
    """
    shape = _plain(shape)
    common: dict[str, Any] = {
        "label": shape.get("title") or name.replace("_", " ").capitalize(),
        "help_text": shape.get("description", ""),
        "required": required,
        "initial": shape.get("default"),
    }
    if "enum" in shape:
        kind: Any = type(shape["enum"][0])
        known = [(value, str(value)) for value in shape["enum"] if value is not None]
        choices = known if "default" in shape or required else NOT_SAID + known
        return forms.TypedChoiceField(choices=choices, coerce=kind, **common)
    if shape.get("type") == "boolean":
        return forms.BooleanField(**{**common, "required": False})
    if shape.get("type") in ("integer", "number"):
        number = forms.IntegerField if shape["type"] == "integer" else forms.FloatField
        return number(min_value=shape.get("minimum"), max_value=shape.get("maximum"), **common)
    if shape.get("type") == "array":
        return Lines(**{**common, "help_text": f"{common['help_text']} {LINES}".strip()})
    return _text(shape, common)


def _text(shape: dict[str, Any], common: dict[str, Any]) -> forms.CharField:
    lines = shape.get("format") == "text"
    widget = forms.Textarea({"rows": 12, "spellcheck": "false"}) if lines else forms.TextInput()
    kind = Text if lines else forms.CharField
    longest = shape.get("maxLength", LONGEST_TEXT if lines else LONGEST_LINE)
    made = kind(max_length=longest, strip=not lines, widget=widget, **common)
    if "pattern" in shape:
        made.validators.append(RegexValidator(shape["pattern"], f"It has to match {shape['pattern']}"))
    return made


class Text(forms.CharField):
    """Text of several lines, ended as people's files are: browsers send CR LF."""

    def to_python(self, value: Any) -> Any:
        return str(super().to_python(value) or "").replace("\r\n", "\n")


class Lines(forms.CharField):
    """A list of texts, one on each line."""

    widget = forms.Textarea({"rows": 4, "spellcheck": "false"})

    def prepare_value(self, value: Any) -> Any:
        return "\n".join(value) if isinstance(value, list) else value

    def to_python(self, value: Any) -> Any:
        if isinstance(value, list):
            return value
        return [line.strip() for line in str(value or "").splitlines() if line.strip()]


class ParametersForm(forms.Form):
    """The parameters of a plan, and whatever a subclass asks besides. ``cleaned_data`` is what the verb takes."""

    def __init__(self, *args: Any, schema: dict[str, Any], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.shapes: dict[str, Any] = schema.get("properties", {})
        required = schema.get("required", ())
        for name, shape in self.shapes.items():
            self.fields[PREFIX + name] = field(name, shape, required=name in required)
        self.order_fields([PREFIX + name for name in self.shapes])

    def clean(self) -> dict[str, Any]:
        """The typed parameters under ``params``; what was left empty is left out, so that defaults hold."""
        given = super().clean() or {}
        params = {name: given.pop(PREFIX + name, None) for name in self.shapes}
        return {**given, "params": {name: value for name, value in params.items() if value not in (None, "", [])}}


class PlanForm(ParametersForm):
    """Parameters, why, and how it is to run."""

    reason = forms.CharField(max_length=1000, required=False, label="Reason", help_text="What the others should know.")
    priority = forms.TypedChoiceField(coerce=int, choices=Priority.choices, initial=Priority.NORMAL.value)
    on_failure = forms.TypedChoiceField(
        choices=OnFailure.choices, required=False, empty_value=OnFailure.UNDO.value, label="When a step fails"
    )
    in_window = forms.BooleanField(required=False, label="Wait for the next maintenance window")
    draft = forms.BooleanField(
        required=False, initial=True, label="Show me the plan first", help_text="It then waits until you confirm it."
    )


class ScheduleForm(ParametersForm):
    """Parameters, when, and what for."""

    cron = forms.CharField(
        max_length=120,
        label="When",
        help_text="Minute, hour, day of the month, month, day of the week. “30 4 * * 1”: Mondays at 04:30.",
    )
    time_zone = forms.CharField(max_length=64, initial="UTC", help_text="Such as Europe/Madrid.")
    in_window = forms.BooleanField(required=False, label="Then wait for the next maintenance window")
    reason = forms.CharField(max_length=500, label="What for")
