"""When changes may begin: freezes forbid, maintenance windows are what some operations wait for."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from uuid_utils.compat import uuid7

from identity.models import Scope
from identity.models.scope import ANY
from operations import lifecycle as states
from portal import clock
from portal.lifecycle import Actor, Stateful, Transition


class ChangeWindowQuerySet(models.QuerySet["ChangeWindow"]):
    def standing(self) -> Self:
        """Not lifted."""
        return self.filter(state=states.DECLARED)

    def covering(self, scope: Scope) -> Self:
        """Those whose environment and service reach ``scope``."""
        return self.filter(environment__in=[ANY, scope.environment], service__in=[ANY, scope.service])

    def at(self, now: datetime) -> Self:
        """In force at ``now``: it has begun and not ended."""
        return self.filter(starts_at__lte=now, ends_at__gt=now)


def reached(environment: str, service: str) -> Scope:
    """The scope that stands for all that a window over these reaches; it need not be a row."""
    found = Scope.objects.filter(environment=environment, service=service).first()
    return found or Scope(environment=environment, service=service)


class ChangeWindow(Stateful):
    """A span of time over an environment and a service ("*": all of them).

    A *freeze*: no mutating operation begins; what runs goes on, and taking back is always allowed. *maintenance*: what
    was asked for "in the next maintenance window" begins.
    """

    class Kind(models.TextChoices):
        FREEZE = "freeze", "Freeze"
        MAINTENANCE = "maintenance", "Maintenance window"

    lifecycle = states.window

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    environment = models.CharField(max_length=64, default=ANY)
    service = models.CharField(max_length=64, default=ANY)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    reason = models.CharField(max_length=500)
    state = states.window.field()
    declared_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    declared_label = models.CharField(max_length=200)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ChangeWindowQuerySet.as_manager()

    class Meta:
        ordering = ["-starts_at"]
        constraints = [
            states.window.check(),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="window_ends_after_it_starts"),
            models.CheckConstraint(condition=~Q(reason=""), name="window_has_a_reason"),
        ]
        indexes = [models.Index(fields=["ends_at"], name="window_by_end", condition=Q(state=states.DECLARED))]

    def __str__(self) -> str:
        return f"{self.get_kind_display()}: {self.reason}"

    def get_absolute_url(self) -> str:
        return reverse("window-detail", args=[self.pk])

    @property
    def url_key(self) -> Any:
        return self.pk

    @property
    def reach(self) -> str:
        """Where it holds, for people."""
        environment = "every environment" if self.environment == ANY else self.environment
        return environment if self.service == ANY else f"{self.service} in {environment}"

    def reason_against(self, transition: Transition, actor: Actor) -> str:
        """Why ``actor`` cannot lift it: the right is needed on everything it reaches."""
        held = actor.has_perm(transition.permission, reached(self.environment, self.service))
        return "" if held else f"Needs the right “{transition.permission}” on {self.reach}."

    @property
    def phase(self) -> str:
        """ "lifted", "over", "now" or "to come"."""
        if self.state == states.LIFTED:
            return "lifted"
        now = clock.now()
        return "over" if self.ends_at <= now else "now" if self.starts_at <= now else "to come"
