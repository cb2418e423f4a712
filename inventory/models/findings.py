"""What breaks a rule of the estate now, since when, and until when somebody lets it be."""

from __future__ import annotations

from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from uuid_utils.compat import uuid7

from identity.models import Scope
from inventory.models.base import held
from inventory.models.components import Component
from inventory.models.places import Environment
from inventory.models.services import Service
from portal import clock
from portal.lifecycle import Tone


class FindingQuerySet(models.QuerySet["Finding"]):
    def visible_to(self, actor: Any, action: str = "inventory.view") -> Self:
        """Findings on scopes that ``actor`` may see; those on a whole service with any part of it."""
        if actor.pk is None:
            return self if getattr(actor, "is_authenticated", False) else self.none()
        rights = held(actor, action)
        there = Q(Exists(rights.filter(scope=OuterRef("scope_id"))))
        anywhere = Q(scope=None) & Exists(rights.filter(scope__service=OuterRef("service__slug")))
        return self.filter(there | anywhere)

    def present(self) -> Self:
        """What is so now, let be or not."""
        return self.filter(gone_at=None)

    def exempt(self) -> Self:
        return self.present().filter(exempt_until__gte=clock.now().date())

    def open(self) -> Self:
        """What is so now and nobody lets be."""
        return self.present().exclude(exempt_until__gte=clock.now().date())


class Finding(models.Model):
    """One thing that breaks one rule (``inventory.rules``).

    It is about a component, or about a service (``environment`` empty: everywhere). ``subject`` stands for that in one
    value. Rows are written by the reconciler ``inventory.findings``; one that is mended keeps its row for a while
    (``gone_at``), so that an exemption outlives a flapping cause.
    """

    class Severity(models.IntegerChoices):
        CRITICAL = 1, "Critical"
        HIGH = 2, "High"
        MEDIUM = 3, "Medium"
        LOW = 4, "Low"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    rule = models.SlugField(max_length=64, db_index=False)
    severity = models.PositiveSmallIntegerField(choices=Severity.choices)
    subject = models.UUIDField()
    component = models.ForeignKey(Component, null=True, on_delete=models.CASCADE, related_name="findings")
    service = models.ForeignKey(Service, on_delete=models.CASCADE, related_name="findings")
    environment = models.ForeignKey(Environment, null=True, on_delete=models.CASCADE, related_name="findings")
    scope = models.ForeignKey(Scope, null=True, on_delete=models.PROTECT, related_name="findings")
    detail = models.CharField(max_length=255, blank=True)
    since = models.DateTimeField()
    gone_at = models.DateTimeField(null=True)
    exempt_until = models.DateField(null=True)
    exempt_reason = models.TextField(blank=True, max_length=1000)
    exempt_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")

    objects = FindingQuerySet.as_manager()

    class Meta:
        ordering = ["severity", "since"]
        indexes = [models.Index(fields=["severity", "since"], name="finding_present", condition=Q(gone_at=None))]
        constraints = [
            models.UniqueConstraint(fields=["rule", "subject"], name="finding_once"),
            models.CheckConstraint(
                condition=Q(exempt_until=None, exempt_reason="", exempt_by=None)
                | Q(exempt_until__isnull=False, exempt_by__isnull=False) & ~Q(exempt_reason=""),
                name="finding_exempt_with_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.rule} on {self.about}"

    def get_absolute_url(self) -> str:
        return reverse("finding-detail", args=[self.pk])

    @property
    def url_key(self) -> Any:
        return self.pk

    @property
    def about(self) -> Component | Service:
        """What has to be mended."""
        return self.component or self.service

    @property
    def is_exempt(self) -> bool:
        return self.exempt_until is not None and self.exempt_until >= clock.now().date()

    @property
    def tone(self) -> Tone:
        if self.gone_at or self.is_exempt:
            return Tone.MUTED
        return {1: Tone.BAD, 2: Tone.WARN, 3: Tone.INFO}.get(self.severity, Tone.NEUTRAL)
