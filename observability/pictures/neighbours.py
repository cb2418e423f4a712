"""What is linked with one component over one or two dependencies."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet

from inventory.models import Component, Dependency, Environment
from observability.pictures.scene import Address, Scene, gather

DIRECTIONS = {"both": "Both ways", "needs": "What it needs", "needed-by": "What needs it"}
MOST = 2000
"""Neighbours beyond which the rest is only counted as “more”."""


@dataclass(frozen=True)
class Near:
    """``keys`` of the component and its neighbours; ``more``: there are others, too many to be shown."""

    keys: list[Any]
    more: bool


def around(focus: Component, links: QuerySet[Dependency], direction: str, hops: int) -> Near:
    """The neighbours over ``links`` (those that may be seen), nearest first; at most two queries for each hop."""
    found, edge = {focus.pk: None}, [focus.pk]
    more = False
    for _ in range(hops):
        reached: list[Any] = []
        for word, here, there in (("needs", "source", "target"), ("needed-by", "target", "source")):
            if direction in (word, "both"):
                rows = links.filter(**{f"{here}__in": edge}).order_by().values_list(f"{there}_id", flat=True)
                reached += rows.distinct()[: MOST + 1]
        edge = [key for key in dict.fromkeys(reached) if key not in found]
        more = more or len(found) + len(edge) > MOST
        edge = edge[: max(0, MOST - len(found))]
        found |= dict.fromkeys(edge)
    return Near(list(found), more)


def explored(
    visible: QuerySet[Component],
    links: QuerySet[Dependency],
    what: list[Any] | Environment | None,
    how: tuple[Address, Collection[str], Any],
) -> Scene:
    """The scene of some components, or of an environment. ``how``: as ``gather`` takes it."""
    if isinstance(what, list):
        return gather(visible.filter(pk__in=what), links.filter(source__in=what, target__in=what), *how)
    return gather(visible.filter(environment=what), links.filter(source__environment=what), *how)
