"""Sign-ins: the browser sessions of each account, one-time links, and who must wait after failures."""

from __future__ import annotations

import hashlib
from typing import Any

from django.contrib.sessions.base_session import AbstractBaseSession
from django.db import models
from django.db.models import F, Q
from uuid_utils.compat import uuid7

from identity.models.people import Account
from portal import clock


class Session(AbstractBaseSession):
    """Django's session row plus the account it belongs to, so that a person can list and end their own.

    Deleting the row ends the session: the next request with its cookie is nobody's.
    """

    account = models.ForeignKey(Account, null=True, on_delete=models.CASCADE, related_name="sessions")

    class Meta:
        verbose_name = "session"

    def __str__(self) -> str:
        return f"session of {self.account_id}"

    @classmethod
    def get_session_store_class(cls) -> Any:
        from identity.sessions import SessionStore

        return SessionStore

    @property
    def public_id(self) -> str:
        """Names the session in pages and addresses without giving away its key."""
        return hashlib.sha256(self.session_key.encode()).hexdigest()[:24]


class SignInLink(models.Model):
    """A link that signs one account in once. The address carries its signed id; possession is the proof."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    created_at = models.DateTimeField(default=clock.now, editable=False)
    expires_at = models.DateTimeField()
    used_at = models.DateTimeField(null=True)

    class Meta:
        constraints = [
            models.CheckConstraint(condition=Q(expires_at__gt=F("created_at")), name="link_ends_after_it_begins"),
            models.CheckConstraint(
                condition=Q(used_at=None) | Q(used_at__lt=F("expires_at")), name="link_used_before_its_end"
            ),
        ]

    def __str__(self) -> str:
        return f"sign-in link of {self.account_id}"


class FailedSignIns(models.Model):
    """Failures in a row for one name or one address. Names that do not exist have rows like any other."""

    key = models.CharField(max_length=64, primary_key=True)
    kind = models.CharField(max_length=8, choices=[("name", "Name"), ("address", "Address")])
    failures = models.PositiveIntegerField(default=0)
    last_at = models.DateTimeField()
    blocked_until = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"failed sign-ins of one {self.kind}"
