"""Entry points of the workers."""

from __future__ import annotations

import uuid

from celery import shared_task

from operations import engine, presence, reconcile  # noqa: F401 (presence listens to the worker's signals)
from operations.actions.asking import ADVANCE
from operations.plan import MAX_SECONDS
from portal.dispatch import reconciler


# The hard limit ends a worker process that hangs beyond what any act may take; its lease has ended long before.
@shared_task(name=ADVANCE, ignore_result=True, time_limit=MAX_SECONDS + 60)
def advance(operation_id: str) -> None:
    """Take one operation one step further. Lost, late and doubled messages change nothing."""
    engine.advance(uuid.UUID(operation_id))


@reconciler("operations.sweep", every=1.0)
def sweep() -> int:
    """Re-send what a dead worker or a lost message left behind."""
    return reconcile.sweep()


@reconciler("operations.ask_for_scheduled", every=5.0)
def ask_for_scheduled() -> int:
    """Ask for the plans whose time has come."""
    return reconcile.ask_for_scheduled()
