"""Scopes: environment × service, the one thing rights hang on."""

from __future__ import annotations

from django.db import models
from uuid_utils.compat import uuid7

ANY = "*"


class Scope(models.Model):
    """An environment × service pair, by slug; ``*`` stands for all of them.

    Rows of the estate point at a concrete scope. A right given on ``production × *``
    reaches every concrete scope of production, the ones added later included.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    environment = models.SlugField(max_length=64, default=ANY, db_index=False)
    service = models.SlugField(max_length=64, default=ANY, db_index=False)

    class Meta:
        ordering = ["environment", "service"]
        constraints = [models.UniqueConstraint(fields=["environment", "service"], name="scope_once")]

    def __str__(self) -> str:
        return f"{self.environment} × {self.service}".replace(ANY, "all")

    @property
    def concrete(self) -> bool:
        return ANY not in (self.environment, self.service)

    def covers(self, other: Scope) -> bool:
        """Whether a right given here reaches ``other``."""
        return self.environment in (ANY, other.environment) and self.service in (ANY, other.service)
