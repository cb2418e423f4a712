"""The matrix of services and environments, summed up by the database, so that 100,000 components cost little."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, Min, OuterRef, QuerySet, Window

from inventory.models import Component, DataCenter, Environment, Service
from observability.health import STATES, worst
from observability.models import shown_state
from observability.queries import KINDS, said
from portal.lifecycle import State

PAGE = 50
VERSIONS = 4
"""Versions named in a cell; more are counted."""


@dataclass
class Cell:
    """One service in one environment. ``marks`` are counts that other apps add: (label, count, address)."""

    environment: Environment
    service: Service
    states: dict[str, int] = field(default_factory=dict)
    oldest: datetime | None = None
    found: list[str] = field(default_factory=list)
    marks: list[tuple[str, int, str]] = field(default_factory=list)

    @property
    def state_info(self) -> State:
        return STATES[worst(self.states)]

    @property
    def counts(self) -> str:
        return said(self.states)

    @property
    def many(self) -> int:
        return sum(self.states.values())

    @property
    def versions(self) -> list[str]:
        more = len(self.found) - VERSIONS
        return self.found[:VERSIONS] + ([f"and {more} more"] if more > 0 else [])


@dataclass
class Matrix:
    """A page of services. ``total``: how many there are in all."""

    environments: list[Environment]
    rows: list[tuple[Service, list[Cell | None]]]
    total: int

    def cells(self) -> list[Cell]:
        """Every cell that has something in it."""
        return [cell for _, cells in self.rows for cell in cells if cell]


def matrix(components: QuerySet[Component], number: int) -> Matrix:
    """Page ``number`` (from 1) of the services that have any of ``components``, in four queries."""
    components = components.order_by()
    services = Service.objects.filter(Exists(components.filter(service=OuterRef("pk"))))
    services = services.annotate(total=Window(Count("pk"))).order_by("tier", "name")
    page: list[Any] = list(services[(number - 1) * PAGE : number * PAGE])
    rows = components.filter(service__in=page)
    cells = cells_of(rows, page)
    environments = sorted({cell.environment for cell in cells.values()}, key=lambda e: (KINDS.index(e.kind), e.slug))  # type: ignore[arg-type]
    lines = [(service, [cells.get((e.pk, service.pk)) for e in environments]) for service in page]
    return Matrix(environments, lines, page[0].total if page else 0)


def cells_of(
    rows: QuerySet[Component], services: list[Service], environments: dict[Any, Environment] | None = None
) -> dict[tuple[Any, Any], Cell]:
    """Health of ``services`` by (environment, service), of those ``rows`` that belong to them.

    Two queries, and one more for ``environments`` when they are not known yet.
    """
    by_key = {service.pk: service for service in services}
    states = rows.annotate(shown=shown_state()).values_list("environment", "service", "shown")
    counted = list(states.annotate(many=Count("pk"), oldest=Min("health__observed_at")))
    environments = environments or Environment.objects.in_bulk({environment for environment, *_ in counted})
    cells: dict[tuple[Any, Any], Cell] = {}
    for environment, service, state, many, oldest in counted:
        cell = cells.setdefault((environment, service), Cell(environments[environment], by_key[service]))
        cell.states[state] = many
        cell.oldest = min((at for at in (cell.oldest, oldest) if at), default=None)
    for key, found in _versions(rows).items():
        cells[key].found = sorted(found)
    return cells


@dataclass
class Overview(Matrix):
    """The dashboard of an estate that is too large to name its components; ``more``: services that do not fit."""

    places: list[tuple[DataCenter | None, list[tuple[Environment, Cell]]]] = field(default_factory=list)
    whole: Cell | None = None

    @property
    def more(self) -> int:
        return max(self.total - len(self.rows), 0)


def overview(components: QuerySet[Component]) -> Overview:
    """Everything visible in seven queries, however much it is: services and environments, and data centers."""
    first = matrix(components, 1)
    shown = components.order_by().annotate(shown=shown_state()).values_list("data_center", "environment", "shown")
    counted = list(shown.annotate(many=Count("pk"), oldest=Min("health__observed_at")))
    environments = Environment.objects.in_bulk({environment for _, environment, *_ in counted})
    centers: dict[Any, Any] = dict(DataCenter.objects.in_bulk({center for center, *_ in counted if center}))
    nothing: Any = None
    whole, places = Cell(nothing, nothing), defaultdict[Any, dict[Any, Cell]](dict)
    for center, environment, state, many, oldest in counted:
        here = places[centers.get(center)].setdefault(environment, Cell(environments[environment], nothing))
        for cell in (here, whole):
            cell.states[state] = cell.states.get(state, 0) + many
            cell.oldest = min((at for at in (cell.oldest, oldest) if at), default=None)
    ordered = sorted(places, key=lambda place: (place is None, place.slug if place else ""))
    for place, cells in places.items():
        places[place] = dict(sorted(cells.items(), key=lambda one: KINDS.index(one[1].environment.kind)))  # type: ignore[arg-type]
    by_place = [(place, [(cell.environment, cell) for cell in places[place].values()]) for place in ordered]
    return Overview(first.environments, first.rows, first.total, by_place, whole)


def _versions(rows: QuerySet[Component]) -> dict[tuple[Any, Any], set[str]]:
    """Which versions run in the application parts, by environment and service."""
    running = rows.filter(kind=Component.Kind.APP).exclude(health__version="").exclude(health=None)
    found: dict[tuple[Any, Any], set[str]] = defaultdict(set)
    for environment, service, version in running.values_list("environment", "service", "health__version").distinct():
        found[environment, service].add(version)
    return found
