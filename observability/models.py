"""What was seen: the latest health of each component, and a day of history by the minute."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import Case, F, Q, Value, When

from inventory.models import Component
from observability.health import CHOICES, STATES, UNKNOWN
from portal import clock
from portal.lifecycle import State

INTERVAL = timedelta(seconds=5)
"""How often each component is read."""
STALE_AFTER = 3 * INTERVAL
"""A reading older than this says nothing about now."""
KEPT = timedelta(hours=24)
"""How long the history by the minute is kept."""


class ComponentHealthQuerySet(models.QuerySet["ComponentHealth"]):
    def fresh(self) -> ComponentHealthQuerySet:
        """Only rows whose reading is young enough to believe."""
        return self.filter(observed_at__gt=clock.now() - STALE_AFTER)


def shown_state(path: str = "health") -> Case:
    """Expression of the state to show for the health at ``path``: the stored one while fresh, otherwise unknown."""
    fresh = Q(**{f"{path}__observed_at__gt": clock.now() - STALE_AFTER})
    return Case(When(fresh, then=F(f"{path}__state")), default=Value(UNKNOWN), output_field=models.CharField())


class ComponentHealth(models.Model):
    """The latest reading of one component.

    ``state`` is what the last reading said; ask ``current`` for what may be shown, because a reading grows old.
    ``announced`` is the state the last event told about, ``readings`` how many in a row agree on ``state``.
    """

    component = models.OneToOneField(Component, primary_key=True, on_delete=models.CASCADE, related_name="health")
    state = models.CharField(max_length=32, choices=CHOICES, default=UNKNOWN)
    announced = models.CharField(max_length=32, choices=CHOICES, default=UNKNOWN)
    readings = models.PositiveIntegerField(default=0)
    observed_at = models.DateTimeField(null=True)
    since = models.DateTimeField(null=True)
    version = models.CharField(max_length=100, blank=True)
    latency_ms = models.FloatField(null=True)
    facts = models.JSONField(default=dict, blank=True)
    numbers = models.JSONField(default=dict, blank=True)
    error = models.CharField(max_length=500, blank=True)

    objects = ComponentHealthQuerySet.as_manager()

    class Meta:
        # Only of what rarely changes: an index on the instant would make each reading write to it.
        indexes = [models.Index(fields=["state"], condition=~Q(state="healthy"), name="health_ill")]
        constraints = [
            models.CheckConstraint(condition=Q(state__in=list(STATES)), name="health_state"),
            models.CheckConstraint(
                condition=Q(state=UNKNOWN) | Q(observed_at__isnull=False), name="health_known_was_observed"
            ),
        ]

    def __str__(self) -> str:
        return f"health of {self.component_id}"

    @property
    def scope_id(self) -> Any:
        return self.component.scope_id

    @property
    def is_stale(self) -> bool:
        """Whether the last reading is too old to say anything about now."""
        return self.observed_at is None or clock.now() - self.observed_at >= STALE_AFTER

    @property
    def current(self) -> str:
        """The state that may be shown: the stored one while its reading is fresh, otherwise unknown."""
        return UNKNOWN if self.is_stale else self.state

    @property
    def state_info(self) -> State:
        return STATES[self.current]


class Sample(models.Model):
    """One minute of one component: how many readings, the worst of them, and latency in milliseconds."""

    component = models.ForeignKey(Component, on_delete=models.CASCADE, related_name="samples")
    minute = models.DateTimeField()
    state = models.CharField(max_length=32, choices=CHOICES)
    readings = models.PositiveIntegerField(default=1)
    latency_ms = models.FloatField(null=True)
    """The slowest of the minute."""

    class Meta:
        ordering = ["minute"]
        constraints = [models.UniqueConstraint(fields=["component", "minute"], name="sample_once_per_minute")]
        indexes = [models.Index(fields=["minute"], name="sample_by_minute")]

    def __str__(self) -> str:
        return f"{self.component_id} at {self.minute:%H:%M}"
