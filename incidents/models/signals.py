"""What machines tell us: where it comes from, the body as it came, and the episodes in it."""

from __future__ import annotations

import hashlib
import hmac
import secrets

import pgtrigger
from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from identity.models import Scope
from inventory.models import Component, Environment
from portal import clock

KEY_PREFIX = "edyesig_"


class SignalSource(models.Model):
    """A sender of signals. Two keys are valid while one is being replaced; only digests are stored."""

    class Kind(models.TextChoices):
        ALERTMANAGER = "alertmanager", "Alertmanager"
        INTERNAL = "internal", "The portal itself"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True, max_length=64)
    kind = models.CharField(max_length=16, choices=Kind.choices)
    key_digest = models.CharField(max_length=64, blank=True)
    previous_digest = models.CharField(max_length=64, blank=True)
    environment = models.ForeignKey(Environment, null=True, on_delete=models.PROTECT, related_name="+")
    scope = models.ForeignKey(Scope, null=True, on_delete=models.PROTECT, related_name="+")
    rotated_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(
                condition=Q(kind="internal", key_digest="") | (~Q(kind="internal") & ~Q(key_digest="")),
                name="signal_source_key_iff_external",
            ),
            models.CheckConstraint(
                condition=Q(kind="internal") | Q(environment__isnull=False), name="signal_source_has_environment"
            ),
        ]

    def __str__(self) -> str:
        return self.slug

    @staticmethod
    def fresh() -> str:
        """A new key's text: 256 random bits behind a prefix that secret scanners can find."""
        return KEY_PREFIX + secrets.token_urlsafe(32)

    @staticmethod
    def hashed(key: str) -> str:
        return hashlib.sha256(key.encode("utf-8", "replace")).hexdigest()

    def accepts(self, key: str) -> bool:
        """Whether ``key`` is the present or the previous one; compared in constant time."""
        digest = self.hashed(key)
        return hmac.compare_digest(digest, self.key_digest) | hmac.compare_digest(digest, self.previous_digest)


class RawSignal(models.Model):
    """A body exactly as it came, also one that could not be read. Never changed, never deleted."""

    class Outcome(models.TextChoices):
        ACCEPTED = "accepted", "Accepted"
        PARTLY = "partly", "Accepted in part"
        REFUSED = "refused", "Refused"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(SignalSource, on_delete=models.PROTECT, related_name="signals")
    digest = models.CharField(max_length=64)
    body = models.BinaryField()
    truncated = models.BooleanField(default=False)
    content_type = models.CharField(max_length=120, blank=True)
    outcome = models.CharField(max_length=12, choices=Outcome.choices)
    status = models.PositiveSmallIntegerField()
    problems = models.JSONField(default=list)
    received_at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["-received_at"]
        constraints = [models.UniqueConstraint(fields=["source", "digest"], name="raw_signal_once_per_body")]
        triggers = [pgtrigger.Protect(name="append_only", operation=pgtrigger.Update | pgtrigger.Delete)]

    def __str__(self) -> str:
        return f"{self.outcome} signal of {self.received_at:%Y-%m-%d %H:%M:%S}"


class Episode(models.Model):
    """One firing of one alert, from ``starts_at`` on. A firing that comes after its end is an old message."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    source = models.ForeignKey(SignalSource, on_delete=models.PROTECT, related_name="episodes")
    fingerprint = models.CharField(max_length=200)
    starts_at = models.DateTimeField()
    raw = models.ForeignKey(RawSignal, null=True, on_delete=models.PROTECT, related_name="episodes")
    incident = models.ForeignKey("incidents.Incident", null=True, on_delete=models.PROTECT, related_name="episodes")
    component = models.ForeignKey(Component, null=True, on_delete=models.PROTECT, related_name="+")
    name = models.CharField(max_length=200)
    severity_label = models.CharField(max_length=40, blank=True)
    labels = models.JSONField(default=dict)
    annotations = models.JSONField(default=dict)
    first_seen_at = models.DateTimeField(default=clock.now)
    last_seen_at = models.DateTimeField(default=clock.now)
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-starts_at"]
        constraints = [
            models.UniqueConstraint(fields=["source", "fingerprint", "starts_at"], name="episode_once"),
        ]
        indexes = [models.Index(fields=["source", "fingerprint"], name="episode_by_fingerprint")]

    def __str__(self) -> str:
        return self.name

    @property
    def firing(self) -> bool:
        return self.resolved_at is None
