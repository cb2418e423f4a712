"""How far a long piece of work is, told while it goes on: written at most once a second, and said to browsers."""

from __future__ import annotations

import time
from types import TracebackType
from typing import Any, Self

import psycopg
from django.db import connection

from inventory import lifecycle as states
from inventory.models import Import
from portal.ui.live import database_address

EVERY_SECONDS = 1.0
_TELL = """
    WITH told AS (UPDATE inventory_import SET phase = %(phase)s, done = %(done)s, total = %(total)s
                   WHERE id = %(id)s AND row_version = %(version)s AND state = %(state)s RETURNING id)
    SELECT pg_notify('portal', 'inventory.import:' || id) FROM told
"""


class Superseded(Exception):
    """The import is no longer what this work was begun for: somebody threw it away, or began anew."""


class Progress:
    """Tells how far the work on ``one`` is. ``apart``: through a connection of its own, beside a long transaction.

    Raises ``Superseded`` in its own connection's stead, where nothing is at stake yet, so that a check ends soon after
    it was called off.
    """

    def __init__(self, one: Import, *, apart: bool = False) -> None:
        self.facts: dict[str, Any] = {"id": one.pk, "version": one.row_version, "state": one.state, "total": 0}
        self.total, self._last = 0, 0.0
        self._own = psycopg.connect(**database_address(), autocommit=True) if apart else None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._own is not None:
            self._own.close()

    def tell(self, phase: str, done: int) -> None:
        """``done`` of ``total`` rows have gone through ``phase``."""
        now = time.monotonic()
        if now - self._last < EVERY_SECONDS:
            return
        self._last = now
        facts = self.facts | {"phase": phase, "done": done, "total": self.total}
        if self._own is not None:
            self._own.execute(_TELL, facts)
            return
        with connection.cursor() as cursor:
            cursor.execute(_TELL, facts)
            if cursor.fetchone() is None:
                raise Superseded(states.file.name)
