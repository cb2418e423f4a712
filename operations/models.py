"""Durable work on infrastructure: operations, their steps, what was logged, who agreed."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Func, Q, Value
from django.urls import reverse
from uuid_utils.compat import uuid7

from identity.models import Account, Person, Scope
from identity.scoping import ScopedQuerySet
from operations import lifecycle as states
from operations import plan
from portal import clock
from portal.lifecycle import Actor, State, Stateful, Transition

STARTED = (states.RUNNING, states.UNDOING, states.STUCK, states.DONE, states.UNDONE)
FINISHED = (states.DONE, states.UNDONE, states.CANCELLED)


class OperationQuerySet(ScopedQuerySet["Operation"]):
    view_action = "operations.view"

    def of(self, subject: models.Model) -> Self:
        """Operations on ``subject``, and those it caused."""
        label, pk = subject._meta.label_lower, str(subject.pk)
        return self.filter(Q(subject_type=label, subject_id=pk) | Q(cause_type=label, cause_id=pk))

    def active(self) -> Self:
        """Not ended: waiting for people or workers, running, undoing or stuck."""
        return self.filter(state__in=states.operation.open)

    def due(self, now: datetime) -> Self:
        """What a worker could take at ``now``: nobody holds it, and it waits for nothing."""
        return self.filter(
            Q(lease_until=None) | Q(lease_until__lte=now),
            Q(not_before=None) | Q(not_before__lte=now),
            state__in=(states.QUEUED, *states.ACTIVE),
        )


class Operation(Stateful):
    """One piece of work on real infrastructure, with its steps written down before anything happens.

    ``target`` is what no two mutating operations change at once. ``fence`` is taken from one sequence for all
    operations, so that a host that saw a later claim recognises an earlier one, also across operations.
    """

    lifecycle = states.operation

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.BigIntegerField(
        unique=True, editable=False, db_default=Func(Value("operations_number"), function="nextval")
    )
    kind = models.CharField(max_length=80)
    version = models.PositiveSmallIntegerField()
    key = models.CharField(max_length=200, unique=True, null=True)  # noqa: DJ001 (no key: no uniqueness)
    title = models.CharField(max_length=200)
    summary = models.TextField(blank=True)
    subject_type = models.CharField(max_length=80)
    subject_id = models.CharField(max_length=64)
    subject_label = models.CharField(max_length=200)
    scope = models.ForeignKey(Scope, on_delete=models.PROTECT, related_name="operations")
    target = models.CharField(max_length=200, blank=True)
    mutating = models.BooleanField(default=True)
    queue = models.CharField(max_length=64, default="default")
    params = models.JSONField(default=dict)
    plan_digest = models.CharField(max_length=64)
    permission = models.CharField(max_length=80)
    state = states.operation.field()
    requested_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.PROTECT, related_name="operations"
    )
    requested_label = models.CharField(max_length=200)
    reason = models.TextField(blank=True)
    cause_type = models.CharField(max_length=80, blank=True)
    cause_id = models.CharField(max_length=64, blank=True)
    approvals_needed = models.PositiveSmallIntegerField(default=0)
    approval_step_up = models.BooleanField(default=False)
    cancel_requested = models.BooleanField(default=False)
    failure = models.TextField(blank=True)
    stuck_reason = models.TextField(blank=True)
    waiting_for = models.CharField(max_length=500, blank=True)
    not_before = models.DateTimeField(null=True)
    lease_owner = models.CharField(max_length=120, blank=True)
    lease_until = models.DateTimeField(null=True)
    fence = models.BigIntegerField(default=0)
    sent_at = models.DateTimeField(null=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    valid_until = models.DateTimeField(null=True)
    started_at = models.DateTimeField(null=True)
    finished_at = models.DateTimeField(null=True)

    objects = OperationQuerySet.as_manager()

    class Meta:
        ordering = ["-number"]
        constraints = [
            states.operation.check(),
            models.UniqueConstraint(
                fields=["target"],
                condition=Q(mutating=True, state__in=states.HOLDING) & ~Q(target=""),
                name="operation_one_per_target",
            ),
            models.CheckConstraint(
                condition=Q(state__in=STARTED, started_at__isnull=False)
                | Q(state__in=(*states.WAITING, states.CANCELLED), started_at=None),
                name="operation_started_at",
            ),
            models.CheckConstraint(
                condition=Q(state__in=FINISHED, finished_at__isnull=False)
                | Q(state__in=states.operation.open, finished_at=None),
                name="operation_finished_at",
            ),
            models.CheckConstraint(
                condition=Q(state=states.STUCK) & ~Q(stuck_reason="") | ~Q(state=states.STUCK) & Q(stuck_reason=""),
                name="operation_stuck_reason",
            ),
            models.CheckConstraint(
                condition=Q(lease_owner="", lease_until=None)
                | Q(state__in=states.ACTIVE, lease_until__isnull=False) & ~Q(lease_owner=""),
                name="operation_lease",
            ),
            models.CheckConstraint(
                condition=Q(valid_until=None) | Q(state__in=(states.PLANNED, states.CANCELLED)),
                name="operation_valid_until_of_drafts",
            ),
        ]
        indexes = [
            models.Index(fields=["scope", "-number"], name="operation_by_scope"),
            models.Index(fields=["subject_type", "subject_id", "-number"], name="operation_by_subject"),
            models.Index(fields=["cause_type", "cause_id"], name="operation_by_cause", condition=~Q(cause_id="")),
            models.Index(
                fields=["target", "number"],
                name="operation_open_by_target",
                condition=Q(state__in=states.operation.open),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} {self.title}"

    def get_absolute_url(self) -> str:
        return reverse("operation-detail", args=[self.number])

    @property
    def label(self) -> str:
        return f"OP-{self.number}"

    @property
    def url_key(self) -> int:
        return self.number

    @property
    def topic(self) -> str:
        """What browsers listen to."""
        return f"operations.operation:{self.pk}"

    @property
    def duration(self) -> timedelta | None:
        return (self.finished_at or clock.now()) - self.started_at if self.started_at else None

    @property
    def outdated(self) -> bool:
        """Whether this draft was made so long ago that what it saw may no longer be so."""
        return self.valid_until is not None and self.valid_until <= clock.now()

    @property
    def waits(self) -> bool:
        return self.not_before is not None and self.not_before > clock.now()

    def content(self, steps: list[Step]) -> dict[str, Any]:
        """Everything an approver agrees to."""
        return {
            "kind": self.kind,
            "version": self.version,
            "subject": [self.subject_type, self.subject_id],
            "target": self.target,
            "params": self.params,
            "steps": [[each.position, each.act, each.title, each.arguments, each.taking_back] for each in steps],
        }

    def counted_approvals(self) -> int:
        """Approvals of these very steps."""
        return sum(approval.digest == self.plan_digest for approval in self.approvals.all())

    def reason_against(self, transition: Transition, actor: Actor) -> str:
        """Why ``actor`` cannot use a button although the state and the right would let it; empty when nothing is."""
        person = getattr(actor, "person_id", None)
        if transition.name == "confirm":
            if actor.pk is not None and plan.steered(self.kind, self.version):
                return "It is a part of something else, and runs when that is agreed to and comes to it."
            if not actor.has_perm(self.permission, self):
                return f"Needs the right “{self.permission}” here."
            if self.outdated:
                return "This plan was made too long ago; ask for a new one."
        if transition.name == "approve":
            if person is None:
                return "Only a person can approve."
            if self.requested_by and self.requested_by.person_id == person:
                return "You asked for it, so another person has to approve."
            if any(each.person_id == person and each.digest == self.plan_digest for each in self.approvals.all()):
                return "You have approved it already."
        if transition.name == "stop" and self.cancel_requested:
            return "It has been told to stop already."
        return ""


class Step(models.Model):
    """One step as it was planned, and how it goes.

    ``acted`` is set before the world is touched: a step that found its effect already there and did nothing is not
    taken back. ``attempts`` counts tries of doing, ``undo_attempts`` tries of undoing.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="steps")
    position = models.PositiveSmallIntegerField()
    act = models.CharField(max_length=80)
    title = models.CharField(max_length=300)
    arguments = models.JSONField(default=dict)
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
    """One person's agreement to the steps with this digest."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    operation = models.ForeignKey(Operation, on_delete=models.CASCADE, related_name="approvals")
    person = models.ForeignKey(Person, on_delete=models.PROTECT, related_name="+")
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    digest = models.CharField(max_length=64)
    at = models.DateTimeField(default=clock.now)

    class Meta:
        ordering = ["at"]
        constraints = [models.UniqueConstraint(fields=["operation", "person"], name="approval_once_per_person")]

    def __str__(self) -> str:
        return f"{self.person_id} agreed to {self.operation_id}"
