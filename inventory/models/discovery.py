"""What sources see, how their runs went, and where the declared and the seen differ."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Self

from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from uuid_utils.compat import uuid7

from identity.models import Scope
from identity.scoping import ScopedQuerySet
from inventory import lifecycle as states
from inventory.models.components import Component
from operations.models import Operation
from portal import clock
from portal.lifecycle import Stateful, Transition

EVERY = timedelta(seconds=60)
"""How often each source is read."""
STALE_AFTER = 5 * EVERY
"""A source without a complete run for so long is stale."""


class DiscoveryRunQuerySet(ScopedQuerySet["DiscoveryRun"]):
    view_action = "inventory.view"

    def newest(self) -> Self:
        """The newest run of each scope of each source."""
        return self.order_by("source", "listed", "-started_at").distinct("source", "listed")

    def complete(self) -> Self:
        return self.filter(state=states.COMPLETE)


class DiscoveryRun(Stateful):
    """One reading of one scope of one source.

    ``source`` is a connection key, ``driver`` its kind, ``listed`` the name of the scope within the source (empty when
    nothing could be read at all). ``at`` is when the listing was made. ``vanished`` holds [key, external id] of what a
    held run would remove.
    """

    lifecycle = states.run
    url_noun = "discovery"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.CharField(max_length=200)
    driver = models.CharField(max_length=32)
    listed = models.CharField(max_length=200, blank=True)
    covers = models.CharField(max_length=200, blank=True)
    tells = models.JSONField(default=list, blank=True)
    scope = models.ForeignKey(Scope, on_delete=models.PROTECT, related_name="+")
    state = states.run.field()
    at = models.DateTimeField(null=True)
    started_at = models.DateTimeField(default=clock.now)
    finished_at = models.DateTimeField(null=True)
    found = models.PositiveIntegerField(default=0)
    new = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    gone = models.PositiveIntegerField(default=0)
    vanished = models.JSONField(default=list, blank=True)
    known = models.PositiveIntegerField(default=0)
    problem = models.TextField(blank=True, max_length=2000)

    objects = DiscoveryRunQuerySet.as_manager()

    class Meta:
        ordering = ["-started_at"]
        indexes = [models.Index(fields=["source", "listed", "-started_at"], name="run_of_scope")]
        constraints = [
            states.run.check(),
            models.CheckConstraint(
                condition=Q(state=states.RUNNING, finished_at=None)
                | (~Q(state=states.RUNNING) & Q(finished_at__isnull=False)),
                name="run_finished_when_it_says_so",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[states.PARTIAL, states.FAILED, states.HELD]) | ~Q(problem=""),
                name="run_says_what_is_wrong",
            ),
            models.CheckConstraint(
                condition=~Q(state__in=[states.COMPLETE, states.HELD]) | Q(at__isnull=False),
                name="run_says_when_it_looked",
            ),
            models.UniqueConstraint(
                fields=["source", "listed"], condition=Q(state=states.HELD), name="run_held_once_per_scope"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.source} {self.listed}".strip()

    def get_absolute_url(self) -> str:
        return reverse("discovery-detail", args=[self.pk])

    @property
    def url_key(self) -> Any:
        return self.pk


class SightingQuerySet(ScopedQuerySet["Sighting"]):
    view_action = "inventory.view"


class Sighting(models.Model):
    """One thing as one source sees it. Kept as a tombstone when it is gone.

    ``key`` names it below the source, ``external_id`` wherever it goes; the two together are its identity. ``fields``
    maps a name to {"value", "changed_at"}; all of them are as fresh as ``last_seen``. ``relations`` holds
    [relation, other end]. ``component`` is what it was matched with, never by name alone.
    """

    class State(models.TextChoices):
        PRESENT = "present", "Present"
        SUSPECT = "suspect", "Missing once"
        GONE = "gone", "Gone"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.CharField(max_length=200)
    driver = models.CharField(max_length=32)
    listed = models.CharField(max_length=200)
    scope = models.ForeignKey(Scope, on_delete=models.PROTECT, related_name="+")
    key = models.CharField(max_length=300, blank=True)
    external_id = models.CharField(max_length=300, blank=True)
    kind = models.CharField(max_length=32)
    name = models.CharField(max_length=200)
    fields = models.JSONField(default=dict)
    addresses = models.JSONField(default=list)
    relations = models.JSONField(default=list)
    claims = models.JSONField(default=list)
    detail = models.BooleanField(default=False)
    component = models.ForeignKey(Component, null=True, blank=True, on_delete=models.SET_NULL, related_name="sightings")
    state = models.CharField(max_length=8, choices=State.choices, default=State.PRESENT)
    missed = models.PositiveSmallIntegerField(default=0)
    first_seen = models.DateTimeField()
    last_seen = models.DateTimeField()
    seen_in = models.ForeignKey(DiscoveryRun, null=True, on_delete=models.SET_NULL, related_name="sightings")

    objects = SightingQuerySet.as_manager()

    class Meta:
        ordering = ["source", "listed", "key"]
        indexes = [models.Index(fields=["external_id"], name="sighting_by_id", condition=~Q(external_id=""))]
        constraints = [
            models.UniqueConstraint(fields=["source", "listed", "key", "external_id"], name="sighting_once"),
            models.CheckConstraint(
                condition=Q(state="present", missed=0) | Q(state="suspect", missed=1) | Q(state="gone", missed__gte=2),
                name="sighting_missed_says_its_state",
            ),
            models.CheckConstraint(condition=Q(last_seen__gte=F("first_seen")), name="sighting_seen_in_order"),
        ]

    def __str__(self) -> str:
        return self.address

    @property
    def address(self) -> str:
        """Its key over the whole estate: the source, and what names it below."""
        return f"{self.source}#{self.key}" if self.key else self.source

    def value(self, name: str) -> Any:
        """What is seen of one field; ``None`` when nothing is."""
        held = self.fields.get(name)
        return held["value"] if held else None


class DriftQuerySet(ScopedQuerySet["Drift"]):
    view_action = "inventory.view"

    def standing(self) -> Self:
        """Not settled: open, or decided and waiting for its effect."""
        return self.exclude(state=states.SETTLED)

    def open(self) -> Self:
        return self.filter(state=states.OPEN)


class Drift(Stateful):
    """Something that is seen otherwise than it is declared.

    ``kind`` is its class. ``key`` is the same as long as it lasts; there is one standing drift of a key. What was
    decided holds for the values that were decided about: another observed value opens it again.
    """

    class Kind(models.TextChoices):
        MISSING = "missing", "Missing"
        UNMANAGED = "unmanaged", "Unmanaged"
        CHANGED = "changed", "Changed"
        ENVIRONMENT = "environment", "Wrong environment"
        STALE = "stale", "Stale observer"
        CONFLICT = "conflict", "Sources disagree"

    lifecycle = states.drift

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=400)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    field = models.CharField(max_length=255, blank=True)
    declared = models.JSONField(null=True)
    observed = models.JSONField(null=True)
    others = models.JSONField(default=list, blank=True)
    source = models.CharField(max_length=200)
    component = models.ForeignKey(Component, null=True, blank=True, on_delete=models.CASCADE, related_name="drifts")
    sighting = models.ForeignKey(Sighting, null=True, blank=True, on_delete=models.CASCADE, related_name="drifts")
    scope = models.ForeignKey(Scope, on_delete=models.PROTECT, related_name="+")
    since = models.DateTimeField(default=clock.now)
    state = states.drift.field()
    decided_at = models.DateTimeField(null=True)
    decided_by = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=1000, blank=True)
    exempt_until = models.DateTimeField(null=True)
    operation = models.ForeignKey(Operation, null=True, on_delete=models.PROTECT, related_name="+")
    settled_at = models.DateTimeField(null=True)

    objects = DriftQuerySet.as_manager()

    class Meta:
        ordering = ["-since"]
        indexes = [
            models.Index(fields=["scope", "-since"], name="drift_by_scope", condition=~Q(state=states.SETTLED)),
            models.Index(fields=["component"], name="drift_of_component", condition=~Q(state=states.SETTLED)),
        ]
        constraints = [
            states.drift.check(),
            models.UniqueConstraint(fields=["key"], condition=~Q(state=states.SETTLED), name="drift_stands_once"),
            models.CheckConstraint(
                condition=Q(component__isnull=False) | Q(sighting__isnull=False), name="drift_is_about_something"
            ),
            models.CheckConstraint(
                condition=Q(state=states.EXEMPTED, exempt_until__isnull=False) & ~Q(reason="")
                | ~Q(state=states.EXEMPTED) & Q(exempt_until=None),
                name="drift_exempted_until_and_why",
            ),
            models.CheckConstraint(
                condition=Q(state=states.PLANNED, operation__isnull=False)
                | ~Q(state=states.PLANNED) & Q(operation=None),
                name="drift_planned_has_its_operation",
            ),
            models.CheckConstraint(
                condition=Q(state__in=states.DECIDED, decided_at__isnull=False) & ~Q(decided_by="")
                | ~Q(state__in=states.DECIDED) & Q(decided_at=None, decided_by=""),
                name="drift_decided_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(state=states.SETTLED, settled_at__isnull=False)
                | ~Q(state=states.SETTLED) & Q(settled_at=None),
                name="drift_settled_at",
            ),
        ]

    def __str__(self) -> str:
        about = str(self.component or self.sighting)
        return f"{about}: {self.get_kind_display().lower()}{f' {self.field}' if self.field else ''}"

    def get_absolute_url(self) -> str:
        return reverse("drift-detail", args=[self.pk])

    @property
    def url_key(self) -> Any:
        return self.pk

    @property
    def about(self) -> str:
        """The component's slug, or the address of the thing that nobody declared."""
        return self.component.slug if self.component else self.sighting.address if self.sighting else ""

    def reason_against(self, transition: Transition, actor: Any) -> str:
        """Why a decision makes no sense for this class of drift."""
        from inventory.discovery.remedies import against

        return against(self, transition.name)

    @property
    def place(self) -> tuple[str, str]:
        """Environment and data center, by their slugs."""
        environment, _, rest = self.about.partition("/")
        return environment, rest.partition("/")[0]
