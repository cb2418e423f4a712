"""What is kept about the estate: each row's past, applied catalogs, people's views, notes and subscriptions."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pgtrigger
from django.conf import settings
from django.db import models
from django.urls import reverse
from uuid_utils.compat import uuid7

from identity.models import Scope
from portal import clock


class Revision(models.Model):
    """One change of one row of the estate, written by trigger in the transaction that made it.

    ``before`` holds what the change overwrote: nothing for a new row, the changed columns of an update, the whole row
    of a removal. What came after is in the next revision, or in the row itself. ``transaction`` and ``at`` (the
    transaction's begin) lead to the events that say who did it and why; without one it was done outside the portal.
    """

    class Act(models.TextChoices):
        CREATED = "c", "Created"
        UPDATED = "u", "Changed"
        DELETED = "d", "Removed"

    id = models.BigAutoField(primary_key=True)
    at = models.DateTimeField()
    transaction = models.BigIntegerField()
    noun = models.CharField(max_length=16)
    object_id = models.UUIDField()
    act = models.CharField(max_length=1, choices=Act.choices)
    before = models.JSONField(null=True)

    class Meta:
        ordering = ["-id"]
        indexes = [
            models.Index(fields=["object_id", "-id"], name="revision_of_object"),
            models.Index(fields=["transaction"], name="revision_by_transaction"),
            models.Index(fields=["noun", "-id"], condition=models.Q(act="d"), name="revision_removed"),
        ]
        triggers = [pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)]

    def __str__(self) -> str:
        return f"{self.get_act_display()} {self.noun} {self.object_id}"


class AppliedCatalog(models.Model):
    """One time a catalog was made true: which, by whom, read where, and what it changed.

    ``digest`` is that of the difference, ``nouns`` how many rows by noun and act.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    catalog = models.SlugField(max_length=64)
    applied_at = models.DateTimeField(default=clock.now, editable=False)
    applied_by = models.CharField(max_length=200)
    created = models.PositiveIntegerField()
    changed = models.PositiveIntegerField()
    removed = models.PositiveIntegerField()
    digest = models.CharField(max_length=64, blank=True)
    source = models.CharField(max_length=300, blank=True)
    commit = models.CharField(max_length=64, blank=True)
    nouns = models.JSONField(default=dict)

    class Meta:
        ordering = ["-applied_at"]

    def __str__(self) -> str:
        return f"catalog {self.catalog}"

    def get_absolute_url(self) -> str:
        return reverse("catalog-applied", args=[self.pk])


class CatalogDraft(models.Model):
    """A catalog as it was read from somewhere, kept until somebody has looked at its difference and applied it.

    ``files`` are the texts by name. Of a state file only the catalog that was made of it is here, never the file.
    """

    KEPT = timedelta(days=2)

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    catalog = models.SlugField(max_length=64)
    source = models.CharField(max_length=300)
    commit = models.CharField(max_length=64, blank=True)
    files = models.JSONField()
    made_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+")
    made_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-made_at"]

    def __str__(self) -> str:
        return f"catalog {self.catalog} from {self.source}"

    def get_absolute_url(self) -> str:
        return reverse("catalog-draft", args=[self.pk])


class SavedView(models.Model):
    """A list as somebody wants to find it again: its filters, order and columns as the address says them."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    place = models.CharField(max_length=64)
    """The name of the list's address ("component-list")."""
    name = models.CharField(max_length=80)
    query = models.CharField(max_length=2000, blank=True)
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="saved_views")
    shared = models.BooleanField(default=False)
    first = models.BooleanField(default=False)
    """Whether its owner's list opens with it."""
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["name"]
        constraints = [
            models.UniqueConstraint(fields=["owner", "place", "name"], name="saved_view_once"),
            models.UniqueConstraint(fields=["owner", "place"], condition=models.Q(first=True), name="saved_view_first"),
        ]
        indexes = [models.Index(fields=["place", "name"], name="saved_view_of_list")]

    def __str__(self) -> str:
        return self.name

    @property
    def scope_id(self) -> Any:
        """It belongs to a person, not to a scope."""
        return None


class Note(models.Model):
    """A journal entry on one thing of the estate. Kept as it was written; taken back, it says so."""

    class Kind(models.TextChoices):
        INFO = "info", "Note"
        WARNING = "warning", "Warning"
        DECISION = "decision", "Decision"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    noun = models.CharField(max_length=16)
    object_id = models.UUIDField()
    scope = models.ForeignKey(Scope, null=True, on_delete=models.PROTECT, related_name="+")
    kind = models.CharField(max_length=16, choices=Kind.choices, default=Kind.INFO)
    text = models.TextField(max_length=10_000)
    author = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    at = models.DateTimeField(default=clock.now, editable=False)
    retracted_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-at"]
        indexes = [models.Index(fields=["object_id", "-at"], name="note_of_object")]

    def __str__(self) -> str:
        return self.text[:80]


class Watch(models.Model):
    """Somebody wants to be told about changes of one thing of the estate."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="watches")
    noun = models.CharField(max_length=16)
    object_id = models.UUIDField()
    since = models.DateTimeField(default=clock.now, editable=False)
    seen_revision = models.BigIntegerField(default=0)
    """The last revision its watcher was told about."""

    class Meta:
        ordering = ["-since"]
        constraints = [models.UniqueConstraint(fields=["account", "object_id"], name="watch_once")]
        indexes = [models.Index(fields=["object_id"], name="watch_of_object")]

    def __str__(self) -> str:
        return f"{self.account_id} watches {self.noun} {self.object_id}"
