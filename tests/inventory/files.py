"""Files of rows, and what becomes of them when the portal has worked them off."""

from __future__ import annotations

import csv
import io
from typing import Any

from inventory.actions.imports import apply, upload
from inventory.models import Import
from inventory.reconcile import carry_imports

HEADER = "slug,kind,service"
PLACE = "production/us-central"


def lines(*rows: str, header: str = HEADER) -> bytes:
    """A CSV file."""
    return "\n".join([header, *rows, ""]).encode()


def table(names: list[str], *rows: list[Any]) -> bytes:
    """A CSV file of cells that may hold anything."""
    out = io.StringIO()
    csv.writer(out).writerows([names, *rows])
    return out.getvalue().encode()


def checked(data: bytes, by: Any, noun: str = "component", **facts: Any) -> Import:
    """The import of ``data`` after the portal has looked at it."""
    one = upload(noun, by=by, data=data, **facts)
    carry_imports()
    return Import.objects.get(pk=one.pk)


def applied(one: Import, by: Any) -> Import:
    """The same after somebody has told it to be applied."""
    apply(one, by=by, expected=one.digest)
    carry_imports()
    return Import.objects.get(pk=one.pk)


def faults(one: Import) -> list[tuple[int, str, str]]:
    """What is wrong: line, column, sentence."""
    return list(one.fault_rows.order_by("pk").values_list("line", "column", "sentence"))


def changes(one: Import) -> list[tuple[int, str, str, Any]]:
    """What it would change: line, act, key, fields."""
    return list(one.change_rows.order_by("pk").values_list("line", "act", "key", "fields"))
