"""Things that run and can be pointed at, and the ports they listen on."""

from __future__ import annotations

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.db.models.expressions import RawSQL
from django.urls import reverse

from identity.scoping import ScopedQuerySet
from inventory import kinds
from inventory.models.base import (
    APART,
    CROSSING_SQL,
    Declared,
    Labelled,
    Located,
    filtered,
    located_indexes,
    triggers,
)
from inventory.models.places import NetworkZone, Server
from inventory.models.searched import Searched, searched_indexes

_MOVED = f"""
    IF EXISTS (SELECT 1 FROM inventory_dependency link
                 JOIN inventory_component other ON other.id IN (link.source_id, link.target_id) AND other.id <> NEW.id
                WHERE NEW.id IN (link.source_id, link.target_id) AND other.environment_id <> NEW.environment_id
                  AND link.relation NOT IN ({CROSSING_SQL})) THEN
        {APART}
    END IF;
    RETURN NULL;
"""
"""The counterpart of the rule of dependencies: a component must not leave its links behind in another environment."""

# One at a time: two transactions that each add a half of a circle would not see one another. Only who makes something
# a part waits. A deadlock that comes of it is ended by PostgreSQL and told as a conflict.
_CIRCLES = """
    IF EXISTS (SELECT 1 FROM {made} made WHERE made.part_of_id IS NOT NULL) THEN
        PERFORM pg_advisory_xact_lock(hashtext('inventory_component.part_of'));
        IF EXISTS (WITH RECURSIVE line(part, whole) AS (
                       SELECT made.id, made.part_of_id FROM {made} made WHERE made.part_of_id IS NOT NULL
                       UNION
                       SELECT line.part, above.part_of_id
                         FROM line JOIN inventory_component above ON above.id = line.whole
                        WHERE above.part_of_id IS NOT NULL)
                   SELECT 1 FROM line WHERE part = whole) THEN
            RAISE EXCEPTION 'a component would be part of itself'
                  USING ERRCODE = 'check_violation', CONSTRAINT = 'component_in_no_circle';
        END IF;
    END IF;
    RETURN NULL;
"""


class ComponentQuerySet(Searched["Component"]):
    view_action = "inventory.view"


class Component(Declared, Labelled, Located):
    """One thing that runs and can be pointed at: a process group, an edge, a cache, a bucket, a database.

    ``slug`` is unique and reads ``environment/data-center/name``. ``connection`` is the key under which
    ``drivers.connections`` knows how to reach it; empty when nothing watches it. ``attributes`` are those of its kind
    (``inventory.kinds``); ``part_of`` is the cluster, set or manager it belongs to. ``classification`` and
    ``provenance`` say what data it holds and where that data comes from.
    """

    noun = "component"

    Kind = kinds.Kind
    Status = Server.Status

    class Classification(models.TextChoices):
        PUBLIC = "public", "Public"
        INTERNAL = "internal", "Internal"
        CONFIDENTIAL = "confidential", "Confidential"
        RESTRICTED = "restricted", "Restricted"

    class Provenance(models.TextChoices):
        PRODUCTION = "production", "Production data"
        ANONYMISED = "anonymised", "Anonymised production data"
        SYNTHETIC = "synthetic", "Synthetic data"

    slug = models.CharField(unique=True, max_length=200)
    name = models.CharField(max_length=120)
    kind = models.CharField(max_length=32, choices=Kind.choices)
    status = models.CharField(max_length=16, choices=Server.Status.choices, default=Server.Status.ACTIVE)
    server = models.ForeignKey(Server, null=True, blank=True, on_delete=models.PROTECT, related_name="components")
    part_of = models.ForeignKey("self", null=True, blank=True, on_delete=models.PROTECT, related_name="parts")
    software = models.CharField(max_length=64, blank=True)
    version = models.CharField(max_length=64, blank=True)
    endpoint = models.CharField(max_length=255, blank=True)
    connection = models.CharField(max_length=200, blank=True)
    classification = models.CharField(max_length=16, choices=Classification.choices, blank=True)
    provenance = models.CharField(max_length=16, choices=Provenance.choices, blank=True)
    external_id = models.CharField(max_length=200, blank=True)
    attributes = models.JSONField(default=dict, blank=True)

    objects = ComponentQuerySet.as_manager()

    class Meta:
        ordering = ["slug"]
        triggers = [
            *triggers("component"),
            pgtrigger.Trigger(
                name="isolated_move",
                when=pgtrigger.After,
                operation=pgtrigger.Update,
                condition=pgtrigger.AnyChange("environment"),
                func=_MOVED,
            ),
            pgtrigger.Trigger(
                name="circles_made",
                level=pgtrigger.Statement,
                when=pgtrigger.After,
                operation=pgtrigger.Insert,
                referencing=pgtrigger.Referencing(new="new_rows"),
                func=_CIRCLES.format(made="new_rows"),
            ),
            pgtrigger.Trigger(
                name="circles_changed",
                when=pgtrigger.After,
                operation=pgtrigger.Update,
                condition=pgtrigger.AnyChange("part_of"),
                func=_CIRCLES.format(made="(SELECT NEW.id, NEW.part_of_id)"),
            ),
        ]
        indexes = [
            filtered(
                "component", "tags", "kind", "status", "data_center", "environment", "service", "software", "version",
                "classification", "provenance", "declared_by", "custom", "attributes",
            ),
            *located_indexes("component", "kind", "status"),
            models.Index(fields=["updated_at", "slug"], name="component_by_change"),
            # What pages sum up, without a look at the rows.
            models.Index(fields=["scope", "data_center"], include=["id", "kind"], name="component_counted"),
            *searched_indexes("component"),
        ]  # fmt: skip
        constraints = [
            models.CheckConstraint(
                condition=RawSQL(kinds.attributes_check(), [], output_field=models.BooleanField()),
                name="component_attributes",
                violation_error_message="The attributes are not those of this kind.",
            ),
            models.CheckConstraint(
                condition=Q(part_of=None) | ~Q(part_of=F("id")),
                name="component_not_part_of_itself",
            ),
            models.UniqueConstraint(
                fields=["external_id"], condition=~Q(external_id=""), name="component_external_once"
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    def get_absolute_url(self) -> str:
        return reverse("component-detail", args=[self.slug])

    @property
    def url_key(self) -> str:
        """What stands for the component in addresses."""
        return self.slug

    @property
    def spec(self) -> kinds.Spec:
        """What is declared about its kind."""
        return kinds.KINDS[self.kind]


class EndpointQuerySet(ScopedQuerySet["Endpoint"]):
    view_action = "inventory.view"
    scope_path = "component__scope"


class Endpoint(Declared):
    """A port that a component listens on. The main address stays in ``Component.endpoint``."""

    noun = "endpoint"

    component = models.ForeignKey(Component, on_delete=models.CASCADE, related_name="endpoints")
    name = models.SlugField(max_length=64, db_index=False)
    protocol = models.CharField(max_length=16, default="tcp")
    host = models.CharField(max_length=255, blank=True)
    port = models.PositiveIntegerField()
    path = models.CharField(max_length=255, blank=True)
    tls = models.BooleanField(default=False)
    zone = models.ForeignKey(NetworkZone, null=True, blank=True, on_delete=models.PROTECT, related_name="endpoints")

    objects = EndpointQuerySet.as_manager()

    class Meta:
        ordering = ["component__slug", "name"]
        triggers = triggers("endpoint")
        constraints = [
            models.UniqueConstraint(fields=["component", "name"], name="endpoint_once"),
            models.CheckConstraint(condition=Q(port__range=(1, 65535)), name="endpoint_port"),
        ]

    def __str__(self) -> str:
        return f"{self.name}:{self.port}"

    def get_absolute_url(self) -> str:
        return self.component.get_absolute_url()
