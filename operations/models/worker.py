"""Which worker processes are there, and which queues they serve."""

from __future__ import annotations

from django.contrib.postgres.fields import ArrayField
from django.db import models

from portal import clock


class Worker(models.Model):
    """One Celery worker. ``seen_at`` is written every few seconds while it lives; ``queues`` are what it takes from."""

    name = models.CharField(primary_key=True, max_length=200)
    queues = ArrayField(models.CharField(max_length=64))
    started_at = models.DateTimeField(default=clock.now)
    seen_at = models.DateTimeField(default=clock.now, db_index=True)

    class Meta:
        ordering = ["name"]

    def __str__(self) -> str:
        return self.name
