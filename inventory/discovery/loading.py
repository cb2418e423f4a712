"""Reads what a comparison needs: an object of the model for each row would cost several times as much."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import msgspec
from django.db.models import Exists, OuterRef, Q, TextField
from django.db.models import Value as V
from django.db.models.expressions import RawSQL
from django.db.models.functions import Cast, Coalesce

from inventory.discovery import comparing
from inventory.discovery.matching import Node, Point
from inventory.models import Component, Dependency, Sighting

_CONCERNS = Q(connection__gt="") | Q(external_id__gt="") | Q(part_of__connection__gt="")


@dataclass(slots=True)
class Known(Node):
    """A component as far as a comparison needs it."""

    environment: str = ""
    software: str = ""
    version: str = ""
    created_at: Any = None
    part_of: Any = None

    @property
    def declared(self) -> dict[str, Any]:
        """The fields that are declared, attributes among them."""
        columns = {name: value for name in comparing.TOLD_BY_CATALOG if (value := getattr(self, name))}
        return {**columns, **self.attributes} if columns else self.attributes


@dataclass(slots=True)
class Seen(Point):
    """A sighting as far as a comparison needs it."""

    driver: str = ""
    listed: str = ""
    name: str = ""
    fields: dict[str, Any] = field(default_factory=dict)
    last_seen: datetime | None = None

    def value(self, name: str) -> Any:
        """What is seen of one field; ``None`` when nothing is."""
        held = self.fields.get(name)
        return held["value"] if held else None


def components() -> Iterator[Known]:
    """What sources may see, or have seen."""
    # EXISTS: a join would need DISTINCT over whole rows.
    seen = Exists(Sighting.objects.filter(component=OuterRef("pk")))
    rows = Component.objects.filter(_CONCERNS | seen).order_by().annotate(parent=Coalesce("part_of__connection", V("")))
    told = ("pk", "slug", "kind", "name", "connection", "external_id", "parent", _text("attributes"))
    more = ("environment__slug", "software", "version", "created_at", "part_of_id")
    for *own, attributes, environment, software, version, at, whole in rows.values_list(*told, *more).iterator(5000):
        facts: list[Any] = [*own, _read(attributes), environment, software, version, at, whole]
        yield Known(*facts)


def sightings() -> Iterator[Seen]:
    """All that is seen now."""
    rows = Sighting.objects.order_by().exclude(state=Sighting.State.GONE)
    lists: Any = map(_text, ("addresses", "relations", "claims"))
    told: Any = (
        "pk",
        "source",
        "key",
        "kind",
        "external_id",
        *lists,
        "detail",
        "component",
        "driver",
        "listed",
        "name",
    )
    for row in rows.values_list(*told, _text("fields"), "last_seen").iterator(5000):
        first, lists, rest, (fields, at) = row[:5], map(_read, row[5:8]), row[8:13], row[13:]
        facts: list[Any] = [*first, *lists, *rest, _read(fields), at]
        yield Seen(*facts)


def _text(column: str) -> Cast:
    """A column of JSON as it is: read by ``_read`` it costs a fifth."""
    return Cast(column, TextField())


def _read(text: str) -> Any:
    return () if text == "[]" else msgspec.json.decode(text)


def dependencies(components: list[Any]) -> Iterable[tuple[Any, ...]]:
    """What these need: key of the one, key, relation, slug and environment of the other."""
    rows = Dependency.objects.order_by().filter(source__in=RawSQL("SELECT unnest(%s::uuid[])", [components]))
    told = ("source_id", "target_id", "relation", "target__slug", "target__environment__slug")
    return rows.values_list(*told).iterator(5000)
