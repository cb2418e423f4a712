"""Verbs on an operation that waits for its turn: put it first, let it run in spite of a freeze."""

from __future__ import annotations

from django.db import transaction

from operations import lifecycle
from operations.actions.asking import ADVANCE
from operations.models import Operation, Priority
from portal import events
from portal.dispatch import nudge
from portal.errors import Conflict, Denied, Invalid
from portal.lifecycle import Actor, authorize, move


@transaction.atomic
def expedite(operation: Operation, *, by: Actor, reason: str = "") -> Operation:
    """Let it begin before everything of lower priority that waits for the same target or for a worker."""
    was = operation.priority
    move(operation, "expedite", by=by, priority=Priority.URGENT, sent_at=None)
    facts = {"before": {"priority": was}, "after": {"priority": Priority.URGENT.value}}
    events.record("operations.expedite", operation, by=by, reason=reason, operation_id=operation.pk, **facts)
    nudge(ADVANCE, operation.pk, queue=operation.queue)
    return operation


@transaction.atomic
def override(operation: Operation, *, by: Actor, reason: str) -> Operation:
    """Let this one operation begin in spite of freezes and without a window. Another person than the requester decides.

    ``by`` must hold ``operations.override`` and have shown a second factor just now.
    """
    declared = lifecycle.operation["override"]
    authorize(by, declared.permission, operation)
    if not reason.strip():
        raise Invalid("Say why it cannot wait.", fields={"reason": ["This is kept for good, and read."]})
    if operation.state in declared.sources and (against := operation.reason_against(declared, by)):
        raise Conflict(against) if operation.override_reason else Denied(against)
    move(operation, "override", by=by, override_reason=reason, not_before=None, waiting_for="", sent_at=None)
    events.record("operations.override", operation, by=by, reason=reason, operation_id=operation.pk)
    nudge(ADVANCE, operation.pk, queue=operation.queue)
    return operation
