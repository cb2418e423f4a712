"""The steps of an operation, what they said, and who agreed to them."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import F, Q
from uuid_utils.compat import uuid7

from identity.models import Account, Person
from operations import lifecycle as states
from operations import plan
from operations.models.operation import Operation
from portal import clock
from portal.lifecycle import State


class Step(models.Model):
    """One step as it was planned, and how it goes.

    ``sends`` are the lines an approver reads: what goes to the target. ``conditions`` are the sentences that held when
    it was planned; they are asked again immediately before the act.

    ``acted`` is set before the world is touched: a step that found its effect already there and did nothing is not
    taken back. ``attempts`` counts tries of doing, ``undo_attempts`` tries of undoing.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    act = models.CharField(max_length=80)
    title = models.CharField(max_length=300)
    arguments = models.JSONField(default=dict)
    sends = models.JSONField(default=list)
    conditions = models.JSONField(default=list)
    reversible = models.BooleanField()
    taking_back = models.CharField(max_length=500)
    state = models.CharField(
        max_length=16,
        choices=[(state.value, state.label) for state in states.STEP_STATES.values()],
        default=states.STEP_PENDING,
    )
    acted = models.BooleanField(default=False)
    attempts = models.PositiveSmallIntegerField(default=0)
    undo_attempts = models.PositiveSmallIntegerField(default=0)
    progress_done = models.PositiveIntegerField(default=0)
    progress_total = models.PositiveIntegerField(default=0)
    output = models.JSONField(default=dict)
    error = models.TextField(blank=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["operation", "position"]
        constraints = [
            models.UniqueConstraint(fields=["operation", "position"], name="step_once_per_place"),
            models.CheckConstraint(condition=Q(state__in=list(states.STEP_STATES)), name="step_state"),
            models.CheckConstraint(
                condition=Q(progress_done__lte=F("progress_total")), name="step_progress_within_total"
            ),
            models.CheckConstraint(
                condition=Q(state__in=(states.STEP_PENDING, states.STEP_SKIPPED), started_at=None)
                | Q(state__in=(*states.STEP_BEGUN, states.STEP_UNDONE), started_at__isnull=False),
                name="step_started_at",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.position}. {self.title}"

    @property
    def state_info(self) -> State:
        return states.STEP_STATES[self.state]

    @property
    def duration(self) -> timedelta | None:
        return (self.finished_at or clock.now()) - self.started_at if self.started_at else None


class StepLog(models.Model):
    """One line of a step's log. ``seq`` grows over all operations; within a step it is the order of writing."""

    seq = models.BigAutoField(primary_key=True)
    step = models.ForeignKey(Step, on_delete=models.CASCADE, related_name="lines")
    at = models.DateTimeField(default=clock.now)
    text = models.CharField(max_length=plan.MAX_LINE)

    class Meta:
        ordering = ["seq"]

    def __str__(self) -> str:
        return self.text


class Approval(models.Model):
    """One person's agreement to the steps with this digest. It counts until ``valid_until``."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="approvals")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    digest = models.CharField(max_length=64)
    valid_until = models.DateTimeField(default=clock.now)
    at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["at"]
        constraints = [models.UniqueConstraint(fields=["operation", "person"], name="approval_once_per_person")]

    def __str__(self) -> str:
        return f"{self.person_id} agreed to {self.operation_id}"

    def current(self, operation: Operation) -> bool:
        """Whether it is for the steps of ``operation`` as they are, and has not expired."""
        return self.digest == operation.plan_digest and self.valid_until > clock.now()
