"""What happened and what follows from it, without blame."""

from __future__ import annotations

from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from identity.models import Person
from incidents.models.incident import Incident
from portal import clock


class PostMortem(models.Model):
    """One per incident. Its approval stands on the incident, because it moves the incident."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    incident = models.OneToOneField(Incident, on_delete=models.PROTECT, related_name="post_mortem")
    author = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    edited_by = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    summary = models.TextField()
    impact = models.TextField(blank=True)
    root_cause = models.TextField(blank=True)
    went_well = models.TextField(blank=True)
    went_poorly = models.TextField(blank=True)
    no_actions_reason = models.CharField(max_length=300, blank=True)
    written_at = models.DateTimeField(default=clock.now)

    def __str__(self) -> str:
        return f"Post-mortem of {self.incident_id}"


class ActionItem(models.Model):
    """Work that keeps it from happening again, with somebody's name and a day on it."""

    class Kind(models.TextChoices):
        PREVENT = "prevent", "Prevent"
        DETECT = "detect", "Detect sooner"
        MITIGATE = "mitigate", "Mitigate faster"
        PROCESS = "process", "Work better"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    post_mortem = models.ForeignKey(PostMortem, on_delete=models.CASCADE, related_name="actions")
    kind = models.CharField(max_length=12, choices=Kind.choices, default=Kind.PREVENT)
    title = models.CharField(max_length=200)
    owner = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    due = models.DateField()
    done_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["due", "title"]
        constraints = [models.CheckConstraint(condition=~Q(title=""), name="action_item_has_title")]

    def __str__(self) -> str:
        return self.title
