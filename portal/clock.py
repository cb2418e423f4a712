"""The one clock. Everything that compares instants asks here, so that a test can move time."""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from datetime import datetime, timedelta

from django.utils import timezone

_offset = timedelta(0)
_fixed: ContextVar[datetime | None] = ContextVar("fixed", default=None)


def now() -> datetime:
    """The present instant, aware, in UTC."""
    return _fixed.get() or timezone.now() + _offset


@contextmanager
def travel(by: timedelta) -> Iterator[None]:
    """Move the clock by ``by`` for the length of the block. Blocks nest and add up."""
    global _offset
    before = _offset
    _offset = before + by
    try:
        yield
    finally:
        _offset = before


@contextmanager
def fixed(at: datetime) -> Iterator[None]:
    """It is ``at`` for the length of the block, for this request only."""
    token = _fixed.set(at)
    try:
        yield
    finally:
        _fixed.reset(token)
