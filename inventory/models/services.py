"""What users know by name."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import OuterRef, Q
from django.urls import reverse

from identity.models import Team
from inventory.models.base import Declared, Labelled, held, labelled_indexes, triggers, where


class ServiceQuerySet(models.QuerySet["Service"]):
    def visible_to(self, actor: Any, action: str = "inventory.view") -> ServiceQuerySet:
        """Services on which ``actor`` holds ``action`` in at least one environment."""
        return where(self, actor, action, held(actor, action).filter(scope__service=OuterRef("slug")))


class Service(Declared, Labelled):
    """What users know by name: one of the EDYE modules, or a supporting platform service.

    ``slo`` is the declared objective in percent of good requests.
    """

    noun = "service"

    slug = models.SlugField(unique=True, max_length=64)
    name = models.CharField(max_length=120)
    tier = models.PositiveSmallIntegerField(default=2)
    language = models.CharField(max_length=64, blank=True)
    framework = models.CharField(max_length=64, blank=True)
    repository = models.URLField(blank=True)
    runbook = models.URLField(blank=True)
    slo = models.DecimalField(max_digits=6, decimal_places=3, null=True, blank=True)
    owner = models.ForeignKey(Team, null=True, blank=True, on_delete=models.PROTECT, related_name="services")

    objects = ServiceQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        triggers = triggers("service")
        indexes = labelled_indexes("service")
        constraints = [
            models.CheckConstraint(condition=Q(tier__range=(1, 4)), name="service_tier"),
            models.CheckConstraint(condition=Q(slo=None) | Q(slo__gt=0, slo__lt=100), name="service_slo"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("service-detail", args=[self.slug])
