"""The nouns everybody points at: where things stand, what they are, what needs what."""

from __future__ import annotations

from typing import Any, Self

from django.db import models
from django.db.models import Exists, F, OuterRef, Q
from django.urls import reverse
from uuid_utils.compat import uuid7

from identity.models import EffectiveScope, Scope, Team
from identity.scoping import ScopedQuerySet, visible
from portal import clock


class Declared(models.Model):
    """Base of what a catalog may declare. ``declared_by`` names the catalog; empty when a row was made otherwise.

    Only rows that a catalog declared are ever removed by that catalog.
    """

    declared_by = models.SlugField(max_length=64, blank=True, db_index=False)

    class Meta:
        abstract = True


class DataCenterQuerySet(models.QuerySet["DataCenter"]):
    def visible_to(self, actor: Any, action: str = "inventory.view") -> DataCenterQuerySet:
        """Data centers in which ``actor`` holds ``action`` on at least one component."""
        return _where(self, actor, Component.objects.visible_to(actor, action).filter(data_center=OuterRef("pk")))


class DataCenter(Declared):
    """A place where things run. Its slug names the Celery queue that works there."""

    class Role(models.TextChoices):
        PRIMARY = "primary", "Primary"
        SECONDARY = "secondary", "Secondary"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True, max_length=64)
    name = models.CharField(max_length=120)
    provider = models.CharField(max_length=120, blank=True)
    region = models.CharField(max_length=120, blank=True)
    role = models.CharField(max_length=16, choices=Role.choices)

    objects = DataCenterQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("data-center-detail", args=[self.slug])


def _where[Q: models.QuerySet[Any]](rows: Q, actor: Any, reasons: models.QuerySet[Any]) -> Q:
    """The rows that ``reasons`` exist for; all of them for the portal itself, none for nobody."""
    if actor.pk is None:
        return rows if getattr(actor, "is_authenticated", False) else rows.none()
    return rows.filter(Exists(reasons))


def _held(actor: Any, action: str) -> models.QuerySet[EffectiveScope]:
    return EffectiveScope.objects.live().filter(account=actor.pk, account__is_active=True, action=action)


class EnvironmentQuerySet(models.QuerySet["Environment"]):
    def visible_to(self, actor: Any, action: str = "inventory.view") -> EnvironmentQuerySet:
        """Environments in which ``actor`` holds ``action`` on at least one service."""
        return _where(self, actor, _held(actor, action).filter(scope__environment=OuterRef("slug")))


class ServiceQuerySet(models.QuerySet["Service"]):
    def visible_to(self, actor: Any, action: str = "inventory.view") -> ServiceQuerySet:
        """Services on which ``actor`` holds ``action`` in at least one environment."""
        return _where(self, actor, _held(actor, action).filter(scope__service=OuterRef("slug")))


class Environment(Declared):
    """Local, staging or production: what may touch what ends here."""

    class Kind(models.TextChoices):
        LOCAL = "local", "Local"
        STAGING = "staging", "Staging"
        PRODUCTION = "production", "Production"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True, max_length=64)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    description = models.TextField(blank=True)

    objects = EnvironmentQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("environment-detail", args=[self.slug])


class Service(Declared):
    """What users know by name: one of the EDYE modules, or a supporting platform service."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True, max_length=64)
    name = models.CharField(max_length=120)
    description = models.TextField(blank=True)
    tier = models.PositiveSmallIntegerField(default=2)
    language = models.CharField(max_length=64, blank=True)
    repository = models.URLField(blank=True)
    runbook = models.URLField(blank=True)
    owner = models.ForeignKey(Team, null=True, on_delete=models.PROTECT, related_name="services")

    objects = ServiceQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        constraints = [models.CheckConstraint(condition=Q(tier__range=(1, 4)), name="service_tier")]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("service-detail", args=[self.slug])


class ComponentQuerySet(ScopedQuerySet["Component"]):
    view_action = "inventory.view"


class Component(Declared):
    """One thing that runs and can be pointed at: a process group, an edge, a cache, a bucket, a database.

    ``slug`` is unique and reads ``environment/data-center/name``. ``connection`` is the key under which
    ``drivers.connections`` knows how to reach it; empty when nothing watches it.
    """

    class Kind(models.TextChoices):
        EDGE = "edge", "Web server / reverse proxy"
        APP = "app", "Application process"
        PROCESS_MANAGER = "process_manager", "Process manager"
        CACHE = "cache", "Cache"
        SENTINEL = "sentinel", "Cache failover"
        OBJECT_STORE = "object_store", "Object storage"
        DATABASE = "database", "Relational database"
        DOCUMENT_DATABASE = "document_database", "Document database"
        QUEUE = "queue", "Message queue"
        CDN = "cdn", "CDN distribution"
        MAIL = "mail", "E-mail delivery"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.CharField(unique=True, max_length=200)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=32, choices=Kind.choices)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="components")
    service = models.ForeignKey(Service, on_delete=models.PROTECT, related_name="components")
    data_center = models.ForeignKey(DataCenter, null=True, on_delete=models.PROTECT, related_name="components")
    scope = models.ForeignKey(Scope, on_delete=models.PROTECT, related_name="components")
    endpoint = models.CharField(max_length=255, blank=True)
    connection = models.CharField(max_length=200, blank=True)
    attributes = models.JSONField(default=dict, blank=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ComponentQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        indexes = [models.Index(fields=["scope", "slug"], name="component_by_scope")]

    def __str__(self) -> str:
        return self.slug

    def get_absolute_url(self) -> str:
        return reverse("component-detail", args=[self.slug])

    @property
    def url_key(self) -> str:
        """What stands for the component in addresses."""
        return self.slug


class DependencyQuerySet(ScopedQuerySet["Dependency"]):
    view_action = "inventory.view"
    scope_path = "source__scope"

    def visible_to(self, actor: Any, action: str = "") -> Self:
        """Dependencies of which both ends may be seen: a link would tell the name of a foreign component."""
        return visible(super().visible_to(actor, action), actor, action or self.view_action, "target__scope")  # type: ignore[return-value]


class Dependency(Declared):
    """``source`` needs ``target``: hard (fails with it) or soft (degrades without it)."""

    class Kind(models.TextChoices):
        HARD = "hard", "Hard"
        SOFT = "soft", "Soft"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(Component, on_delete=models.CASCADE, related_name="needs")
    target = models.ForeignKey(Component, on_delete=models.CASCADE, related_name="needed_by")
    kind = models.CharField(max_length=8, choices=Kind.choices, default=Kind.HARD)

    objects = DependencyQuerySet.as_manager()

    class Meta:
        ordering = ["source__slug", "target__slug"]
        constraints = [
            models.UniqueConstraint(fields=["source", "target"], name="dependency_once"),
            models.CheckConstraint(condition=~Q(source=F("target")), name="dependency_not_on_itself"),
        ]

    def __str__(self) -> str:
        return f"{self.source_id} needs {self.target_id}"


class AppliedCatalog(models.Model):
    """One time a catalog was made true: which, by whom, and what it changed."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    catalog = models.SlugField(max_length=64)
    applied_at = models.DateTimeField(default=clock.now, editable=False)
    applied_by = models.CharField(max_length=200)
    created = models.PositiveIntegerField()
    changed = models.PositiveIntegerField()
    removed = models.PositiveIntegerField()

    class Meta:
        ordering = ["-applied_at"]

    def __str__(self) -> str:
        return f"catalog {self.catalog}"
