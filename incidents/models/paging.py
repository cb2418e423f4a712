"""Timers and messages as rows: what is due survives every process."""

from __future__ import annotations

import secrets
from typing import Any

from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from identity.models import Person
from incidents.models.incident import Incident
from incidents.models.oncall import ContactMethod
from portal import clock


def two_digits() -> str:
    """The code that a person copies from the message, and a mail scanner does not."""
    return f"{secrets.randbelow(100):02d}"


class Escalation(models.Model):
    """Calling people about one incident until somebody answers. ``next_step_at`` is the timer."""

    class State(models.TextChoices):
        RUNNING = "running", "Calling"
        ACKED = "acked", "Answered"
        RESOLVED = "resolved", "Over"
        EXHAUSTED = "exhausted", "Nobody answered"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="escalations")
    state = models.CharField(max_length=12, choices=State.choices, default=State.RUNNING)
    policy = models.JSONField()
    step = models.PositiveSmallIntegerField(default=0)
    round = models.PositiveSmallIntegerField(default=0)
    next_step_at = models.DateTimeField(null=True, default=clock.now)
    started_at = models.DateTimeField(default=clock.now)
    ended_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-started_at"]
        constraints = [
            models.UniqueConstraint(
                fields=["incident"],
                condition=Q(state__in=["running", "acked"]),
                name="escalation_one_live_per_incident",
            ),
            # An answered escalation keeps a timer too: an answer that no work follows goes stale.
            models.CheckConstraint(
                condition=Q(state__in=["running", "acked"], next_step_at__isnull=False, ended_at__isnull=True)
                | Q(state__in=["resolved", "exhausted"], next_step_at__isnull=True, ended_at__isnull=False),
                name="escalation_timer_iff_live",
            ),
        ]
        indexes = [
            models.Index(fields=["next_step_at"], condition=Q(state__in=["running", "acked"]), name="escalation_due")
        ]

    def __str__(self) -> str:
        return f"{self.state} escalation of {self.incident_id}"


class WebhookEndpoint(models.Model):
    """Somebody else's machine that wants to know. Signed as Standard Webhooks says; the secret is a reference."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True, max_length=64)
    url = models.URLField(max_length=300)
    secret = models.CharField(max_length=300)
    is_active = models.BooleanField(default=True)

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.CheckConstraint(condition=Q(("secret__regex", r"^(env|file):")), name="webhook_secret_is_reference")
        ]

    def __str__(self) -> str:
        return self.slug


class Notification(models.Model):
    """One message to one address, written with the decision and sent afterwards.

    A sender holds it until ``lease_until`` under ``lease_token``; whoever comes back later than that, with another
    token in the row, has nothing to say. So a message may go twice, never not at all. ``code`` lets people see a
    repeat, and is what the answer page asks for.
    """

    class Kind(models.TextChoices):
        PAGE = "page", "Page"
        ALARM = "alarm", "Nobody answered"
        WEBHOOK = "webhook", "Webhook"

    class State(models.TextChoices):
        DUE = "due", "Due"
        SENT = "sent", "Sent"
        FAILED = "failed", "Given up"
        CANCELLED = "cancelled", "No longer needed"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    kind = models.CharField(max_length=12, choices=Kind.choices)
    incident = models.ForeignKey(Incident, on_delete=models.PROTECT, related_name="notifications")
    escalation = models.ForeignKey(Escalation, null=True, on_delete=models.PROTECT, related_name="notifications")
    person = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    method = models.ForeignKey(ContactMethod, null=True, on_delete=models.SET_NULL, related_name="+")
    endpoint = models.ForeignKey(WebhookEndpoint, null=True, on_delete=models.PROTECT, related_name="+")
    dedupe_key = models.CharField(max_length=200, unique=True)
    payload = models.JSONField(default=dict)
    code = models.CharField(max_length=2, default=two_digits)
    wrong_codes = models.PositiveSmallIntegerField(default=0)
    state = models.CharField(max_length=12, choices=State.choices, default=State.DUE)
    created_at = models.DateTimeField(default=clock.now)
    due_at = models.DateTimeField(default=clock.now)
    lease_until = models.DateTimeField(null=True)
    lease_token = models.UUIDField(null=True)
    attempts = models.PositiveSmallIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    error = models.CharField(max_length=300, blank=True)

    class Meta:
        ordering = ["-created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(state="sent") ^ Q(sent_at__isnull=True), name="notification_sent_iff_sent_at"
            ),
            models.CheckConstraint(
                condition=Q(lease_token__isnull=True, lease_until__isnull=True)
                | Q(lease_token__isnull=False, lease_until__isnull=False, state="due"),
                name="notification_lease_whole",
            ),
            models.CheckConstraint(
                condition=Q(kind="webhook", endpoint__isnull=False, person__isnull=True)
                | (~Q(kind="webhook") & Q(endpoint__isnull=True, person__isnull=False)),
                name="notification_has_recipient",
            ),
        ]
        indexes = [models.Index(fields=["due_at"], condition=Q(state="due"), name="notification_due")]

    def __str__(self) -> str:
        return f"{self.kind} of {self.incident_id} to {self.person_id or self.endpoint_id}"

    @property
    def recipient(self) -> Any:
        return self.person or self.endpoint
