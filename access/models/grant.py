"""A role on a service for a while, as another person agreed to it."""

from __future__ import annotations

from datetime import timedelta

from django.db import models
from django.db.models import F, Q
from django.urls import reverse
from uuid_utils.compat import uuid7

from access import lifecycle
from access.models.request import LONGEST, AccessRequest, OwnOrScoped
from identity.models import Account, Scope
from portal import clock
from portal.lifecycle import Actor, Stateful, Transition


class GrantQuerySet(OwnOrScoped["Grant"]):
    own = ("account",)

    def live(self) -> GrantQuerySet:
        """Working now, by the clock, whatever the sweeper has come to."""
        now = clock.now()
        return self.filter(state="active", starts_at__lte=now, ends_at__gt=now)

    def open(self) -> GrantQuerySet:
        """Working now or due to begin."""
        return self.filter(state__in=lifecycle.grant.open, ends_at__gt=clock.now())

    def due(self) -> GrantQuerySet:
        """Scheduled, and the time has come."""
        now = clock.now()
        return self.filter(state="scheduled", starts_at__lte=now, ends_at__gt=now)

    def over(self) -> GrantQuerySet:
        """Past the end and not yet marked as ended."""
        return self.filter(state__in=lifecycle.grant.open, ends_at__lte=clock.now())


class Grant(Stateful):
    """``account`` holds ``role`` on ``scope`` from ``starts_at`` to ``ends_at``. One per approved request, ever.

    The right itself is a role binding that carries this id and ``ends_at``; it stops counting at that instant.
    """

    class Cause(models.TextChoices):
        EXPIRED = "expired", "Its time was over"
        REVOKED = "revoked", "Revoked"
        GIVEN_BACK = "given_back", "Given back"
        INELIGIBLE = "ineligible", "The account was no longer active"

    lifecycle = lifecycle.grant
    url_noun = "grant"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(max_length=24, unique=True, editable=False)
    request = models.OneToOneField(AccessRequest, on_delete=models.PROTECT, related_name="grant")
    state = lifecycle.field()
    account = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="grants")
    scope = models.ForeignKey(Scope, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=40)
    starts_at = models.DateTimeField()
    ends_at = models.DateTimeField()
    activated_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    ended_by = models.ForeignKey(Account, null=True, on_delete=models.PROTECT, related_name="+")
    end_cause = models.CharField(max_length=16, choices=Cause.choices, blank=True)

    objects = GrantQuerySet.as_manager()

    class Meta:
        ordering = ["-starts_at"]
        indexes = [
            models.Index(fields=["scope", "-starts_at"], name="grant_by_scope"),
            models.Index(fields=["ends_at"], condition=~Q(state="ended"), name="grant_open"),
        ]
        constraints = [
            lifecycle.grant.check(),
            models.CheckConstraint(condition=Q(ends_at__gt=F("starts_at")), name="grant_ends_after_it_begins"),
            models.CheckConstraint(condition=Q(ends_at__lte=F("starts_at") + LONGEST), name="grant_duration"),
            models.CheckConstraint(
                condition=Q(state="scheduled", activated_at=None)
                | Q(state="active", activated_at__isnull=False)
                | Q(state="ended"),
                name="grant_activated",
            ),
            models.CheckConstraint(
                condition=(Q(state="ended", ended_at__isnull=False) & ~Q(end_cause=""))
                | (~Q(state="ended") & Q(ended_at=None, end_cause="")),
                name="grant_ended",
            ),
            models.CheckConstraint(
                condition=Q(end_cause__in=["revoked", "given_back"], ended_by__isnull=False)
                | (~Q(end_cause__in=["revoked", "given_back"]) & Q(ended_by=None)),
                name="grant_ended_by",
            ),
        ]

    def __str__(self) -> str:
        return self.key

    @property
    def url_key(self) -> str:
        return self.key

    def get_absolute_url(self) -> str:
        return reverse("grant-detail", args=[self.key])

    @property
    def is_live(self) -> bool:
        """Whether the right works now, by the clock."""
        return self.state == "active" and self.starts_at <= clock.now() < self.ends_at

    @property
    def left(self) -> timedelta:
        """How long it still works; nothing when it is over."""
        return max(self.ends_at - clock.now(), timedelta(0)) if self.state != "ended" else timedelta(0)

    @property
    def spent_percent(self) -> int:
        """How much of the time is over, 0 to 100."""
        whole = (self.ends_at - self.starts_at).total_seconds()
        return min(100, max(0, round(100 * (clock.now() - self.starts_at).total_seconds() / whole)))

    def reason_against(self, transition: Transition, actor: Actor) -> str:
        """What besides the right stands against ``transition`` by ``actor``."""
        if transition.name == "give_back" and actor.pk != self.account_id:
            return "Only the holder can give it back."
        return ""
