"""What must become true by the clock. None of it is needed for a right to stop: that happens in the query itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from access import actions
from access.models import AccessRequest, Grant
from portal import events
from portal.errors import Refused

log = structlog.get_logger(__name__)
BATCH = 500


def _each(rows: Any, verb: Callable[..., Any], name: str) -> int:
    """Call ``verb`` on each row, in a transaction each: one bad row neither stops nor undoes the others."""
    done, failed = 0, None
    for row in list(rows[:BATCH]):
        try:
            verb(row, by=events.System(name))
            done += 1
        except Refused:
            continue  # somebody else was faster
        except Exception as error:
            log.exception("access_sweep_failed", row=str(row.pk), sweep=name)
            failed = error
    if failed is not None:
        raise failed
    return done


def expire() -> int:
    """Mark grants that are over as ended, and clear their bindings."""
    return _each(Grant.objects.over(), actions.expire, "access.expire")


def start() -> int:
    """Begin scheduled grants whose time has come."""
    return _each(Grant.objects.due(), actions.start, "access.start")


def lapse() -> int:
    """Close requests that nobody decided in time."""
    return _each(AccessRequest.objects.overdue(), actions.lapse, "access.lapse")
