"""A request for a role on a service for a while."""

from __future__ import annotations

import hashlib
import json
from datetime import timedelta
from typing import Any

from django.db import models
from django.db.models import F, Func, Q
from django.db.models.functions import Length
from django.db.models.lookups import GreaterThanOrEqual
from django.urls import reverse
from uuid_utils.compat import uuid7

from access import lifecycle
from identity.models import Account, EffectiveScope, Scope
from identity.scoping import ScopedQuerySet
from portal import clock
from portal.lifecycle import Actor, Stateful, Transition

ROLE = "operator"
SHORTEST, LONGEST = timedelta(minutes=5), timedelta(hours=8)
REASON_LENGTH = 10


class OwnOrScoped[M: models.Model](ScopedQuerySet[M]):
    """Rows on scopes where the reader may see access, and the reader's own."""

    view_action = "access.view"
    own: tuple[str, ...]

    def visible_to(self, actor: Any, action: str = "") -> Any:
        if actor.pk is None or not actor.is_active:
            return super().visible_to(actor, action)
        held = EffectiveScope.objects.live().filter(account=actor.pk, action=action or self.view_action)
        mine = Q(*((name, actor.pk) for name in self.own), _connector=Q.OR)
        return self.filter(mine | models.Exists(held.filter(scope=models.OuterRef("scope_id"))))


class AccessRequestQuerySet(OwnOrScoped["AccessRequest"]):
    own = ("requester", "beneficiary")

    def overdue(self) -> AccessRequestQuerySet:
        """Still waiting although the time to decide is over."""
        return self.filter(state="pending", decide_by__lte=clock.now())


class AccessRequest(Stateful):
    """Somebody asks that ``beneficiary`` may act on ``scope`` for ``seconds``; another decides until ``decide_by``.

    Nothing of what was asked changes afterwards: ``content_hash`` covers it, and a decision names the hash it is about.
    The persons stand beside the accounts so that the database itself refuses a self-approval through a second account.
    """

    lifecycle = lifecycle.request
    url_noun = "access-request"

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    key = models.CharField(
        max_length=24,
        unique=True,
        editable=False,
        db_default=Func(template="'ACC-' || nextval('access_request_number')", output_field=models.CharField()),
    )
    state = lifecycle.field()
    scope = models.ForeignKey(Scope, on_delete=models.PROTECT, related_name="+")
    role = models.CharField(max_length=40, default=ROLE)
    requester = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    requester_person = models.UUIDField()
    beneficiary = models.ForeignKey(Account, on_delete=models.PROTECT, related_name="+")
    beneficiary_person = models.UUIDField()
    reason = models.TextField()
    seconds = models.PositiveIntegerField()
    wanted_from = models.DateTimeField(null=True)
    extends = models.ForeignKey("access.Grant", null=True, on_delete=models.PROTECT, related_name="extensions")
    requested_at = models.DateTimeField(default=clock.now)
    decide_by = models.DateTimeField()
    content_hash = models.CharField(max_length=64)
    decided_at = models.DateTimeField(null=True)
    decided_by = models.ForeignKey(Account, null=True, on_delete=models.PROTECT, related_name="+")
    decided_person = models.UUIDField(null=True)
    decided_hash = models.CharField(max_length=64, blank=True)
    decision_note = models.TextField(blank=True)
    granted_seconds = models.PositiveIntegerField(null=True)
    closed_at = models.DateTimeField(null=True)

    objects = AccessRequestQuerySet.as_manager()

    class Meta:
        ordering = ["-requested_at"]
        indexes = [
            models.Index(fields=["scope", "-requested_at"], name="access_request_by_scope"),
            models.Index(fields=["decide_by"], condition=Q(state="pending"), name="access_request_waiting"),
        ]
        constraints = [
            lifecycle.request.check(),
            models.UniqueConstraint(
                fields=["beneficiary", "scope", "role"], condition=Q(state="pending"), name="access_request_once"
            ),
            models.CheckConstraint(
                condition=Q(state__in=["approved", "denied"], decided_at__isnull=False, decided_by__isnull=False,
                            decided_person__isnull=False, decided_hash=F("content_hash"))
                | Q(state__in=["pending", "cancelled", "lapsed"], decided_at=None, decided_by=None, decided_person=None,
                    decided_hash=""),
                name="access_request_decided",
            ),
            models.CheckConstraint(
                condition=Q(state="approved", granted_seconds__gte=SHORTEST.total_seconds(),
                            granted_seconds__lte=F("seconds"))
                | (~Q(state="approved") & Q(granted_seconds=None)),
                name="access_request_granted",
            ),
            models.CheckConstraint(
                condition=Q(state__in=["cancelled", "lapsed"], closed_at__isnull=False)
                | (~Q(state__in=["cancelled", "lapsed"]) & Q(closed_at=None)),
                name="access_request_closed",
            ),
            models.CheckConstraint(
                condition=~Q(state="approved")
                | (~Q(decided_person=F("requester_person")) & ~Q(decided_person=F("beneficiary_person"))),
                name="access_request_second_person",
            ),
            models.CheckConstraint(
                condition=Q(seconds__range=(SHORTEST.total_seconds(), LONGEST.total_seconds())),
                name="access_request_duration",
            ),
            models.CheckConstraint(
                condition=Q(GreaterThanOrEqual(Length("reason"), REASON_LENGTH)), name="access_request_reason"
            ),
            models.CheckConstraint(condition=Q(decide_by__gt=F("requested_at")), name="access_request_decide_by"),
        ]  # fmt: skip

    def __str__(self) -> str:
        return self.key

    @property
    def url_key(self) -> str:
        return self.key

    def get_absolute_url(self) -> str:
        return reverse("access-request-detail", args=[self.key])

    @property
    def duration(self) -> timedelta:
        return timedelta(seconds=self.seconds)

    @property
    def minutes(self) -> int:
        return self.seconds // 60

    def content(self) -> str:
        """SHA-256 of everything that was asked for; what a decision is about."""
        instants = (self.requested_at, self.decide_by, self.wanted_from)
        facts = [self.pk, self.requester_id, self.beneficiary_id, self.scope_id, self.role, self.seconds, self.reason]
        facts.append(self.extends_id)
        facts += [moment.timestamp() if moment else None for moment in instants]
        return hashlib.sha256(json.dumps([str(fact) for fact in facts]).encode()).hexdigest()

    def reason_against(self, transition: Transition, actor: Actor) -> str:
        """What besides the right stands against ``transition`` by ``actor``; the verbs refuse with the same words."""
        person = getattr(actor, "person_id", None)
        own = person is not None and person in (self.requester_person, self.beneficiary_person)
        if transition.second_person and person is None:
            return "Only a person can decide on access."
        if transition.second_person and own:
            return "Another person has to decide on this request."
        if transition.name == "cancel" and not own:
            return "Only whoever asked for it can take the request back."
        if transition.name in ("approve", "deny") and self.decide_by <= clock.now():
            return "The time to decide is over. It has to be asked for again."
        return ""
