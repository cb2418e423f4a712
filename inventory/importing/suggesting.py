"""What somebody may have meant by a name that nothing has."""

from __future__ import annotations

import difflib
from typing import Any

from inventory.writing.declarations import Declaration, Reference

MOST = 2000
LOOKED_UP = 200
"""Names; a file whose every row points nowhere is not made better by guessing for each."""


class Suggestions:
    """The nearest name among what ``by`` may see."""

    def __init__(self, known: Declaration, by: Any) -> None:
        self.known, self.by = known, by
        self._names: dict[tuple[str, str], list[str]] = {}
        self._told: dict[tuple[str, str], str] = {}

    def near(self, name: str, value: Any) -> str:
        """A sentence to follow “There is no …”, or nothing."""
        reference = self.known.references.get(name)
        if reference is None or not isinstance(value, str) or len(self._told) > LOOKED_UP:
            return ""
        key = (reference.noun, value)
        if key not in self._told:
            found = difflib.get_close_matches(value, self._candidates(reference, value), 1, 0.6)
            self._told[key] = f" Did you mean “{found[0]}”?" if found else ""
        return self._told[key]

    def _candidates(self, reference: Reference, value: str) -> list[str]:
        """Slugs of the same place; a typing slip in the place itself finds nothing."""
        place = f"{value.rpartition('/')[0]}/" if "/" in value else ""
        key = (reference.noun, place)
        if key not in self._names:
            manager: Any = reference.model._default_manager
            rows = manager.visible_to(self.by) if hasattr(manager, "visible_to") else manager.all()
            found = rows.filter(slug__startswith=place) if "\x00" not in place else rows.none()
            self._names[key] = list(found.order_by("slug").values_list("slug", flat=True)[:MOST])
        return self._names[key]
