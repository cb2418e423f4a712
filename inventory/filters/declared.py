"""What lists of each noun can be narrowed by: said once, for REST, the screens and the schema.

Most of it follows from the declaration of the noun (``inventory.writing``): each column is a filter of its type. What
other apps know is added by ``register``.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from django.db import models
from django.db.models import Q

from inventory.filters import values
from inventory.models import NOUNS, Environment
from inventory.writing import Declaration, declaration
from inventory.writing.fields import Wrong, address

Made = Callable[[list[Any]], Q]
LEADING = ("source", "target", "owner")
"""References whose slug is looked for as it is: one that is not there finds nothing."""
EQUAL = {"": "exact", "in": "in"}
ORDERED = EQUAL | {"gt": "gt", "gte": "gte", "lt": "lt", "lte": "lte"}
TEXTUAL = EQUAL | {"contains": "icontains", "icontains": "icontains", "startswith": "istartswith"}
LABELS = {"tls": "TLS", "cidr": "Network", "cpus": "CPUs", "slo": "SLO", "id": "Id", "updated_at": "Changed",
          "created_at": "Created", "external_id": "External id", "slug": "Name", "name": "Title"}  # fmt: skip
ENDINGS = {
    "in": "any of", "contains": "contains", "icontains": "contains", "startswith": "begins with", "gt": "above",
    "gte": "from", "lt": "below", "lte": "up to", "isnull": "is not set", "empty": "is empty",
}  # fmt: skip
"""How people read the part of a name behind ``__``."""


@dataclass(frozen=True)
class Filter:
    """One name that a list can be narrowed by.

    ``path``: the column; ``read``: makes a value of a text; ``endings``: what may follow the name after ``__``, with
    the lookup that it is. ``type``: text, number, instant, truth, choice or row. ``noun``: whose slugs it takes;
    ``model``: of which only rows that the reader may see. ``made``: the condition for what is no plain column.
    """

    name: str
    path: str = ""
    read: Callable[[str], Any] = values.line
    endings: Mapping[str, str] = field(default_factory=lambda: {"": "exact"})
    type: str = "text"
    choices: tuple[tuple[str, str], ...] = ()
    noun: str = ""
    model: Any = None
    made: Made | None = None

    def label(self, ending: str = "") -> str:
        """How people read it ("Version begins with")."""
        own = LABELS.get(self.name) or self.name.replace("_", " ").replace(".", ": ").capitalize()
        return f"{own} {ENDINGS.get(ending, ending)}" if ending else own

    def condition(self, ending: str, given: list[Any]) -> Q:
        """Rows that have any of the values ``given``, which ``read`` has read."""
        if self.made:
            return self.made(given)
        lookup = self.endings[ending]
        if lookup == "isnull":
            return Q(**{f"{self.path}__isnull": given[-1]})
        if lookup == "empty":
            return Q(**{self.path: ""}) if given[-1] else ~Q(**{self.path: ""})
        if lookup in ("exact", "in"):
            return Q(**{f"{self.path}__in": given}) if len(given) > 1 else Q(**{self.path: given[0]})
        return functools.reduce(Q.__or__, (Q(**{f"{self.path}__{lookup}": value}) for value in given))


def choice(name: str, choices: Iterable[tuple[Any, str]], **facts: Any) -> Filter:
    """A filter by one of ``choices`` (value, label), or by several."""
    known = tuple((str(value), str(label)) for value, label in choices)
    named = ", ".join(value for value, _ in known)

    def read(value: str) -> str:
        if value not in dict(known):
            raise Wrong(f"This must be one of {named}.")
        return value

    return Filter(name, read=read, type="choice", choices=known, **{"endings": EQUAL} | facts)


_registered: dict[str, dict[str, Filter]] = {
    "component": {"tier": choice("tier", [(tier, f"Tier {tier}") for tier in range(1, 5)], path="service__tier")},
    "dependency": {
        "environment": Filter(
            "environment", "source__environment", endings=EQUAL, type="row", noun="environment", model=Environment
        )
    },
}  # fmt: skip


def register(noun: str, added: Filter) -> None:
    """Let lists of ``noun`` be narrowed by what another app knows."""
    _registered.setdefault(noun, {})[added.name] = added
    filters.cache_clear()


@functools.cache
def filters(noun: str) -> dict[str, Filter]:
    """Every filter of ``noun`` by its name."""
    known = declaration(noun)
    found = [_column(known, name, path) for name, path in known.paths.items() if name not in known.held]
    if "tags" in known.fields:
        found.append(Filter("tag", made=lambda given: Q(tags__contains=given)))
    return {each.name: each for each in found} | _registered.get(noun, {})


UNKNOWN = "There is no such filter. Known: {}; see the documentation for endings."


def meant(noun: str, name: str) -> bool:
    """Whether a parameter is one of this list's filters, with an ending that may be wrong."""
    return name.partition("__")[0] in filters(noun) or name.partition(".")[0] in _inside(noun)


def find(noun: str, name: str) -> tuple[Filter, str]:
    """The filter that a parameter names, and its ending. Raises ``Wrong`` when there is none."""
    head, dot, inner = name.partition(".")
    if dot and inner and head in _inside(noun):
        return Filter(name, made=functools.partial(_held, head, values.line(inner))), ""
    head, parted, ending = name.partition("__")
    found = filters(noun).get(head)
    if found and ending in found.endings and bool(parted) == bool(ending):
        return found, ending
    known = sorted([*filters(noun), *(f"{each}.<name>" for each in _inside(noun))])
    raise Wrong(UNKNOWN.format(", ".join(known)))


def _inside(noun: str) -> list[str]:
    """Columns that hold values under names of their own."""
    return [name for name in ("custom", "attributes") if name in declaration(noun).fields]


def _held(column: str, name: str, given: list[str]) -> Q:
    """A value is looked for as text and, when it reads as one, as a number or a truth value."""
    found = Q()
    for value in given:
        found |= Q(**{f"{column}__contains": {name: value}})
        try:
            other = msgspec.json.decode(value)
        except (msgspec.DecodeError, UnicodeEncodeError):
            continue
        if isinstance(other, int | float | bool) or other is None:
            found |= Q(**{f"{column}__contains": {name: other}})
    return found


def _column(known: Declaration, name: str, path: str) -> Filter:
    """The filter by one column, of its type."""
    if name in known.references:
        return _row(known, name, path)
    column: Any = known.model._meta.get_field(name)
    own = known.fields.get(name)
    if own and own.choices:
        spare = {"empty": "empty"} if column.blank else {}
        return choice(name, column.flatchoices, path=path, endings=EQUAL | spare)
    for kinds, facts in TYPES:
        if isinstance(column, kinds):
            return Filter(name, path, **_nullable(column, facts))
    return Filter(name, path, endings=TEXTUAL | ({"empty": "empty"} if column.blank else {}))


def _row(known: Declaration, name: str, path: str) -> Filter:
    other = known.references[name]
    if name in LEADING:
        return Filter(name, path, endings=TEXTUAL, noun=other.noun if other.noun in NOUNS else "")
    facts = {"endings": EQUAL, "type": "row", "noun": other.noun, "model": other.model}
    return Filter(name, name, **_nullable(known.model._meta.get_field(name), facts))


def _nullable(column: Any, facts: Mapping[str, Any]) -> dict[str, Any]:
    return {**facts, "endings": facts["endings"] | ({"isnull": "isnull"} if column.null else {})}


TYPES: tuple[tuple[Any, dict[str, Any]], ...] = (
    (models.UUIDField, {"read": values.key, "endings": EQUAL}),
    (models.BooleanField, {"read": values.truth, "endings": {"": "exact"}, "type": "truth"}),
    (models.IntegerField, {"read": values.whole, "endings": ORDERED, "type": "number"}),
    (models.DecimalField, {"read": values.number, "endings": ORDERED, "type": "number"}),
    (models.DateTimeField, {"read": values.instant, "endings": ORDERED, "type": "instant"}),
    (models.GenericIPAddressField, {"read": address, "endings": EQUAL}),
)
"""Fields of models, and the filters by them. Others are text."""
