"""The one clock. Everything that compares instants asks here, so that a test can move time."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta

from django.utils import timezone

_offset = timedelta(0)


def now() -> datetime:
    """The present instant, aware, in UTC."""
    return timezone.now() + _offset


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
