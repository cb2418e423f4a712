"""Filters as a form above a list. It has the fields that people use most, and each that the address names.

A filter that names another row is a text field that asks for suggestions when it is used: a list page does not carry
every service as an option.
"""

from __future__ import annotations

import functools
from typing import Any

from django import forms
from django.db.models import QuerySet
from django.http import HttpRequest, QueryDict
from django.urls import reverse_lazy
from django.utils.html import format_html, format_html_join
from django.utils.safestring import SafeString

from inventory.filters.declared import Filter, filters, meant
from inventory.filters.narrowing import Faults, narrowing

PLACED = ("environment", "service", "data_center")
SHOWN: dict[str, tuple[str, ...]] = {
    "data-center": ("slug", "role"),
    "environment": ("slug", "kind"),
    "network-zone": ("slug", "exposure", "environment", "data_center"),
    "server-group": ("slug", *PLACED, "tag"),
    "server": ("slug", "kind", "status", "external_id", *PLACED, "group", "tag"),
    "service": ("slug", "tier", "owner", "tag"),
    "component": ("kind", "status", *PLACED, "tag"),
    "endpoint": ("protocol", "port", "tls", "component", "zone"),
    "dependency": ("kind", "relation", "source", "target", "environment"),
}
"""What the form of each noun's list always has; other apps may append."""
YES_NO = (("true", "Yes"), ("false", "No"))
MORE = {"instant": "gte", "name": "contains"}
"""The ending with which a type, or a name, is offered."""
UNOFFERED = {"id", "revision", "created_at", "description", "connection", "endpoint", "path"}
"""What only machines ask for."""


class Picker(forms.TextInput):
    """A text field for the slug of a row of ``noun``; suggestions are fetched when somebody types."""

    def __init__(self, noun: str, attrs: dict[str, Any] | None = None) -> None:
        super().__init__({"autocomplete": "off", "spellcheck": "false", "maxlength": "200", **(attrs or {})})
        self.noun = noun

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        ours = f"{(attrs or {}).get('id') or name}-choices"
        asking = {
            "list": ours,
            "hx-get": f"{reverse_lazy('choices', args=[self.noun])}?of={name}",
            "hx-trigger": "focus once, input changed delay:200ms",
            "hx-target": "next datalist",
        }
        field = super().render(name, value, {**(attrs or {}), **asking}, renderer)
        return format_html('{}<datalist id="{}"></datalist>', field, ours)


class Several(forms.Widget):
    """The same widget once for each value of an address that names several."""

    def __init__(self, each: forms.Widget) -> None:
        super().__init__()
        self.each = each
        self.input_type = getattr(each, "input_type", "text")

    def value_from_datadict(self, data: Any, files: Any, name: str) -> list[str]:
        found: list[str] = data.getlist(name)
        return found

    def render(self, name: str, value: Any, attrs: Any = None, renderer: Any = None) -> SafeString:
        own = attrs or {}
        many = ((self.each.render(name, each, own | {"id": f"{own.get('id')}-{place}"}, renderer),)
                for place, each in enumerate(value, 1))  # fmt: skip
        return format_html_join("", "{}", many)


class Narrow(forms.Form):
    """Fields that hold what the address says; what is wrong with it is known already."""

    def __init__(self, query: QueryDict, fields: dict[str, forms.Field], faults: Faults) -> None:
        super().__init__(query)
        self.fields = fields
        for name, said in faults.items():
            self.add_error(name, said)  # type: ignore[arg-type]  # a list of sentences is taken as well


class ListFilters:
    """What a list is narrowed by, as ``ui.Table`` takes it. ``shown``: the fields that its form always has.

    A list with a filter that cannot be shows nothing, and says why at the field.
    """

    def __init__(
        self,
        noun: str,
        query: QueryDict,
        *,
        queryset: QuerySet[Any],
        request: HttpRequest,
        prefix: str | None = None,
        shown: tuple[str, ...] = (),
    ) -> None:
        assert not prefix, "lists of the estate stand alone on their page"
        self.noun, self.query, self.rows, self.request = noun, query, queryset, request
        others = (name for name in query if meant(noun, name))
        self.names = list(dict.fromkeys((*(shown or SHOWN[noun]), *others)))

    @functools.cached_property
    def _asked(self) -> tuple[Any, Faults]:
        return narrowing(self.noun, self.query, [name for name in self.names if name in self.query], self.request.user)

    def is_valid(self) -> bool:
        return not self._asked[1]

    @functools.cached_property
    def form(self) -> Narrow:
        fields = {name: _field(self.noun, name, self.query.getlist(name)) for name in self.names}
        return Narrow(self.query, fields, self._asked[1])

    @functools.cached_property
    def qs(self) -> QuerySet[Any]:
        found, faults = self._asked
        return self.rows.none() if faults else self.rows.filter(found) if found else self.rows

    @property
    def more(self) -> list[tuple[str, str]]:
        """Filters that the form does not have, each with the address of the list that has it."""
        query = self.query.copy()
        for name in ("after", "before", "export"):
            query.pop(name, None)
        start = f"?{query.urlencode()}{'&' if query else ''}"
        there = {name.partition("__")[0] for name in self.names} | UNOFFERED
        found = []
        for own in filters(self.noun).values():
            ending = MORE.get(own.name) or MORE.get(own.type, "")
            if own.name not in there:
                found.append((own.label(ending), f"{start}{own.name}{ending and '__'}{ending}="))
        return found


def _field(noun: str, name: str, given: list[str]) -> forms.Field:
    """The field of one parameter."""
    head, _, ending = name.partition("__")
    own = filters(noun).get(head) or Filter(head)
    widget = _widget(own, ending)
    return forms.Field(required=False, label=own.label(ending), widget=Several(widget) if len(given) > 1 else widget)


def _widget(own: Filter, ending: str) -> forms.Widget:
    choices = YES_NO if own.type == "truth" or ending in ("isnull", "empty") else own.choices
    if choices and ending != "in":
        return forms.Select(choices=[("", "Any"), *choices])
    if own.noun and ending in ("", "startswith"):
        return Picker(own.noun)
    return forms.TextInput({"maxlength": "200"} | ({"inputmode": "numeric"} if own.type == "number" else {}))
