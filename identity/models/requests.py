"""Requests that may be sent again."""

from __future__ import annotations

from django.db import models
from uuid_utils.compat import uuid7

from identity.models.people import Account
from portal import clock


class AnsweredRequest(models.Model):
    """What a request with an ``Idempotency-Key`` was answered, so that the same one again changes nothing.

    ``digest`` stands for its method, address and body. Rows are removed a day later.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="+")
    key = models.CharField(max_length=128)
    digest = models.CharField(max_length=64)
    status = models.PositiveSmallIntegerField()
    headers = models.JSONField(default=dict)
    body = models.BinaryField()
    at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["-at"]
        constraints = [models.UniqueConstraint(fields=["account", "key"], name="answered_once")]

    def __str__(self) -> str:
        return self.key
