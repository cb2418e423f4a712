"""Durable work on infrastructure: operations, their steps, what was logged, who agreed."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import Func, Q, Value
from django.urls import reverse
from uuid_utils.compat import uuid7

from identity.models import Scope
from identity.queries import roles_on
from identity.scoping import ScopedQuerySet
from operations import lifecycle as states
from operations import plan
from portal import clock
from portal.lifecycle import Actor, Stateful, Transition

STARTED = (*states.HOLDING, states.DONE, states.UNDONE)
FINISHED = (states.DONE, states.UNDONE, states.CANCELLED)


class OperationQuerySet(ScopedQuerySet["Operation"]):
    view_action = "operations.view"

    def of(self, subject: models.Model) -> Self:
        """Operations on ``subject``, and those it caused."""
        return self.of_key(subject._meta.label_lower, str(subject.pk))

    def of_key(self, label: str, pk: str) -> Self:
        """The same of the row ``pk`` of the model ``label`` ("inventory.component")."""
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


class Priority(models.IntegerChoices):
    """Who goes first among those that wait for one target, or for a free worker."""

    URGENT = 0, "Urgent"
    NORMAL = 5, "Normal"
    BACKGROUND = 9, "In the background"


class OnFailure(models.TextChoices):
    """What happens when a step fails for good."""

    UNDO = "undo", "Take everything back"
    HALT = "halt", "Halt, and let a person decide"


class Operation(Stateful):
    """One piece of work on real infrastructure, with its steps written down before anything happens.

    ``target`` is what no two mutating operations change at once. ``fence`` is taken from one sequence for all
    operations, so that a host that saw a later claim recognises an earlier one, also across operations.
    ``approval_rules`` are objects of ``role`` and ``count``; ``approvals_needed`` is their sum. ``in_window``: it waits
    for a maintenance window. ``override_reason``: why a second person let it run in spite of a freeze.
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
    priority = models.PositiveSmallIntegerField(choices=Priority.choices, default=Priority.NORMAL)
    on_failure = models.CharField(max_length=8, choices=OnFailure.choices, default=OnFailure.UNDO)
    in_window = models.BooleanField(default=False)
    override_reason = models.TextField(blank=True)
    approvals_needed = models.PositiveSmallIntegerField(default=0)
    approval_rules = models.JSONField(default=list)
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
                | Q(state__in=states.HELD, lease_until__isnull=False) & ~Q(lease_owner=""),
                name="operation_lease",
            ),
            models.CheckConstraint(
                condition=Q(valid_until=None)
                | Q(state__in=(states.PLANNED, states.AWAITING_APPROVAL, states.CANCELLED)),
                name="operation_valid_until_of_what_waits_for_people",
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

    def _asked(self, actor: Any) -> bool:
        """Whether the agreement of ``actor`` would count."""
        rules = {rule["role"] for rule in self.approval_rules}
        named = sum(rule["count"] for rule in self.approval_rules)
        return named < self.approvals_needed or bool(rules & roles_on([actor], self.scope)[actor.pk])

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

    def content(self, steps: Sequence[Any]) -> dict[str, Any]:
        """Everything an approver agrees to."""
        return {
            "kind": self.kind,
            "version": self.version,
            "subject": [self.subject_type, self.subject_id],
            "target": self.target,
            "params": self.params,
            "steps": [
                [each.position, each.act, each.title, each.arguments, each.sends, each.conditions, each.taking_back]
                for each in steps
            ],
        }

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
            if not self._asked(actor):
                return "The roles that have to agree are not yours here, or have agreed."
            if any(each.person_id == person and each.current(self) for each in self.approvals.all()):
                return "You have approved it already."
        if transition.second_person and transition.name == "override":
            if person is None or (self.requested_by and self.requested_by.person_id == person):
                return "You asked for it, so another person has to decide this."
            if self.override_reason:
                return "Somebody has decided this already."
        if transition.name in ("stop", "pause") and self.cancel_requested:
            return "It has been told to stop already."
        return ""
