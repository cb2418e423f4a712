"""What is drawn of a part of the estate: each component while they are few, bundles of them when they are many."""

from __future__ import annotations

from collections.abc import Callable, Collection, Hashable, Mapping
from dataclasses import dataclass
from typing import Any

from django.db.models import Case, Count, IntegerField, Q, QuerySet, Value, When

from inventory.graph.layout import MOST
from inventory.models import Component, DataCenter, Dependency, Service
from observability.health import BADNESS, STATES
from observability.models import shown_state
from observability.pictures.figure import Link, Thing, component_thing, kind_label, links_of
from observability.queries import with_health

_BY_BADNESS = {rank: STATES[state] for state, rank in BADNESS.items()}
LABELS = ("data_center", "service", "kind")
Address = Callable[[Mapping[str, str]], str]
"""Where a bundle leads to: the address that opens it, from its service and kind by name."""


@dataclass
class Scene:
    """Things and links. ``bundled``: by what the many were put together ("service" or "kind"), or not at all."""

    things: list[Thing]
    links: list[Link]
    total: int
    bundled: str = ""


def gather(
    rows: QuerySet[Component],
    links: QuerySet[Dependency],
    address: Address,
    opened: Collection[str] = (),
    focus: Any = None,
) -> Scene:
    """The components ``rows`` (those that may be seen) with the ``links`` between them.

    Beyond ``MOST`` they are bundled by service and kind, and by kind alone where that is still too much. Services in
    ``opened`` (slugs) are shown component by component as far as there is room. At most six queries.
    """
    few = with_health(rows[: MOST + 1])
    if len(few) <= MOST:
        things = [component_thing(component, focus=component.pk == focus) for component in few]
        return Scene(things, links_of(links), len(few))
    single = Q(service__slug__in=list(opened)) | Q(pk=focus)
    shown = with_health(rows.filter(single)[: MOST // 2])
    bundles = _bundles(rows.exclude(pk__in=[component.pk for component in shown]))
    by = "service"
    if len(bundles) + len(shown) > MOST:
        by, bundles = "kind", _coarser(bundles)
    things = [component_thing(component, focus=component.pk == focus) for component in shown]
    things += _things(bundles, address)
    return Scene(
        things, _links(links, {thing.key for thing in things}, by), sum(b[1] for b in bundles.values()) + len(shown), by
    )


Bundles = dict[tuple[Any, ...], tuple[int, int, int]]
"""(data center, service, kind) → worst health, how many, how many of the worst"""


def _bundles(rows: QuerySet[Component]) -> Bundles:
    ranks = [When(shown=state, then=Value(rank)) for state, rank in BADNESS.items()]
    ranked = rows.order_by().annotate(shown=shown_state()).annotate(rank=Case(*ranks, output_field=IntegerField()))
    found: Bundles = {}
    for *key, rank, count in ranked.values_list(*LABELS, "rank").annotate(many=Count("pk")):
        worst, many, of_them = found.get(tuple(key), (-1, 0, 0))
        found[tuple(key)] = (max(worst, rank), many + count, count if rank > worst else of_them)
    return found


def _coarser(bundles: Bundles) -> Bundles:
    found: Bundles = {}
    for (center, _, kind), (rank, count, of_them) in bundles.items():
        worst, many, before = found.get((center, None, kind), (-1, 0, 0))
        same = before + of_them if rank == worst else of_them if rank > worst else before
        found[center, None, kind] = (max(worst, rank), many + count, same)
    return found


def _things(bundles: Bundles, address: Address) -> list[Thing]:
    centers = DataCenter.objects.in_bulk({center for center, *_ in bundles if center})
    services = Service.objects.in_bulk({service for _, service, _ in bundles if service})
    things = []
    for key, (rank, many, of_them) in bundles.items():
        center, service, kind = centers.get(key[0]), services.get(key[1]), key[2]
        state = _BY_BADNESS[rank]
        note = kind_label(kind) if many == 1 else f"{many:,} × {kind_label(kind)}"
        told = f"{many:,} components, {of_them} {state.label.lower()}"
        href = address({"service": service.slug if service else "", "kind": kind})
        name = service.name if service else kind_label(kind)
        things.append(Thing(key, name, note if service else told, href, state, kind, center, said=told, many=many))
    return things


def _links(links: QuerySet[Dependency], keys: set[Hashable], by: str) -> list[Link]:
    """Links between bundles, and between them and what is shown by itself; each once, the hardest kind first."""
    ends = [f"{end}__{label}" for end in ("source", "target") for label in LABELS]
    grouped = links.order_by().values_list(*ends, "kind", "relation").annotate(many=Count("pk"))
    found: dict[tuple[Hashable, Hashable], Link] = {}
    for row in sorted(grouped, key=lambda row: row[6]):
        _add(found, _key(row[0:3], by), _key(row[3:6], by), row[6], row[7])
    single = [key for key in keys if not isinstance(key, tuple)]
    near = links.order_by().filter(Q(source__in=single) | Q(target__in=single)) if single else links.none()
    for row in near.values_list("source", "target", *ends, "kind", "relation")[: 20 * MOST]:
        source = row[0] if row[0] in keys else _key(row[2:5], by)
        target = row[1] if row[1] in keys else _key(row[5:8], by)
        _add(found, source, target, row[8], row[9])
    return [link for ends, link in found.items() if keys.issuperset(ends)]


def _key(labels: tuple[Any, ...], by: str) -> tuple[Any, ...]:
    center, service, kind = labels
    return (center, service if by == "service" else None, kind)


def _add(found: dict[Any, Link], source: Hashable, target: Hashable, kind: str, relation: str) -> None:
    if source != target:
        found.setdefault((source, target), Link(source, target, kind, relation))
