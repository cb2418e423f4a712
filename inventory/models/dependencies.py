"""What needs what, and how."""

from __future__ import annotations

from typing import Any, Self

import pgtrigger
from django.db import models
from django.db.models import F, Q
from django.urls import reverse

from identity.scoping import ScopedQuerySet, visible
from inventory.models.base import APART, CROSSING_SQL, Declared, filtered, triggers
from inventory.models.components import Component

_ISOLATED = f"""
    IF EXISTS (SELECT 1 FROM new_rows link
                 JOIN inventory_component source ON source.id = link.source_id
                 JOIN inventory_component target ON target.id = link.target_id
                WHERE source.environment_id <> target.environment_id
                  AND link.relation NOT IN ({CROSSING_SQL})) THEN
        {APART}
    END IF;
    RETURN NULL;
"""


def _isolated(operation: Any, referencing: pgtrigger.Referencing) -> pgtrigger.Trigger:
    return pgtrigger.Trigger(
        name=f"isolated_{str(operation).lower()}",
        level=pgtrigger.Statement,
        when=pgtrigger.After,
        operation=operation,
        referencing=referencing,
        func=_ISOLATED,
    )


class DependencyQuerySet(ScopedQuerySet["Dependency"]):
    view_action = "inventory.view"
    scope_path = "source__scope"

    def visible_to(self, actor: Any, action: str = "") -> Self:
        """Dependencies of which both ends may be seen: a link would tell the name of a foreign component."""
        return visible(super().visible_to(actor, action), actor, action or self.view_action, "target__scope")  # type: ignore[return-value]


class Dependency(Declared):
    """``source`` needs ``target``.

    Hard: fails with it. Soft: degrades without it. Redundant: ``source`` needs ``needed`` of all its dependencies that
    share ``group``. Components of two environments may only be linked by a relation of ``CROSSING`` (trigger).
    """

    noun = "dependency"

    class Kind(models.TextChoices):
        HARD = "hard", "Hard"
        SOFT = "soft", "Soft"
        REDUNDANT = "redundant", "Redundant (k of n)"

    class Relation(models.TextChoices):
        USES = "uses", "uses"
        ROUTES = "routes", "routes to"
        RUNS_ON = "runs_on", "runs on"
        REPLICATES = "replicates", "replicates from"
        OBSERVES = "observes", "observes"
        COPIES = "copies", "is seeded from"

    class Mode(models.TextChoices):
        SYNC = "sync", "Synchronous"
        ASYNC = "async", "Asynchronous"

    source = models.ForeignKey(Component, on_delete=models.CASCADE, related_name="needs", db_index=False)
    target = models.ForeignKey(Component, on_delete=models.CASCADE, related_name="needed_by", db_index=False)
    kind = models.CharField(max_length=10, choices=Kind.choices, default=Kind.HARD)
    relation = models.CharField(max_length=16, choices=Relation.choices, default=Relation.USES)
    group = models.SlugField(max_length=64, blank=True, db_index=False)
    needed = models.PositiveSmallIntegerField(null=True, blank=True)
    protocol = models.CharField(max_length=32, blank=True)
    mode = models.CharField(max_length=8, choices=Mode.choices, blank=True)
    description = models.CharField(max_length=255, blank=True)

    objects = DependencyQuerySet.as_manager()

    class Meta:
        ordering = ["source__slug", "target__slug"]
        triggers = [
            *triggers("dependency"),
            _isolated(pgtrigger.Insert, pgtrigger.Referencing(new="new_rows")),
            _isolated(pgtrigger.Update, pgtrigger.Referencing(new="new_rows")),
        ]
        indexes = [
            models.Index(fields=["target", "source"], name="dependency_backward"),
            filtered("dependency", "kind", "relation", "mode", "protocol", "declared_by"),
        ]
        constraints = [
            # With all that the graph reads, which then finds it in order.
            models.UniqueConstraint(
                fields=["source", "target"], include=["kind", "group", "needed"], name="dependency_once"
            ),
            models.CheckConstraint(condition=~Q(source=F("target")), name="dependency_not_on_itself"),
            models.CheckConstraint(
                condition=Q(kind="redundant", needed__isnull=False, needed__gte=1) & ~Q(group="")
                | ~Q(kind="redundant") & Q(group="", needed=None),
                name="dependency_redundant_has_group",
            ),
        ]

    def __str__(self) -> str:
        known = self._state.fields_cache
        if {"source", "target"} <= known.keys():
            return f"{self.source.slug} → {self.target.slug}"
        return f"{self.source_id} needs {self.target_id}"

    def get_absolute_url(self) -> str:
        return reverse("dependency-detail", args=[self.pk])
