"""Who is called, when, and how: schedules, stand-ins, policies and ways to reach a person."""

from __future__ import annotations

from typing import Any

from django.contrib.postgres.constraints import ExclusionConstraint
from django.contrib.postgres.fields import DateTimeRangeField, RangeOperators
from django.db import models
from django.db.models import Q
from uuid_utils.compat import uuid7

from identity.models import Account, Person, Team
from incidents.rotation import Replacement, Rotation, Shift, resolve
from portal import clock


class Schedule(models.Model):
    """A team's rotation: ordered members who hand over at a local time every ``turn_days`` days."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True, max_length=64)
    name = models.CharField(max_length=120)
    team = models.ForeignKey(Team, on_delete=models.PROTECT, related_name="schedules")
    time_zone = models.CharField(max_length=64, default="UTC")
    handoff = models.TimeField()
    anchor = models.DateField()
    turn_days = models.PositiveSmallIntegerField(default=7)

    class Meta:
        ordering = ["slug"]
        constraints = [models.CheckConstraint(condition=Q(turn_days__range=(1, 60)), name="schedule_turn_days")]

    def __str__(self) -> str:
        return self.name

    def rotation(self) -> Rotation:
        """The pure rotation, read through the prefetched members where there are any."""
        people = tuple(member.person for member in self.members.all())
        return Rotation(self.time_zone, self.anchor, self.handoff, self.turn_days, people)

    def replacements(self) -> list[Replacement]:
        return [Replacement(one.person, one.during.lower, one.during.upper) for one in self.overrides.all()]

    def on_call(self, instant: Any = None) -> Shift:
        """Who is on call at ``instant`` (now, when it is left out), and from when until when."""
        return resolve(self.rotation(), self.replacements(), instant or clock.now())


class ScheduleMember(models.Model):
    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="members")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    position = models.PositiveSmallIntegerField()

    class Meta:
        ordering = ["position"]
        constraints = [models.UniqueConstraint(fields=["schedule", "position"], name="schedule_member_place")]

    def __str__(self) -> str:
        return f"{self.position}: {self.person_id}"


class Override(models.Model):
    """Somebody stands in over a range. No two for one schedule overlap (the database refuses it)."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    schedule = models.ForeignKey(Schedule, on_delete=models.CASCADE, related_name="overrides")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    during = DateTimeRangeField()
    reason = models.CharField(max_length=300, blank=True)
    created_by = models.ForeignKey(Account, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["during"]
        constraints = [
            ExclusionConstraint(
                name="override_one_at_a_time",
                expressions=[("schedule", RangeOperators.EQUAL), ("during", RangeOperators.OVERLAPS)],
            ),
            models.CheckConstraint(
                condition=Q(
                    during__isempty=False,
                    during__lower_inf=False,
                    during__upper_inf=False,
                    during__lower_inc=True,
                    during__upper_inc=False,
                ),
                name="override_shape",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.person_id} stands in on {self.schedule_id}"


class ContactMethod(models.Model):
    """A way to reach a person, tried in order. An Apprise address holds secrets, so only a reference is kept."""

    class Kind(models.TextChoices):
        EMAIL = "email", "E-mail"
        WEBHOOK = "webhook", "Webhook"
        APPRISE = "apprise", "Apprise"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    person = models.ForeignKey(Person, on_delete=models.CASCADE, related_name="contact_methods")
    kind = models.CharField(max_length=12, choices=Kind.choices)
    address = models.CharField(max_length=300)
    position = models.PositiveSmallIntegerField(default=0)

    class Meta:
        ordering = ["person", "position"]
        constraints = [
            models.UniqueConstraint(fields=["person", "position"], name="contact_method_place"),
            models.CheckConstraint(
                condition=Q(kind="email", address__contains="@")
                | Q(kind="webhook", address__regex=r"^https?://")
                | Q(kind="apprise", address__regex=r"^(env|file):"),
                name="contact_method_shape",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} of {self.person_id}"


class EscalationPolicy(models.Model):
    """Whom to call, in which order. A team's own, or the default for everybody without one."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    slug = models.SlugField(unique=True, max_length=64)
    name = models.CharField(max_length=120)
    team = models.OneToOneField(Team, null=True, on_delete=models.PROTECT, related_name="escalation_policy")
    repeat = models.PositiveSmallIntegerField(default=1)

    class Meta:
        ordering = ["slug"]
        constraints = [
            models.UniqueConstraint(
                fields=["team"],
                condition=Q(team__isnull=True),
                nulls_distinct=False,
                name="escalation_policy_one_default",
            ),
            models.CheckConstraint(condition=Q(repeat__lte=10), name="escalation_policy_repeat"),
        ]

    def __str__(self) -> str:
        return self.name

    def snapshot(self) -> dict[str, Any]:
        """The policy as an escalation keeps it, so that a later edit does not change a running one."""
        steps = [
            {
                "delay": step.delay_seconds,
                "schedule": str(step.schedule_id or ""),
                "person": str(step.person_id or ""),
                "team": str(step.team_id or ""),
            }
            for step in self.steps.all()
        ]
        return {"policy": self.slug, "repeat": self.repeat, "steps": steps}


class EscalationStep(models.Model):
    """Call the target, then wait ``delay_seconds`` for an answer before the next step."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    policy = models.ForeignKey(EscalationPolicy, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    delay_seconds = models.PositiveIntegerField(default=300)
    schedule = models.ForeignKey(Schedule, null=True, on_delete=models.PROTECT, related_name="+")
    person = models.ForeignKey(Person, null=True, on_delete=models.PROTECT, related_name="+")
    team = models.ForeignKey(Team, null=True, on_delete=models.PROTECT, related_name="+")

    class Meta:
        ordering = ["position"]
        constraints = [
            models.UniqueConstraint(fields=["policy", "position"], name="escalation_step_place"),
            models.CheckConstraint(
                condition=Q(schedule__isnull=False, person__isnull=True, team__isnull=True)
                | Q(schedule__isnull=True, person__isnull=False, team__isnull=True)
                | Q(schedule__isnull=True, person__isnull=True, team__isnull=False),
                name="escalation_step_one_target",
            ),
            models.CheckConstraint(condition=Q(delay_seconds__range=(10, 86400)), name="escalation_step_delay"),
        ]

    def __str__(self) -> str:
        return f"step {self.position} of {self.policy_id}"
