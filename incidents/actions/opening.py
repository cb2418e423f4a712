"""Opening an incident and deciding how bad it is."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from django.db import transaction

from identity import rights
from identity.models import Scope
from incidents import severity
from incidents.actions import paging
from incidents.actions.records import milestone, need, write
from incidents.lifecycle import WORKING
from incidents.models import Incident
from inventory.models import Component, Environment
from portal import clock, events
from portal.errors import Conflict, Denied
from portal.lifecycle import Actor, authorize, move

UNKNOWN_SERVICE = "platform"
RULES = events.System("classification rules")


def root_of(component: Component) -> str:
    """The dedupe key of everything that is wrong with ``component``."""
    return f"component:{component.slug}"


@transaction.atomic
def open(
    environment: Environment,
    *,
    by: Actor,
    title: str,
    component: Component | None = None,
    unknown_reason: str = "",
    summary: str = "",
    impact: int | None = None,
    urgency: int | None = None,
) -> Incident:
    """A person reports that something is wrong; with ``impact`` and ``urgency`` it is classified at once.

    Either the component or the reason why it is unknown must be given. A component that already has an incident in
    work is refused with ``Conflict``: people comment there instead.
    """
    scope = component.scope if component else rights.scope_for(environment.slug, UNKNOWN_SERVICE)
    authorize(by, "incidents.open", scope)
    problems = _against_opening(environment, component, title, unknown_reason)
    if (impact is None) != (urgency is None):
        problems.append("Give impact and urgency together, or neither.")
    need(problems, "Opening it")
    key = root_of(component) if component else ""
    if key and (other := Incident.objects.working().filter(dedupe_key=key).first()):
        raise Conflict(f"{other.reference} is already open on {component}. Comment there, or merge later.")
    incident = create(
        environment=environment,
        component=component,
        unknown_reason="" if component else unknown_reason.strip()[:300],
        scope=scope,
        title=title.strip()[:200],
        summary=summary,
        dedupe_key=key,
        opened_by_id=by.pk,
        by=by,
    )
    if impact is not None and urgency is not None:
        classify(incident, by=by, impact=impact, urgency=urgency, reason="Given when it was opened.")
    return incident


def _against_opening(
    environment: Environment, component: Component | None, title: str, unknown_reason: str
) -> list[str]:
    problems = [] if title.strip() else ["Say in a few words what is wrong."]
    if component is None and not unknown_reason.strip():
        problems.append("Name the component, or say why it is not known.")
    if component and component.environment_id != environment.pk:
        problems.append(f"{component} is not in {environment}.")
    return problems


def create(
    *, by: Actor, environment: Environment, scope: Scope, started_at: datetime | None = None, **facts: Any
) -> Incident:
    """Write a new incident with its first milestones and its event. Authorization is the caller's."""
    now = clock.now()
    started = min(started_at or now, now)
    production = environment.kind == Environment.Kind.PRODUCTION
    incident = Incident.objects.create(
        environment=environment,
        scope=scope,
        severity_cap=severity.cap(production),
        impact_started_at=started,
        detected_at=now,
        **facts,
    )
    milestone(incident, "impact_started", by=by, at=started)
    milestone(incident, "detected", by=by, at=now)
    after = {"title": incident.title, "component": incident.component and incident.component.slug}
    events.record("incidents.open", incident, by=by, reason=incident.unknown_reason, after=after)
    return incident


@transaction.atomic
def classify(
    incident: Incident, *, by: Actor, impact: int, urgency: int, reason: str = "", rule: str = "by hand"
) -> Incident:
    """Decide the severity from impact and urgency, and hand the incident to whoever that severity calls.

    SEV1 and SEV2 activate the response team, the others go to support; SEV1 to SEV3 page, in this transaction.
    """
    values = _decided(incident, impact, urgency)
    now = clock.now()
    move(
        incident,
        "classify",
        by=by,
        classified_at=now,
        severity_rule=f"{rule}, table {severity.VERSION}"[:120],
        **values,
    )
    milestone(incident, "classified", by=by, at=now)
    after = {"severity": incident.severity, "impact": impact, "urgency": urgency}
    events.record("incidents.classify", incident, by=by, reason=reason, after=after)
    _hand_over(incident)
    return incident


def _decided(incident: Incident, impact: int, urgency: int) -> dict[str, int]:
    problems = [] if impact in severity.Impact.values else ["Impact is a number from 1 (platform) to 4 (internal)."]
    if urgency not in severity.Urgency.values:
        problems.append("Urgency is a number from 1 (now) to 3 (days).")
    need(problems, "Classifying it")
    decided = severity.decide(impact, urgency, production=incident.severity_cap == 1)
    return {"impact": impact, "urgency": urgency, "severity": decided}


def _hand_over(incident: Incident) -> None:
    name = "activate" if incident.critical else "hand_to_support"
    move(incident, name, by=RULES)
    events.record(f"incidents.{name}", incident, by=RULES, after={"severity": incident.severity})
    if incident.target.pages:
        paging.start(incident, by=paging.PAGER)


@transaction.atomic
def reclassify(incident: Incident, *, by: Actor, impact: int, urgency: int, reason: str) -> Incident:
    """Change the severity. Anybody who may classify may raise it; only the commander of it may lower it, with a reason.

    Before mitigation has begun it goes to the response team or to support accordingly, and people are called.
    """
    authorize(by, "incidents.classify", incident)
    values = _decided(incident, impact, urgency)
    need([] if reason.strip() else ["Say why the severity changes."], "Changing the severity")
    before = {"severity": incident.severity, "impact": incident.impact, "urgency": incident.urgency}
    if incident.severity and values["severity"] > incident.severity:
        holder = incident.commander_id or (None if incident.critical else getattr(by, "person_id", None))
        if holder is None or holder != getattr(by, "person_id", None):
            raise Denied("Only the incident commander may lower the severity.")
    states = tuple(state for state in WORKING if state != "detected")
    write(incident, "incidents.classify", by=by, states=states, **values)
    events.record("incidents.reclassify", incident, by=by, reason=reason, before=before, after=values)
    if incident.state == ("support_handling" if incident.critical else "response_active"):
        _hand_over(incident)
    return incident
