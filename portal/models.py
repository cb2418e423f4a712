"""Rows of the kernel: the audit trail and the last run of each reconciler."""

from __future__ import annotations

import pgtrigger
from django.conf import settings
from django.db import models
from django.db.models import Func
from django.db.models.functions import Cast
from uuid_utils.compat import uuid7

from portal import clock

_TRANSACTION = Cast(Cast(Func(function="pg_current_xact_id"), models.TextField()), models.BigIntegerField())


class Event(models.Model):
    """What happened: one verb, once. Never changed, never deleted (trigger)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    stream = models.CharField(max_length=40)
    seq = models.PositiveBigIntegerField()
    verb = models.CharField(max_length=80)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="+", db_constraint=True
    )
    actor_label = models.CharField(max_length=200)
    person_id = models.UUIDField(null=True)
    subject_type = models.CharField(max_length=80)
    subject_id = models.CharField(max_length=64)
    subject_label = models.CharField(max_length=200)
    scope = models.ForeignKey("identity.Scope", null=True, on_delete=models.PROTECT, related_name="+")
    reason = models.TextField(blank=True)
    before = models.JSONField(default=dict)
    after = models.JSONField(default=dict)
    operation_id = models.UUIDField(null=True)
    request_id = models.CharField(max_length=64, blank=True)
    auth = models.JSONField(default=dict)
    at = models.DateTimeField(default=clock.now)
    previous_hash = models.CharField(max_length=64, blank=True)
    hash = models.CharField(max_length=64)
    transaction = models.BigIntegerField(null=True, db_default=_TRANSACTION)  # leads to the rows it changed

    class Meta:
        ordering = ["-at", "-id"]
        constraints = [models.UniqueConstraint(fields=["stream", "seq"], name="event_once_per_place")]
        indexes = [
            models.Index(fields=["subject_type", "subject_id", "-at"], name="event_by_subject"),
            models.Index(fields=["scope", "-at"], name="event_by_scope"),
            models.Index(fields=["-at"], name="event_by_time"),
            models.Index(fields=["transaction"], name="event_by_transaction"),
        ]
        triggers = [
            pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete),
            pgtrigger.Trigger(
                name="never_emptied",
                level=pgtrigger.Statement,
                when=pgtrigger.Before,
                operation=pgtrigger.Truncate,
                func="RAISE EXCEPTION 'pgtrigger: Cannot truncate rows from % table', TG_TABLE_NAME;",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.verb} · {self.subject_label}"


class StreamHead(models.Model):
    """The last place and hash of a stream; its row lock is what makes a stream one line."""

    stream = models.CharField(max_length=40, primary_key=True)
    seq = models.PositiveBigIntegerField(default=0)
    hash = models.CharField(max_length=64, blank=True)

    def __str__(self) -> str:
        return f"{self.stream}#{self.seq}"


class ReconcilerRun(models.Model):
    """When a reconciler last ran, and how it went. One row per reconciler."""

    name = models.CharField(max_length=80, primary_key=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)
    succeeded_at = models.DateTimeField(null=True)
    changed = models.PositiveIntegerField(default=0)
    error = models.TextField(blank=True)

    def __str__(self) -> str:
        return self.name
