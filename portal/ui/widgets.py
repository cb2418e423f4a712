"""Fields of forms, drawn without a template for each option and attribute: a list's filters have dozens of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from django.forms.renderers import DjangoTemplates
from django.utils.html import format_html
from django.utils.safestring import SafeString, mark_safe


class Renderer(DjangoTemplates):
    """Django's own, with text fields and selections as Django draws them but for line breaks."""

    def render(self, template_name: str, context: dict[str, Any], request: Any = None) -> SafeString:
        draw = DRAWN.get(template_name)
        return draw(context["widget"]) if draw else mark_safe(super().render(template_name, context, request))  # noqa: S308


def _attributes(given: Mapping[str, Any]) -> SafeString:
    parts = (
        format_html(" {}", name) if value is True else format_html(' {}="{}"', name, value)
        for name, value in given.items()
        if value is not False
    )
    return mark_safe("".join(parts))  # noqa: S308 (escaped above)


def _input(widget: Mapping[str, Any]) -> SafeString:
    value = "" if widget["value"] is None else format_html(' value="{}"', widget["value"])
    facts = widget["type"], widget["name"], value, _attributes(widget["attrs"])
    return format_html('<input type="{}" name="{}"{}{}>', *facts)


def _select(widget: Mapping[str, Any]) -> SafeString:
    groups = []
    for name, choices, _ in widget["optgroups"]:
        options = mark_safe("".join(map(_option, choices)))  # noqa: S308 (escaped there)
        groups.append(format_html('<optgroup label="{}">{}</optgroup>', name, options) if name else options)
    inside = mark_safe("".join(groups))  # noqa: S308 (escaped above)
    return format_html('<select name="{}"{}>{}</select>', widget["name"], _attributes(widget["attrs"]), inside)


def _option(widget: Mapping[str, Any]) -> SafeString:
    facts = widget["value"], _attributes(widget["attrs"]), widget["label"]
    return format_html('<option value="{}"{}>{}</option>', *facts)


INPUTS = ("text", "number", "email", "url", "search", "tel", "hidden", "checkbox")
DRAWN: dict[str, Callable[[Mapping[str, Any]], SafeString]] = {
    **{f"django/forms/widgets/{kind}.html": _input for kind in INPUTS},
    "django/forms/widgets/select.html": _select,
}
