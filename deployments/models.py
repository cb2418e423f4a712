"""Artifacts, the deployments that bring them somewhere, and the waves a deployment goes in."""

from __future__ import annotations

from typing import Any

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q
from django.urls import reverse
from uuid_utils.compat import uuid7

from deployments.lifecycle import ACTIVE, deployment
from identity.models import EffectiveScope, Scope
from identity.scoping import ScopedQuerySet
from inventory.models import Component, Environment, Service
from portal import clock
from portal.lifecycle import Stateful, Transition


class CiSource(models.Model):
    """A CI server that announces artifacts by webhook, signed with a secret that lives outside the database."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True, max_length=64)
    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    secret_reference = models.CharField(max_length=255)
    is_active = models.BooleanField(default=True)

    def __str__(self) -> str:
        return self.slug


class CiDelivery(models.Model):
    """One webhook delivery, kept so that a repeated one changes nothing."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(CiSource, on_delete=models.PROTECT, related_name="deliveries")
    delivery_id = models.CharField(max_length=120)
    body_digest = models.CharField(max_length=64)
    artifact = models.ForeignKey("Artifact", null=True, on_delete=models.PROTECT, related_name="+")
    received_at = models.DateTimeField(default=clock.now)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["source", "delivery_id"], name="ci_delivery_once")]

    def __str__(self) -> str:
        return self.delivery_id


class ArtifactQuerySet(models.QuerySet["Artifact"]):
    def visible_to(self, actor: Any, action: str = "deployments.view") -> ArtifactQuerySet:
        """Artifacts of services on which ``actor`` holds ``action`` in at least one environment."""
        if actor.pk is None:
            return self if getattr(actor, "is_authenticated", False) else self.none()
        held = EffectiveScope.objects.live().filter(account=actor.pk, account__is_active=True, action=action)
        return self.filter(Exists(held.filter(scope__service=OuterRef("service__slug"))))


class Artifact(models.Model):
    """What CI built: a version of a service, known by the digest of its bytes. Never changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="artifacts")
    scope = models.ForeignKey(Scope, on_delete=models.PROTECT, related_name="+")
    version = models.CharField(max_length=64)
    digest = models.CharField(max_length=71, unique=True)
    location = models.CharField(max_length=500)
    commit = models.CharField(max_length=64, blank=True)
    author = models.ForeignKey("identity.Person", null=True, on_delete=models.PROTECT, related_name="+")
    author_label = models.CharField(max_length=200, blank=True)
    run_url = models.URLField(blank=True)
    announced_at = models.DateTimeField(default=clock.now)

    objects = ArtifactQuerySet.as_manager()

    class Meta:
        ordering = ["-announced_at", "-id"]
        constraints = [models.UniqueConstraint(fields=["service", "version"], name="artifact_version_once")]

    def __str__(self) -> str:
        return f"{self.service.slug} {self.version}"

    def get_absolute_url(self) -> str:
        return reverse("artifact-detail", args=[self.pk])


class DeploymentQuerySet(ScopedQuerySet["Deployment"]):
    view_action = "deployments.view"

    def active(self) -> DeploymentQuerySet:
        return self.filter(state__in=ACTIVE)

    def open(self) -> DeploymentQuerySet:
        return self.exclude(state__in=deployment.terminal)


class Deployment(Stateful):
    """One artifact into one environment. Its waves, one a data center, are the plan an approver reads."""

    lifecycle = deployment

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.PositiveIntegerField(unique=True, editable=False)
    state = deployment.field()
    artifact = models.ForeignKey(Artifact, on_delete=models.PROTECT, related_name="deployments")
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="deployments")
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="deployments")
    scope = models.ForeignKey(Scope, on_delete=models.PROTECT, related_name="deployments")
    requested_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    requested_at = models.DateTimeField(default=clock.now)
    plan_digest = models.CharField(max_length=64, blank=True)
    approved_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    approved_at = models.DateTimeField(null=True)
    approved_digest = models.CharField(max_length=64, blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    outcome = models.TextField(blank=True)

    objects = DeploymentQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            deployment.check(),
            models.UniqueConstraint(
                fields=["service", "environment"], condition=Q(state__in=ACTIVE), name="deployment_one_active"
            ),
            models.CheckConstraint(
                condition=Q(approved_by__isnull=True) ^ Q(approved_at__isnull=False), name="deployment_approved_pair"
            ),
            models.CheckConstraint(
                condition=Q(state__in=deployment.terminal) ^ Q(finished_at__isnull=True),
                name="deployment_finished_pair",
            ),
        ]

    def __str__(self) -> str:
        return f"DEP-{self.number} {self.artifact.version} to {self.environment_id and self.environment.slug}"

    @property
    def url_key(self) -> str:
        return f"DEP-{self.number}"

    def get_absolute_url(self) -> str:
        return reverse("deployment-detail", args=[self.url_key])

    @property
    def gated(self) -> bool:
        """Whether a second person must agree: production, always."""
        return self.environment.kind == Environment.Kind.PRODUCTION

    @property
    def lost_ground(self) -> str:
        """Why what was agreed no longer stands; empty while it does."""
        approver = self.approved_by
        if self.gated and approver is not None and not approver.has_perm("deployments.approve", self):
            return f"{approver}, who approved it, may no longer do so here."
        return ""

    def reason_against(self, move: Transition, actor: Any) -> str:
        """Why ``actor`` cannot make ``move`` although the right is there (the approver must be somebody else)."""
        if move.name != "approve":
            return ""
        person = getattr(actor, "person_id", None)
        if person is None:
            return "Only a person can approve."
        if person == self.artifact.author_id:
            return "You wrote this version; somebody else approves it."
        if self.requested_by and person == self.requested_by.person_id:
            return "You asked for this deployment; somebody else approves it."
        return ""


class Wave(models.Model):
    """A deployment's part in one data center: the component, and the operation whose steps an approver reads.

    ``back`` is the operation that gave the old version its traffic back after this wave was done.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    deployment = models.ForeignKey(Deployment, on_delete=models.CASCADE, related_name="waves")
    position = models.PositiveSmallIntegerField()
    component = models.ForeignKey(Component, on_delete=models.PROTECT, related_name="+")
    operation = models.OneToOneField("operations.Operation", null=True, on_delete=models.PROTECT, related_name="wave")
    back = models.OneToOneField("operations.Operation", null=True, on_delete=models.PROTECT, related_name="wave_back")

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["deployment", "position"], name="wave_once")]

    def __str__(self) -> str:
        return f"wave {self.position + 1} on {self.component_id and self.component.slug}"
