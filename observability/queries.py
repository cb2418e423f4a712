"""What the screens show: health summed up by environment and service, by data center, and over the last hours."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any
from uuid import UUID

from django.db.models import QuerySet

from inventory.models import Component, DataCenter, Environment, Service
from observability.health import DEGRADED, DOWN, STATES, UNKNOWN, worst
from observability.models import ComponentHealth, Sample
from portal import clock
from portal.lifecycle import State
from portal.prepared import prepared
from portal.ui import Panel

KINDS = (Environment.Kind.PRODUCTION, Environment.Kind.STAGING, Environment.Kind.LOCAL)
"""What matters most comes first."""
SPARK = timedelta(hours=3)


def with_health(rows: QuerySet[Component]) -> list[Component]:
    """The components with what screens need of them, in one query."""
    return list(rows.select_related("environment", "service", "data_center", "health"))


def health_of(component: Component) -> ComponentHealth | None:
    """The latest reading, or ``None`` when there never was one."""
    return getattr(component, "health", None)


def state_of(component: Component) -> str:
    """The state that may be shown of a component: unknown without a fresh reading."""
    health = health_of(component)
    return health.current if health else UNKNOWN


def said(states: Mapping[str, int]) -> str:
    """How many parts there are, and how many of them are in a state other than healthy."""
    parts = [f"{states[name]:,} {STATES[name].label.lower()}" for name in (DOWN, DEGRADED, UNKNOWN) if states.get(name)]
    total = sum(states.values())
    return f"{total:,} component{'' if total == 1 else 's'}{': ' if parts else ''}{', '.join(parts)}"


@dataclass
class Whole:
    """Several components seen as one. The worst speaks for all, and what is not known is never healthy."""

    components: list[Component] = field(default_factory=list)

    @property
    def state(self) -> str:
        return worst(state_of(component) for component in self.components)

    @property
    def state_info(self) -> State:
        return STATES[self.state]

    @property
    def _readings(self) -> list[ComponentHealth]:
        return [health for component in self.components if (health := health_of(component)) and health.observed_at]

    @property
    def oldest(self) -> datetime | None:
        """When the part that was looked at longest ago was looked at (``None``: nothing ever was)."""
        return min((health.observed_at for health in self._readings if health.observed_at), default=None)

    @property
    def versions(self) -> list[str]:
        """Versions that run in the application parts, each once."""
        apps = [c for c in self.components if c.kind == Component.Kind.APP]
        return sorted({health.version for c in apps if (health := health_of(c)) and health.version})

    @property
    def counts(self) -> str:
        """How many parts there are, and how many of them are in a state other than healthy."""
        return said(Counter(state_of(component) for component in self.components))


@dataclass
class Cell(Whole):
    """One service in one environment. ``marks`` are counts that other apps add: (label, count, address)."""

    environment: Any = None
    service: Any = None
    marks: list[tuple[str, int, str]] = field(default_factory=list)


@dataclass
class Dashboard:
    """Everything visible, as a matrix of environments and services, and by data center."""

    environments: list[Environment]
    rows: list[tuple[Service, list[Cell | None]]]
    places: list[tuple[DataCenter | None, list[tuple[Environment, Whole]]]]
    whole: Whole

    def cells(self) -> list[Cell]:
        """Every cell that has something in it."""
        return [cell for _, cells in self.rows for cell in cells if cell]


def dashboard(components: list[Component]) -> Dashboard:
    """Sum up components that were read ``with_health``. Asks the database nothing."""
    environments = sorted({c.environment for c in components}, key=lambda e: (KINDS.index(e.kind), e.slug))  # type: ignore[arg-type]
    services = sorted({c.service for c in components}, key=lambda service: (service.tier, service.name))
    cells: dict[tuple[Any, Any], Cell] = {}
    places: dict[Any, dict[Any, Whole]] = {}
    for component in components:
        key = component.environment_id, component.service_id
        cell = cells.setdefault(key, Cell(environment=component.environment, service=component.service))
        cell.components.append(component)
        place = places.setdefault(component.data_center, {})
        place.setdefault(component.environment, Whole()).components.append(component)
    rows = [(service, [cells.get((e.pk, service.pk)) for e in environments]) for service in services]
    ordered = sorted(
        places, key=lambda place: (place is None, place.role if place else "", place.slug if place else "")
    )
    by_place = [(place, [(e, places[place][e]) for e in environments if e in places[place]]) for place in ordered]
    return Dashboard(environments, rows, by_place, Whole(components))


def mark(shown: Any, counts: Iterable[Panel]) -> None:
    """Add other apps' counts per (environment slug, service slug), each with the address that lists them."""
    for panel in counts:
        for cell in shown.cells():
            count, url = panel.context["counts"].get((cell.environment.slug, cell.service.slug), (0, ""))
            if count:
                title = panel.title.removesuffix("s") if count == 1 else panel.title
                cell.marks.append((title, count, url))


@prepared
def _samples(component: UUID) -> QuerySet[Sample, tuple[datetime, float | None]]:
    rows = Sample.objects.filter(component=component, minute__gt=clock.now() - SPARK)
    return rows.values_list("minute", "latency_ms")


def latency(component: Component) -> list[float | None]:
    """Slowest reading of each minute in milliseconds, oldest first; ``None`` where nothing was read."""
    now = clock.now().replace(second=0, microsecond=0)
    known = dict(_samples(component.pk))
    minutes = int(SPARK.total_seconds() // 60)
    return [known.get(now - timedelta(minutes=back)) for back in range(minutes - 1, -1, -1)]
