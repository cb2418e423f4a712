"""Files of a list: every field of each row under its own name, and other rows by their slug, so that what was
exported can be imported again.
"""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from django.core.serializers.json import DjangoJSONEncoder
from django.db import models

from inventory.models import Declared
from portal.ui.export import csv_lines
from portal.ui.keyset import Keyset

CHUNK = 1000
KEPT = ("id", "revision", "declared_by", "created_at", "updated_at", "scope")
"""What nobody writes by hand."""
# JSON is YAML but for these, which YAML takes for the end of a line or refuses.
UNLIKE_YAML = re.compile("[\x7f-\x9f\u2028\u2029\ufeff\ufffe\uffff]")


def names(model: type[Declared]) -> dict[str, str]:
    """The columns of a file: each field's name, and the path where its value is."""
    fields = [field for field in model._meta.concrete_fields if field.name not in KEPT]
    return {
        field.name: f"{field.name}__slug" if isinstance(field, models.ForeignKey) else field.name for field in fields
    }


def records(table: Any) -> Iterator[dict[str, Any]]:
    """Every row of the list, in its order, as a file tells it. Read by key, so no transaction stays open meanwhile."""
    columns = names(table.matching.model)
    keys = [key for key in table.keyset.fields if key not in columns.values()]
    rows = table.matching.select_related(None).values(*columns.values(), *keys)
    for chunk in Keyset(rows, table.sort, table.order).chunks(CHUNK):
        for row in chunk:
            yield {name: row[path] for name, path in columns.items()}


def as_csv(table: Any) -> Iterator[str]:
    """Lists and mappings are JSON in their cell."""
    columns = list(names(table.matching.model))
    return csv_lines(itertools.chain([columns], (record.values() for record in records(table))))


def _json(record: dict[str, Any]) -> str:
    return json.dumps(record, cls=DjangoJSONEncoder, ensure_ascii=False)


def as_json(table: Any) -> Iterator[str]:
    """A list of objects, one on each line."""
    found = records(table)
    first = next(found, None)
    yield "[" if first is None else f"[\n{_json(first)}"
    yield from (f",\n{_json(record)}" for record in found)
    yield "]\n" if first is None else "\n]\n"


def as_yaml(table: Any) -> Iterator[str]:
    """A list of mappings, one on each line in the flow style that JSON is."""
    some = False
    for record in records(table):
        some = True
        yield f"- {UNLIKE_YAML.sub(lambda found: f'\\u{ord(found[0]):04x}', _json(record))}\n"
    if not some:
        yield "[]\n"


FILES: dict[str, Callable[[Any], Iterable[str]]] = {"csv": as_csv, "json": as_json, "yaml": as_yaml}
