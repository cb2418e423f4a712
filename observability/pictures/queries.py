"""What pictures ask the database."""

from __future__ import annotations

from collections import defaultdict
from typing import Any

from django.db.models import Count, QuerySet

from inventory.models import Component, DataCenter, Dependency, Environment
from observability.health import BADNESS
from observability.models import shown_state
from observability.pictures.centers import Counted
from observability.pictures.replication import Replication, judge
from observability.pictures.scene import Scene

MOST_REPLICATIONS = 500
_ENDS = [f"{end}__{facts}" for end in ("source", "target") for facts in ("data_center", "environment", "health")]


def replications(reader: Any, environment: Environment | None) -> list[Replication]:
    """The declared replications of an environment as they are now, the worst first. One query."""
    links = Dependency.objects.visible_to(reader).filter(
        relation=Dependency.Relation.REPLICATES, source__environment=environment
    )
    found = [judge(link) for link in links.select_related(*_ENDS)[:MOST_REPLICATIONS]]
    return sorted(found, key=lambda each: (-BADNESS[each.state], each.replica.slug))


def counted(rows: QuerySet[Component]) -> Counted:
    """How many of each kind stand in each data center, and the worst of them. Two queries."""
    centers: dict[Any, DataCenter | None] = {None: None, **{center.pk: center for center in DataCenter.objects.all()}}
    states = rows.order_by().annotate(shown=shown_state()).values_list("data_center", "kind", "shown")
    found: dict[tuple[Any, str], tuple[int, str]] = {}
    for place, kind, state, many in states.annotate(many=Count("pk")):
        before, worst = found.get((centers[place], kind), (0, state))
        found[centers[place], kind] = (before + many, max(worst, state, key=BADNESS.__getitem__))
    return found


def needs_of(scene: Scene) -> list[tuple[Any, list[tuple[str, list[str]]]]]:
    """Each thing of a picture with what it needs, by how it needs it: the table twin of the picture."""
    names = {thing.key: thing.full_title for thing in scene.things}
    needs: dict[object, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for link in scene.links:
        if link.target in names:
            how = f"{link.group} of" if link.group else link.kind
            how = how if link.relation != Dependency.Relation.REPLICATES else "replicates from"
            needs[link.source][how].append(names[link.target])
    things = sorted(scene.things, key=lambda each: (each.center.slug if each.center else "", each.name, each.kind))
    return [(thing, [(how, sorted(found)) for how, found in needs[thing.key].items()]) for thing in things]
