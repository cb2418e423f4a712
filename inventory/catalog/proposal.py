"""What would have to change in the catalog's files so that the declared becomes what is seen: a diff to copy."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from inventory import kinds
from inventory.catalog import edit, source
from inventory.models import Component, Dependency, Drift, Sighting
from portal.errors import Refused

NEW_FILE = "discovered.yaml"
Rows = Mapping[str, str]


@dataclass(frozen=True)
class Proposal:
    """A change of one file. ``diff`` is unified; empty when the file already says so or cannot be read."""

    file: str
    before: str
    after: str

    @property
    def diff(self) -> str:
        lines = (self.before.splitlines(keepends=True), self.after.splitlines(keepends=True))
        return "".join(difflib.unified_diff(*lines, f"a/{self.file}", f"b/{self.file}"))


def of_folder(drift: Drift, folder: Path) -> Proposal | None:
    """The change of the files in ``folder``; ``None`` when there is none, or they cannot be read."""
    try:
        texts = {name: data.decode() if isinstance(data, bytes) else data for name, data in source.files(folder)}
        found = propose(drift, texts)
    except (Refused, UnicodeDecodeError, yaml.YAMLError):
        return None
    return found if found and found.diff else None


def propose(drift: Drift, files: Rows) -> Proposal | None:
    """The change that would settle ``drift``; ``None`` where none can: sources that are silent, or disagree."""
    component = drift.component
    if component is None:
        return _added(drift.sighting, files) if drift.sighting else None
    if drift.kind == Drift.Kind.MISSING:
        return _removed(component, files)
    if drift.kind != Drift.Kind.CHANGED:
        return None
    if drift.field.startswith("needs "):
        return _link(component, drift.field.removeprefix("needs "), drift.observed, files)
    columns = ("software", "version", "kind")
    path = (drift.field,) if drift.field in columns else ("attributes", drift.field)
    file = _declaring(files, "components", component.slug)
    if file is None:
        return None
    return _changed(files, file, edit.put(files[file], ("components", component.slug, *path), drift.observed))


def _changed(files: Rows, file: str, after: str) -> Proposal:
    return Proposal(file, files.get(file, ""), after)


def _declaring(files: Rows, section: str, key: str) -> str | None:
    """The file that has this row."""
    for name, text in sorted(files.items()):
        rows = (yaml.safe_load(text) or {}).get(section)
        if isinstance(rows, dict) and key in rows:
            return name
    return None


def _removed(component: Component, files: Rows) -> Proposal | None:
    """Without the row, and without the dependencies of the same file that name it."""
    file = _declaring(files, "components", component.slug)
    if file is None:
        return None
    text = edit.without(files[file], ("components", component.slug))
    text = edit.without(text, ("dependencies", component.slug))
    for origin, targets in ((yaml.safe_load(text) or {}).get("dependencies") or {}).items():
        if component.slug in (targets or {}):
            text = edit.without(text, ("dependencies", str(origin), component.slug))
    return _changed(files, file, text)


def _link(component: Component, target: str, relation: str | None, files: Rows) -> Proposal | None:
    path = ("dependencies", component.slug, target)
    file = _declaring(files, "dependencies", component.slug) or _declaring(files, "components", component.slug)
    if file is None:
        return None
    if relation is None:
        return _changed(files, file, edit.without(files[file], path))
    said = {"kind": Dependency.Kind.SOFT.value, "relation": relation}
    return _changed(files, file, edit.put(files[file], path, said))


def _added(sighting: Sighting, files: Rows) -> Proposal:
    """A row for what nobody declared, beside those of the same environment and data center."""
    row, key = row_of(sighting)
    file = _beside(files, key)
    return _changed(files, file, edit.put(files.get(file, ""), ("components", key), row))


def row_of(sighting: Sighting) -> tuple[dict[str, Any], str]:
    """What a catalog would say of a sighting, and its key."""
    environment, center, *_ = [*sighting.source.split("/"), "", "global"]
    parent = Component.objects.filter(connection=sighting.source).select_related("service").order_by("slug").first()
    known = kinds.KINDS[sighting.kind].attributes if sighting.kind in kinds.KINDS else {}
    row: dict[str, Any] = {"name": sighting.name[:120], "kind": sighting.kind}
    row["service"] = parent.service.slug if parent else "platform"
    if software := sighting.value("software"):
        row["software"] = software
    if not sighting.key:
        row["connection"] = sighting.source
    elif parent:
        row["part_of"] = parent.slug
    if sighting.external_id and not sighting.key:
        row["external_id"] = sighting.external_id
    attributes = {name: held["value"] for name, held in sighting.fields.items() if name in known}
    if attributes:
        row["attributes"] = attributes
    own = sighting.name if sighting.key else sighting.source.rpartition("/")[2]
    return row, f"{environment}/{center}/{_slug(own)}"


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:60] or "found"


def _beside(files: Rows, key: str) -> str:
    """The file with most components of the same place, else of the same environment; a new one when none has any."""
    near: Counter[str] = Counter()
    for name, text in files.items():
        for other in (yaml.safe_load(text) or {}).get("components") or {}:
            same = [one == two for one, two in zip(key.split("/")[:2], str(other).split("/")[:2], strict=False)]
            near[name] += 1000 * all(same) + same[0]
    best = max(sorted(near), key=near.__getitem__, default=NEW_FILE)
    return best if near[best] else NEW_FILE
