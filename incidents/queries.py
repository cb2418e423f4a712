"""Questions over several nouns: where a signal belongs, and what stands open."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta

from identity import rights
from identity.models import Scope
from incidents.actions.opening import UNKNOWN_SERVICE, root_of
from incidents.models import Incident, Schedule, SignalSource
from incidents.rotation import Shift, shifts
from inventory.models import Component, Environment, Service
from portal import clock


@dataclass(frozen=True)
class Place:
    """What a signal is about. Without a component, ``reason`` says why it is not known."""

    environment: Environment
    scope: Scope
    component: Component | None = None
    reason: str = ""

    def root(self, source: SignalSource, name: str) -> str:
        """The dedupe key: the component, or the alert's own name where the component is not known."""
        return root_of(self.component) if self.component else f"{source.slug}:{self.scope}:{name}"[:300]


def locate(labels: dict[str, str], source: SignalSource) -> Place:
    """The component of a signal: label ``component`` is its slug, else ``service`` and ``environment`` (and
    ``data_center``) name exactly one. The source's own environment stands in where no label names a known one.
    """
    known = Component.objects.select_related("environment", "service", "scope")
    slug = labels.get("component", "")
    if slug:
        found = known.filter(slug=slug[:200]).first()
        if found:
            return Place(found.environment, found.scope, found)
    environment = _environment(labels, source)
    service = Service.objects.filter(slug=labels.get("service", "")[:64]).first()
    if service is None:
        named = f"the label component={slug}" if slug else "no label"
        reason = f"The signal says where it comes from by {named}, and nothing by that name is in the inventory."
        return _unknown(environment, source, None, reason)
    matches = known.filter(service=service, environment=environment)
    if center := labels.get("data_center") or labels.get("datacenter"):
        matches = matches.filter(data_center__slug=center[:64])
    candidates = list(matches[:20])
    by_name = [one for one in candidates if one.name == service.slug]
    chosen = by_name if len(by_name) == 1 else candidates
    if len(chosen) == 1:
        return Place(chosen[0].environment, chosen[0].scope, chosen[0])
    count = "Several components" if chosen else "No component"
    return _unknown(environment, source, service, f"{count} of {service.slug} in {environment.slug} fit the labels.")


def _environment(labels: dict[str, str], source: SignalSource) -> Environment:
    named = labels.get("environment") or labels.get("env") or ""
    found = Environment.objects.filter(slug=named[:64]).first() if named else None
    environment = found or source.environment or Environment.objects.order_by("-kind").first()
    assert environment is not None, "a source without an environment exists only inside the portal"
    return environment


def _unknown(environment: Environment, source: SignalSource, service: Service | None, reason: str) -> Place:
    if service is None and source.scope and environment == source.environment:
        return Place(environment, source.scope, None, reason[:300])
    scope = rights.scope_for(environment.slug, service.slug if service else UNKNOWN_SERVICE)
    return Place(environment, scope, None, reason[:300])


STAGES = (
    ("detected", "Detected", "detected_at"),
    ("classified", "Classified", "classified_at"),
    ("paged", "Paged", "first_page_at"),
    ("acknowledged", "Acknowledged", "acknowledged_at"),
    ("mitigated", "Mitigated", "mitigated_at"),
    ("resolved", "Resolved", "resolved_at"),
    ("approved", "Reviewed", "approved_at"),
    ("closed", "Closed", "closed_at"),
)


@dataclass(frozen=True)
class Stage:
    """One place of the strip: when it was reached (``None``: not yet), and how long after the one before."""

    slug: str
    label: str
    at: datetime | None
    after: timedelta | None


def stages(incident: Incident) -> list[Stage]:
    """The way of an incident as the strip shows it."""
    found, before = [], incident.impact_started_at
    for slug, label, name in STAGES:
        at = getattr(incident, name)
        found.append(Stage(slug, label, at, max(at - before, timedelta(0)) if at else None))
        before = at or before
    return found


def clocks(incident: Incident) -> list[tuple[str, timedelta]]:
    """The times that people answer for: how long it lasts, and how long each thing took."""
    start, page = incident.impact_started_at, incident.first_page_at
    found = [("Lasted" if not incident.working else "Lasts", incident.lasted)]
    if page and incident.acknowledged_at:
        found.append(("To acknowledge", max(incident.acknowledged_at - page, timedelta(0))))
    if incident.mitigated_at:
        found.append(("To mitigate", incident.mitigated_at - start))
    if incident.resolved_at:
        found.append(("To resolve", incident.resolved_at - start))
    return found


@dataclass(frozen=True)
class Duty:
    """A schedule with who has it now, and who comes next."""

    schedule: Schedule
    now: Shift
    next: Shift | None


def duties(days: int = 60) -> list[Duty]:
    """Every schedule, with now and next."""
    at = clock.now()
    found = []
    for schedule in Schedule.objects.select_related("team").prefetch_related("members__person", "overrides__person"):
        coming = shifts(schedule.rotation(), schedule.replacements(), at, at + timedelta(days=days))
        present = next(coming)
        later = (shift for shift in coming if shift.member != present.member)
        found.append(Duty(schedule, present, next(later, None)))
    return found
