"""Files of rows on their way into the estate: the file, what is wrong with it, and what it would change."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.urls import reverse
from uuid_utils.compat import uuid7

from inventory import lifecycle as states
from inventory.models.base import everywhere
from portal import clock
from portal.lifecycle import Stateful

KEPT = timedelta(days=7)
"""A file that nobody has decided about is thrown away after so long."""


class ImportQuerySet(models.QuerySet["Import"]):
    def visible_to(self, actor: Any, action: str = "inventory.import") -> Self:
        """An import shows values of many scopes: its author sees it, and who may import everywhere."""
        if actor.pk is None:
            return self if getattr(actor, "is_authenticated", False) else self.none()
        return self.filter(Q(uploaded_by=actor.pk) | everywhere(actor, action))

    def waiting(self) -> Self:
        """What the portal has to do something about; what somebody has told to be applied comes first."""
        return self.filter(state__in=states.WAITING).order_by(
            models.Case(models.When(state=states.APPLYING, then=0), default=1), "uploaded_at", "pk"
        )


class Import(Stateful):
    """One file of rows of one noun. ``mode``: see ``inventory.writing.batch.Mode``.

    ``phase``, ``done`` and ``total`` say how far the portal is with it, in rows. ``digest`` stands for the difference
    that was worked out. ``attempts``: how often somebody began with it and did not come to an end. ``context``: how
    the person came in who told it to be applied (``portal.events.Context``).
    """

    lifecycle = states.file

    class Mode(models.TextChoices):
        UPSERT = "upsert", "Create and change"
        CREATE = "create", "Create only"
        UPDATE = "update", "Change only"

    class Format(models.TextChoices):
        CSV = "csv", "CSV"
        JSON = "json", "JSON"
        YAML = "yaml", "YAML"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    noun = models.CharField(max_length=16)
    mode = models.CharField(max_length=8, choices=Mode.choices, default=Mode.UPSERT)
    format = models.CharField(max_length=8, choices=Format.choices)
    name = models.CharField(max_length=200)
    size = models.PositiveIntegerField()
    sha256 = models.CharField(max_length=64)
    state = states.file.field()
    uploaded_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    uploaded_label = models.CharField(max_length=200)
    uploaded_at = models.DateTimeField(default=clock.now, editable=False)
    phase = models.CharField(max_length=16, blank=True)
    done = models.PositiveIntegerField(default=0)
    total = models.PositiveIntegerField(default=0)
    attempts = models.PositiveSmallIntegerField(default=0)
    created = models.PositiveIntegerField(default=0)
    changed = models.PositiveIntegerField(default=0)
    unchanged = models.PositiveIntegerField(default=0)
    faults = models.PositiveIntegerField(default=0)
    digest = models.CharField(max_length=64, blank=True)
    note = models.CharField(max_length=2000, blank=True)
    applied_by = models.ForeignKey(settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+")
    applied_label = models.CharField(max_length=200, blank=True)
    reason = models.CharField(max_length=1000, blank=True)
    context = models.JSONField(default=dict, blank=True)
    applied_at = models.DateTimeField(null=True)
    discarded_at = models.DateTimeField(null=True)

    objects = ImportQuerySet.as_manager()

    class Meta:
        ordering = ["-uploaded_at"]
        indexes = [models.Index(fields=["uploaded_by", "-uploaded_at"], name="import_by_author")]
        constraints = [
            states.file.check(),
            models.CheckConstraint(
                condition=Q(state__in=states.SHOWN) & ~Q(digest="") | ~Q(state__in=states.SHOWN) & Q(digest=""),
                name="import_difference_is_known",
            ),
            models.CheckConstraint(
                condition=Q(state=states.REFUSED, faults__gt=0) | ~Q(state=states.REFUSED) & Q(faults=0),
                name="import_refused_for_something",
            ),
            models.CheckConstraint(
                condition=Q(state__in=(states.APPLYING, states.APPLIED)) & ~Q(applied_label="")
                | ~Q(state__in=(states.APPLYING, states.APPLIED)) & Q(applied_label="", applied_by=None),
                name="import_applied_by_somebody",
            ),
            models.CheckConstraint(
                condition=Q(state=states.APPLIED, applied_at__isnull=False)
                | ~Q(state=states.APPLIED) & Q(applied_at=None),
                name="import_applied_at",
            ),
            models.CheckConstraint(
                condition=Q(state=states.DISCARDED, discarded_at__isnull=False)
                | ~Q(state=states.DISCARDED) & Q(discarded_at=None),
                name="import_discarded_at",
            ),
            models.CheckConstraint(condition=~Q(state=states.FAILED) | ~Q(note=""), name="import_failed_for_something"),
        ]

    def __str__(self) -> str:
        return self.name

    def get_absolute_url(self) -> str:
        return reverse("import-detail", args=[self.pk])

    @property
    def scope_id(self) -> Any:
        """It belongs to no scope; the rows in it do."""
        return None

    @property
    def label(self) -> str:
        """What the rows are ("data center")."""
        return self.noun.replace("-", " ")

    @property
    def busy(self) -> bool:
        """Whether the portal is at it, or will be."""
        return self.state in states.WAITING

    @property
    def summary(self) -> str:
        """The counts as a sentence."""
        if self.state == states.REFUSED:
            return f"{self.faults:,} {'problem' if self.faults == 1 else 'problems'}"
        if not self.digest:
            return ""
        return f"{self.created:,} to create, {self.changed:,} to change, {self.unchanged:,} unchanged"


class ImportedFile(models.Model):
    """The bytes of an import, compressed (zlib), in a row of their own so that nobody reads them by accident."""

    of = models.OneToOneField(Import, primary_key=True, on_delete=models.CASCADE, related_name="file")
    body = models.BinaryField()

    def __str__(self) -> str:
        return str(self.of_id)


class ImportFault(models.Model):
    """One thing that is wrong with a file. ``line`` is 0 for what is true of it as a whole."""

    of = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="fault_rows", db_index=False)
    line = models.PositiveIntegerField()
    column = models.CharField(max_length=80, blank=True)
    sentence = models.TextField()

    class Meta:
        indexes = [models.Index(fields=["of", "id"], name="import_fault_of")]

    def __str__(self) -> str:
        return f"line {self.line}: {self.sentence}"


class ImportChange(models.Model):
    """What becomes of one row of a file. ``fields``: [name, before, after] of each field that changes."""

    class Act(models.TextChoices):
        CREATE = "create", "Create"
        CHANGE = "change", "Change"

    of = models.ForeignKey(Import, on_delete=models.CASCADE, related_name="change_rows", db_index=False)
    line = models.PositiveIntegerField()
    act = models.CharField(max_length=8, choices=Act.choices)
    key = models.TextField()
    fields = models.JSONField()

    class Meta:
        indexes = [models.Index(fields=["of", "id"], name="import_change_of")]

    def __str__(self) -> str:
        return f"{self.act} {self.key}"

    @property
    def shown(self) -> list[tuple[str, str, str]]:
        """The fields as people read them; of a new row without its key."""
        new = self.act == self.Act.CREATE
        return [(name, _plain(before), _plain(after)) for name, before, after in self.fields
                if not (new and after == self.key)]  # fmt: skip


def _plain(value: Any) -> str:
    if isinstance(value, list) and value:
        return ", ".join(map(str, value))
    if value in (None, "", [], {}):
        return "—"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
