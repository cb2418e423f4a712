"""Names for the keys that revisions hold: what a row pointed at, as people call it."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Any
from uuid import UUID

from django.db import models

from inventory.models import Revision

UNSEEN = "something that you may not see"
PLACES = {"data_center_id", "server_id", "group_id", "zone_id", "part_of_id"}
"""Where a thing stands and what it is part of: facts about the thing, as on its page, whoever may see the other one."""


class Names:
    """The columns of ``model`` that point at other rows, and the names of what they point at, for one reader."""

    def __init__(self, model: type[models.Model], reader: Any) -> None:
        self.reader = reader
        fields = [field for field in model._meta.concrete_fields if isinstance(field, models.ForeignKey)]
        fields = [field for field in fields if field.name != "scope"]
        self.targets: dict[str, Any] = {field.attname: field.related_model for field in fields}
        self.choices = {
            field.attname: dict(field.flatchoices) for field in model._meta.concrete_fields if field.choices
        }
        self.places = {model for column, model in self.targets.items() if column in PLACES}
        self.known: dict[str, str] = {}

    def learn(self, rows: Iterable[dict[str, Any]]) -> None:
        """Look the keys of ``rows`` up: one query for each noun they point at, one more for what is gone."""
        wanted: dict[Any, set[str]] = defaultdict(set)
        for row in rows:
            for column, model in self.targets.items():
                if key := row.get(column):
                    wanted[model].add(key)
        for model, keys in wanted.items():
            missing = keys - set(self.known)
            if missing:
                self.known |= self._there(model, missing)
        for known, keys in ((True, self.places & wanted.keys()), (False, wanted.keys() - self.places)):
            if gone := set().union(*(wanted[model] for model in keys)) - set(self.known):
                self.known |= self._gone(gone, everybody=known)

    def _there(self, model: Any, keys: set[str]) -> dict[str, str]:
        rows = model._base_manager.filter(pk__in=keys)
        named = "slug" if any(field.name == "slug" for field in model._meta.fields) else "pk"
        found = {str(pk): str(name) for pk, name in rows.values_list("pk", named)}
        if model in self.places or not hasattr(model._default_manager, "visible_to"):
            return found
        seen = {
            str(pk)
            for pk in model._default_manager.visible_to(self.reader).filter(pk__in=keys).values_list("pk", flat=True)
        }
        return {key: name if key in seen else UNSEEN for key, name in found.items()}

    def _gone(self, keys: set[str], *, everybody: bool) -> dict[str, str]:
        from inventory.history.removed import removed

        rows = Revision.objects.filter(act=Revision.Act.DELETED) if everybody else removed(self.reader)
        rows = rows.filter(object_id__in=[UUID(key) for key in keys])
        return {str(pk): f"{(before or {}).get('slug') or (before or {}).get('name')} (removed)"
                for pk, before in rows.values_list("object_id", "before")}  # fmt: skip

    def label(self, column: str) -> str:
        """What people call ``column``."""
        name = column.removesuffix("_id") if column in self.targets else column
        return name.replace("_", " ").capitalize()

    def say(self, column: str, value: Any) -> Any:
        """What stands for ``value`` of ``column``."""
        if column in self.choices:
            return self.choices[column].get(value, value)
        if column not in self.targets or value is None:
            return value
        return self.known.get(value, UNSEEN)
