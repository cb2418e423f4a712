"""The incident: one thing that is wrong, and everything decided about it."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pgtrigger
from django.db import models
from django.db.models import Func, Q, Value
from django.db.models.functions import Cast, Concat
from django.urls import reverse
from uuid_utils.compat import uuid7

from identity.models import Account, Person, Scope
from identity.scoping import ScopedQuerySet
from incidents import guards, severity
from incidents.lifecycle import WORKING
from incidents.lifecycle import incident as lifecycle
from incidents.models.constraints import CONSTRAINTS
from incidents.severity import Target
from inventory.models import Component, Environment
from portal import clock
from portal.lifecycle import Actor, Stateful, Transition


class IncidentQuerySet(ScopedQuerySet["Incident"]):
    view_action = "incidents.view"

    def open(self) -> IncidentQuerySet:
        """Not closed, cancelled or merged."""
        return self.filter(state__in=lifecycle.open)

    def working(self) -> IncidentQuerySet:
        """Service is not restored yet."""
        return self.filter(state__in=WORKING)

    def of(self, person_id: Any) -> IncidentQuerySet:
        """Commanded, acknowledged or reported by this person, or their page."""
        mine = Q(commander=person_id) | Q(acknowledged_by=person_id) | Q(notifications__person=person_id)
        return self.filter(mine).distinct() if person_id else self.none()


class Incident(Stateful):
    """One thing that is wrong. ``dedupe_key`` is its root: signals of the same root join it while it is worked on.

    Severity is never set by hand: it follows from ``impact``, ``urgency`` and the environment (``severity.decide``).
    """

    lifecycle = lifecycle
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.BigIntegerField(
        unique=True, editable=False, db_default=Func(Value("incidents_incident_number"), function="nextval")
    )
    reference = models.GeneratedField(
        expression=Concat(Value("INC-"), Cast("number", models.CharField())),
        output_field=models.CharField(max_length=24),
        db_persist=True,
        unique=True,
    )
    state = lifecycle.field()
    title = models.CharField(max_length=200)
    summary = models.TextField(blank=True)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="incidents")
    component = models.ForeignKey(Component, null=True, on_delete=models.PROTECT, related_name="incidents")
    unknown_reason = models.CharField(max_length=300, blank=True)
    scope = models.ForeignKey(Scope, on_delete=models.PROTECT, related_name="incidents")
    dedupe_key = models.CharField(max_length=300, blank=True)
    severity_cap = models.PositiveSmallIntegerField(default=1)
    impact = models.PositiveSmallIntegerField(null=True, choices=severity.Impact.choices)
    urgency = models.PositiveSmallIntegerField(null=True, choices=severity.Urgency.choices)
    severity = models.PositiveSmallIntegerField(null=True, choices=severity.SEVERITIES, db_index=True)
    severity_rule = models.CharField(max_length=120, blank=True)
    opened_by = models.ForeignKey(Account, null=True, on_delete=models.PROTECT, related_name="+")
    commander = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="commanded")
    acknowledged_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    mitigation = models.TextField(blank=True)
    evidence = models.TextField(blank=True)
    diagnosis = models.TextField(blank=True)
    fix = models.CharField(max_length=12, blank=True, choices=[("permanent", "Permanent"), ("temporary", "Temporary")])
    validation = models.TextField(blank=True)
    follow_up = models.TextField(blank=True)
    set_aside_reason = models.TextField(blank=True)
    merged_into = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="merged")
    recurrence_of = models.ForeignKey("self", null=True, on_delete=models.PROTECT, related_name="recurrences")
    ticket = models.CharField(max_length=200, blank=True)
    ticket_waiver = models.CharField(max_length=300, blank=True)
    runbooks = models.TextField(blank=True)
    impact_started_at = models.DateTimeField()
    detected_at = models.DateTimeField(default=clock.now)
    classified_at = models.DateTimeField(null=True)
    first_page_at = models.DateTimeField(null=True)
    acknowledged_at = models.DateTimeField(null=True)
    mitigation_started_at = models.DateTimeField(null=True)
    mitigated_at = models.DateTimeField(null=True)
    resolved_at = models.DateTimeField(null=True)
    watch_until = models.DateTimeField(null=True)
    post_mortem_due_at = models.DateTimeField(null=True)
    approved_at = models.DateTimeField(null=True)
    approved_by = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    closed_at = models.DateTimeField(null=True)
    set_aside_at = models.DateTimeField(null=True)

    objects = IncidentQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        indexes = [
            models.Index(fields=["scope", "-number"], name="incident_by_scope"),
            models.Index(fields=["component", "-number"], name="incident_by_component"),
        ]
        constraints = [lifecycle.check(), *CONSTRAINTS]

    def __str__(self) -> str:
        return f"{self.reference} {self.title}"

    @property
    def url_key(self) -> str:
        return str(self.reference)

    def get_absolute_url(self) -> str:
        return reverse("incident-detail", args=[self.url_key])

    @property
    def critical(self) -> bool:
        return self.severity in severity.CRITICAL

    @property
    def target(self) -> Target:
        """What the severity asks for; the strictest while it is not known."""
        return severity.TARGETS[self.severity or 1]

    @property
    def severity_label(self) -> str:
        return f"SEV{self.severity}" if self.severity else "Not classified"

    @property
    def working(self) -> bool:
        return self.state in WORKING

    @property
    def watched(self) -> bool:
        """Resolved so lately that a return is the same incident."""
        return self.state == "resolved" and self.watch_until is not None and clock.now() < self.watch_until

    @property
    def lasted(self) -> timedelta:
        """From the start of the impact until service was restored (or until now)."""
        return (self.resolved_at or self.set_aside_at or clock.now()) - self.impact_started_at

    def reason_against(self, transition: Transition, actor: Actor) -> str:
        """Why the button is of no use yet, beyond state and rights: the first thing missing."""
        missing = guards.before(transition.name, self, actor)
        return missing[0] if missing else ""


class Milestone(models.Model):
    """When something was reached. Never changed: a second time is a second row, and the incident has the latest."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="milestones")
    kind = models.CharField(max_length=32)
    at = models.DateTimeField()
    recorded_at = models.DateTimeField(default=clock.now)
    actor_label = models.CharField(max_length=200)

    class Meta:
        ordering = ["at", "recorded_at"]
        triggers = [pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)]

    def __str__(self) -> str:
        return f"{self.kind} at {self.at:%Y-%m-%d %H:%M:%S}"


class Note(models.Model):
    """What somebody wrote while working on it. Never changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="notes")
    author = models.ForeignKey(Account, null=True, on_delete=models.PROTECT, related_name="+")
    author_label = models.CharField(max_length=200)
    text = models.TextField()
    at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["-at"]
        triggers = [pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)]

    def __str__(self) -> str:
        return self.text[:80]
