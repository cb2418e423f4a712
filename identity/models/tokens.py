"""API tokens. Only a hash is stored; the text is shown once."""

from __future__ import annotations

import hashlib
import secrets

from django.db import models
from uuid_utils.compat import uuid7

from identity.models.people import Account
from portal import clock

PREFIX = "edye_"


class ApiToken(models.Model):
    """A bearer token of an account. It can do what the account can, until it ends."""

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="tokens")
    label = models.CharField(max_length=80)
    digest = models.CharField(max_length=64, unique=True)
    created_at = models.DateTimeField(default=clock.now, editable=False)
    expires_at = models.DateTimeField()
    last_used_at = models.DateTimeField(null=True)
    revoked_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-created_at"]

    def __str__(self) -> str:
        return f"{self.label} of {self.account_id}"

    @staticmethod
    def fresh() -> str:
        """A new token's text: 256 random bits behind a prefix that secret scanners can find."""
        return PREFIX + secrets.token_urlsafe(32)

    @staticmethod
    def hashed(text: str) -> str:
        """What is stored of a token. Its entropy makes a plain SHA-256 enough."""
        return hashlib.sha256(text.encode()).hexdigest()
