"""Operations that ask for themselves: a plan, a subject, and when."""

from __future__ import annotations

from datetime import UTC, datetime
from itertools import islice
from typing import Any
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError
from django.conf import settings
from django.db import models
from django.db.models import Func, Q, Value
from django.urls import reverse
from uuid_utils.compat import uuid7

from identity.models import Scope
from identity.scoping import ScopedQuerySet
from operations import lifecycle as states
from operations import plan
from portal import clock
from portal.lifecycle import Stateful

FIELDS = 5


class ScheduleQuerySet(ScopedQuerySet["Schedule"]):
    view_action = "operations.view"


class Schedule(Stateful):
    """A plan that is asked for on one subject at each instant of a cron expression, read in a time zone.

    ``next_at`` is the next instant (UTC); it is empty while suspended. Instants that passed while the portal was down
    are made up for once, not once each. ``asked_by`` is in whose name it asks: when that account no longer may, the
    schedule suspends itself and says why in ``problem``.
    """

    lifecycle = states.schedule

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    number = models.BigIntegerField(
        unique=True, editable=False, db_default=Func(Value("operations_schedule_number"), function="nextval")
    )
    plan_kind = models.CharField(max_length=80)
    params = models.JSONField(default=dict)
    subject_type = models.CharField(max_length=80)
    subject_id = models.CharField(max_length=64)
    subject_label = models.CharField(max_length=200)
    scope = models.ForeignKey(Scope, on_delete=models.PROTECT, related_name="schedules")
    cron = models.CharField(max_length=120)
    time_zone = models.CharField(max_length=64, default="UTC")
    reason = models.CharField(max_length=500)
    in_window = models.BooleanField(default=False)
    state = states.schedule.field()
    next_at = models.DateTimeField(null=True, db_index=True)
    last_at = models.DateTimeField(null=True)
    last_operation = models.ForeignKey("operations.Operation", null=True, on_delete=models.SET_NULL, related_name="+")
    problem = models.CharField(max_length=500, blank=True)
    asked_by = models.ForeignKey(settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    objects = ScheduleQuerySet.as_manager()

    class Meta:
        ordering = ["number"]
        constraints = [
            states.schedule.check(),
            models.CheckConstraint(
                condition=Q(state=states.SCHEDULED, next_at__isnull=False)
                | ~Q(state=states.SCHEDULED) & Q(next_at=None),
                name="schedule_next_while_scheduled",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.label} {self.title}"

    def get_absolute_url(self) -> str:
        return reverse("schedule-detail", args=[self.number])

    @property
    def label(self) -> str:
        return f"SCH-{self.number}"

    @property
    def url_key(self) -> int:
        return self.number

    @property
    def title(self) -> str:
        try:
            return f"{plan.get(self.plan_kind).short}: {self.subject_label}"
        except plan.UnknownPlan:
            return f"{self.plan_kind}: {self.subject_label}"

    def upcoming(self, count: int = 3) -> list[datetime]:
        """The next ``count`` instants after now, in the schedule's time zone."""
        return upcoming(self.cron, self.time_zone, clock.now(), count)


def upcoming(cron: str, time_zone: str, after: datetime, count: int) -> list[datetime]:
    """The next ``count`` instants of ``cron`` after ``after``, aware, in ``time_zone``.

    Five fields: minute, hour, day of the month, month, day of the week, as Debian's cron reads them, also where clocks
    change. Raises ``cronsim.CronSimError`` or ``ValueError`` for what is not an expression or a time zone.
    """
    if len(cron.split()) != FIELDS:
        raise CronSimError(f"{FIELDS} fields are expected")
    instants: Any = CronSim(cron, after.astimezone(ZoneInfo(time_zone)))
    # Within the hour that comes twice it goes by the hands of the clock, and may name a moment of the first time.
    later = (instant for instant in instants if instant.astimezone(UTC) > after)
    return list(islice(later, count))
