"""Slugs that say where something stands: ``environment/data-center/name``.

Each of the parts may be left out when the others say it. A thing in no data center has ``global`` in that place, or
``workstation``.
"""

from __future__ import annotations

from typing import Any

from django.utils.text import slugify

from inventory.writing.batch import Batch, Row

EVERYWHERE = {"global": "spans all data centers", "workstation": "is every developer's own machine"}
"""What may stand in a key where a data center stands, for what is in none."""
NOWHERE = "global"


def complete(row: Row) -> None:
    """Before a row is looked up: the slug from its parts, or the parts from the slug."""
    given = row.given
    if parts := _parts(given.get("slug")):
        given.setdefault("environment", parts[0])
        given.setdefault("data_center", None if parts[1] in EVERYWHERE else parts[1])
    elif row.id is None and "slug" not in given and given.get("environment") and given.get("name"):
        center = given.get("data_center") or NOWHERE
        given["slug"] = f"{given['environment']}/{center}/{slugify(given['name'])}"[:200]


def _parts(slug: Any) -> list[str]:
    found = slug.split("/") if isinstance(slug, str) else []
    return found if len(found) == 3 else []


def agree(batch: Batch, row: Row) -> None:
    """After it was merged: a moved thing is named after its new place; a slug that says otherwise is a mistake."""
    parts = _parts(row.values.get("slug"))
    if not parts:
        return
    environment, center = row.values.get("environment"), row.values.get("data_center")
    wanted = center or (parts[1] if parts[1] in EVERYWHERE else NOWHERE)
    if parts[:2] == [environment, wanted] or not environment:
        return
    if row.current is not None and "slug" not in row.given:
        row.values["slug"] = f"{environment}/{wanted}/{parts[2]}"
        row.given["slug"] = row.values["slug"]
    else:
        batch.wrong(row, "slug", f"This must begin with “{environment}/{wanted}/”, as its place says.")
