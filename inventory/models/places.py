"""Where things stand: data centers, environments, network zones, groups of servers, and servers."""

from __future__ import annotations

from typing import Any

from django.db import models
from django.db.models import OuterRef, Q
from django.urls import reverse

from identity.scoping import ScopedQuerySet
from inventory.models.base import (
    Declared,
    Labelled,
    Located,
    held,
    labelled_indexes,
    located_indexes,
    triggers,
    where,
)
from inventory.models.searched import Searched, searched_indexes


class DataCenterQuerySet(models.QuerySet["DataCenter"]):
    def visible_to(self, actor: Any, action: str = "inventory.view") -> DataCenterQuerySet:
        """Data centers in which ``actor`` holds ``action`` on at least one component."""
        from inventory.models.components import Component

        return where(
            self, actor, action, Component.objects.visible_to(actor, action).filter(data_center=OuterRef("pk"))
        )


class DataCenter(Declared):
    """A place where things run. Its slug names the Celery queue that works there."""

    noun = "data-center"

    class Role(models.TextChoices):
        PRIMARY = "primary", "Primary"
        SECONDARY = "secondary", "Secondary"

    slug = models.SlugField(unique=True, max_length=64)
    name = models.CharField(max_length=120)
    provider = models.CharField(max_length=120, blank=True)
    region = models.CharField(max_length=120, blank=True)
    location = models.CharField(max_length=120, blank=True)
    role = models.CharField(max_length=16, choices=Role.choices)

    objects = DataCenterQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        triggers = triggers("data-center")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("data-center-detail", args=[self.slug])


class EnvironmentQuerySet(models.QuerySet["Environment"]):
    def visible_to(self, actor: Any, action: str = "inventory.view") -> EnvironmentQuerySet:
        """Environments in which ``actor`` holds ``action`` on at least one service."""
        return where(self, actor, action, held(actor, action).filter(scope__environment=OuterRef("slug")))


class Environment(Declared):
    """Local, staging or production: what may touch what ends here."""

    noun = "environment"

    class Kind(models.TextChoices):
        LOCAL = "local", "Local"
        STAGING = "staging", "Staging"
        PRODUCTION = "production", "Production"

    slug = models.SlugField(unique=True, max_length=64)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    description = models.TextField(blank=True)

    objects = EnvironmentQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        triggers = triggers("environment")

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("environment-detail", args=[self.slug])


class NetworkZoneQuerySet(models.QuerySet["NetworkZone"]):
    def visible_to(self, actor: Any, action: str = "inventory.view") -> NetworkZoneQuerySet:
        """Zones of environments in which ``actor`` holds ``action`` on at least one service."""
        return where(self, actor, action, held(actor, action).filter(scope__environment=OuterRef("environment__slug")))


class NetworkZone(Declared):
    """A part of the network with rules of its own. ``slug`` reads ``environment/data-center/name``."""

    noun = "network-zone"

    class Exposure(models.TextChoices):
        PUBLIC = "public", "Public"
        PRIVATE = "private", "Private"
        ISOLATED = "isolated", "Isolated"

    slug = models.CharField(unique=True, max_length=200)
    name = models.CharField(max_length=120)
    environment = models.ForeignKey(Environment, on_delete=models.PROTECT, related_name="zones")
    data_center = models.ForeignKey(DataCenter, null=True, blank=True, on_delete=models.PROTECT, related_name="zones")
    cidr = models.CharField(max_length=64, blank=True)
    exposure = models.CharField(max_length=16, choices=Exposure.choices, default=Exposure.PRIVATE)
    description = models.TextField(blank=True, max_length=2000)

    objects = NetworkZoneQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        triggers = triggers("network-zone")

    def __str__(self) -> str:
        return self.slug

    def get_absolute_url(self) -> str:
        return reverse("network-zone-detail", args=[self.slug])


class ServerGroupQuerySet(ScopedQuerySet["ServerGroup"]):
    view_action = "inventory.view"


class ServerGroup(Declared, Labelled, Located):
    """Servers that do the same and scale together. ``slug`` reads ``environment/data-center/name``."""

    noun = "server-group"

    slug = models.CharField(unique=True, max_length=200)
    name = models.CharField(max_length=120)
    least = models.PositiveIntegerField(default=0)
    most = models.PositiveIntegerField(null=True, blank=True)

    objects = ServerGroupQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        triggers = triggers("server-group")
        indexes = [*labelled_indexes("servergroup"), *located_indexes("servergroup")]
        constraints = [
            models.CheckConstraint(condition=Q(most=None) | Q(most__gte=models.F("least")), name="server_group_size")
        ]

    def __str__(self) -> str:
        return self.slug

    def get_absolute_url(self) -> str:
        return reverse("server-group-detail", args=[self.slug])


class ServerQuerySet(Searched["Server"]):
    view_action = "inventory.view"


class Server(Declared, Labelled, Located):
    """One machine or container that things run on. ``slug`` reads ``environment/data-center/name``.

    ``external_id`` is what its provider calls it (an EC2 instance id, a machine id): stable when the name changes.
    """

    noun = "server"

    class Kind(models.TextChoices):
        PHYSICAL = "physical", "Physical machine"
        VM = "vm", "Virtual machine"
        CONTAINER = "container", "Container"

    class Status(models.TextChoices):
        PLANNED = "planned", "Planned"
        ACTIVE = "active", "Active"
        RETIRING = "retiring", "Retiring"
        RETIRED = "retired", "Retired"

    slug = models.CharField(unique=True, max_length=200)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.VM)
    status = models.CharField(max_length=16, choices=Status.choices, default=Status.ACTIVE)
    group = models.ForeignKey(ServerGroup, null=True, blank=True, on_delete=models.PROTECT, related_name="servers")
    zone = models.ForeignKey(NetworkZone, null=True, blank=True, on_delete=models.PROTECT, related_name="servers")
    address = models.GenericIPAddressField(null=True, blank=True)
    operating_system = models.CharField(max_length=120, blank=True)
    cpus = models.PositiveIntegerField(null=True, blank=True)
    memory_mb = models.PositiveBigIntegerField(null=True, blank=True)
    disk_gb = models.PositiveBigIntegerField(null=True, blank=True)
    external_id = models.CharField(max_length=200, blank=True)

    objects = ServerQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        triggers = triggers("server")
        indexes = [
            *labelled_indexes("server"),
            *located_indexes("server", "kind", "status"),
            *searched_indexes("server"),
        ]
        constraints = [
            models.UniqueConstraint(fields=["external_id"], condition=~Q(external_id=""), name="server_external_once")
        ]

    def __str__(self) -> str:
        return self.slug

    def get_absolute_url(self) -> str:
        return reverse("server-detail", args=[self.slug])
