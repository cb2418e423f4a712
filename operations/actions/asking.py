"""Verbs before anything runs: plan, tell to run, agree, call off."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from datetime import timedelta
from typing import Any

import jsonschema
from django.db import IntegrityError, connection, models, transaction

from operations import approvals as agreements
from operations import lifecycle, plan, queries, redaction
from operations.models import Approval, OnFailure, Operation, Priority, Step
from portal import clock, events
from portal.dispatch import nudge
from portal.errors import Conflict, Denied, Invalid, StepUpRequired
from portal.lifecycle import Actor, authorize, move

ADVANCE = "operations.advance"


APPROVED_WITHIN = timedelta(days=7)


def in_transaction() -> bool:
    """Whether a transaction is open (the one a test case wraps around itself does not count)."""
    return any(not getattr(block, "_from_testcase", False) for block in connection.atomic_blocks)


def request(
    plan_kind: str,
    subject: Any,
    *,
    by: Actor,
    params: dict[str, Any] | None = None,
    reason: str = "",
    key: str | None = None,
    approvals: int = 0,
    cause: models.Model | None = None,
    draft: bool = False,
    **how: Any,
) -> Operation:
    """Write an operation on ``subject`` with all its steps, and let it run unless it is a ``draft``.

    ``by`` must hold ``operations.request`` and the plan's own permission on the subject's scope. ``approvals`` persons
    with the role operations owner have to agree before it runs, and whoever the plan itself asks. ``how``:
    ``priority``, ``on_failure`` ("undo", "halt"), ``in_window`` (it waits for a maintenance window). ``key`` makes
    asking twice harmless: the same request again returns the operation that is there. ``cause`` is what it
    was asked for, such as an incident. A ``draft`` waits for ``confirm``.

    Raises ``Denied``, ``Invalid`` (parameters), ``Conflict`` (the key belongs to something else) and whatever the
    plan refuses. A plan that observes the world while drafting must not be requested inside a transaction.
    """
    chosen = plan.get(plan_kind)
    authorize(by, "operations.request", subject)
    authorize(by, chosen.permission, subject)
    params = checked(chosen, params or {})
    if key is not None and (known := Operation.objects.filter(key=key).first()):
        return _same(known, chosen, subject, params)
    if chosen.observes and in_transaction():
        raise RuntimeError(f"{plan_kind} looks at the world while it is planned: not inside a transaction")
    drafts = chosen.draft(subject, params)
    operation = _describe(chosen, subject, params, by=by, reason=reason, key=key, cause=cause)
    _run_as(operation, chosen, subject, approvals, **how)
    steps = _steps(chosen, operation, drafts)
    try:
        with transaction.atomic():
            _store(operation, steps, chosen, draft=draft)
            after = {"kind": plan_kind, "subject": operation.subject_label, "steps": len(steps), "approvals": approvals}
            events.record("operations.request", operation, by=by, reason=reason, after=after, operation_id=operation.pk)
            return operation if draft else confirm(operation, by=by)
    except IntegrityError:
        if key is None or not (known := Operation.objects.filter(key=key).first()):
            raise
        return _same(known, chosen, subject, params)


def _run_as(
    operation: Operation,
    chosen: plan.Plan,
    subject: Any,
    approvals: int,
    *,
    priority: int = Priority.NORMAL,
    on_failure: str = OnFailure.UNDO,
    in_window: bool = False,
) -> None:
    if priority not in Priority.values or on_failure not in OnFailure.values:
        raise Invalid("The priority is 0, 5 or 9, and a failure is answered with “undo” or “halt”.")
    asked = [*chosen.approvals(subject), *([plan.Approvers("operations_owner", approvals)] if approvals else [])]
    operation.priority, operation.on_failure, operation.in_window = priority, on_failure, in_window
    operation.approval_rules = [dataclasses.asdict(each) for each in asked]
    operation.approvals_needed = sum(each.count for each in asked)


def _plan_of(operation: Operation) -> plan.Plan:
    """Its plan; one that is not known here (during a release) is taken for a plan with the usual limits."""
    try:
        return plan.get(operation.kind, operation.version)
    except plan.UnknownPlan:
        return plan.Plan()


def checked(chosen: plan.Plan, params: dict[str, Any]) -> dict[str, Any]:
    """``params`` when they fit the plan's schema; ``Invalid`` with every fault otherwise."""
    validator = jsonschema.Draft202012Validator(chosen.params_schema)
    faults: dict[str, list[str]] = {}
    for error in validator.iter_errors(params):
        faults.setdefault(".".join(str(part) for part in error.absolute_path) or "params", []).append(error.message)
    if faults:
        raise Invalid("The parameters do not fit this plan.", fields=faults)
    if redaction.plain(params) != params:
        raise Invalid("The parameters hold something that looks like a secret, or is too large to keep.")
    return params


def _same(known: Operation, chosen: plan.Plan, subject: models.Model, params: dict[str, Any]) -> Operation:
    asked = (chosen.kind, subject._meta.label_lower, str(subject.pk), params)
    if (known.kind, known.subject_type, known.subject_id, known.params) != asked:
        raise Conflict(f"This key belongs to {known.label}, which is something else.")
    return known


def _describe(
    chosen: plan.Plan,
    subject: Any,
    params: dict[str, Any],
    *,
    by: Actor,
    reason: str,
    key: str | None,
    cause: models.Model | None,
) -> Operation:
    if getattr(subject, "scope_id", None) is None:
        raise Invalid("Operations act on things that belong to an environment and a service.")
    target = chosen.target(subject)
    if chosen.mutating and not target:
        raise ValueError(f"{chosen.kind} changes something and does not say what")
    return Operation(
        kind=chosen.kind,
        version=chosen.version,
        key=key,
        title=chosen.heading(subject, params)[:200],
        summary=chosen.summary,
        subject_type=subject._meta.label_lower,
        subject_id=str(subject.pk),
        subject_label=str(subject)[:200],
        scope_id=subject.scope_id,
        target=target,
        mutating=chosen.mutating,
        queue=chosen.queue(subject),
        params=params,
        permission=chosen.permission,
        approval_step_up=chosen.approval_step_up,
        requested_by_id=by.pk,
        requested_label=str(by)[:200],
        reason=reason,
        cause_type=cause._meta.label_lower if cause else "",
        cause_id=str(cause.pk) if cause else "",
    )


def _steps(chosen: plan.Plan, operation: Operation, drafts: Sequence[plan.StepDraft]) -> list[Step]:
    if not drafts:
        raise Conflict("There is nothing to do.")
    steps = []
    for position, draft in enumerate(drafts, start=1):
        act = chosen.act(draft.act)
        for shown in (draft.arguments, draft.sends, draft.conditions):
            if redaction.plain(shown) != shown:
                raise Invalid("What this plan shows holds something that looks like a secret, or is too large to keep.")
        steps.append(
            Step(
                operation=operation,
                position=position,
                taking_back=act.taking_back[:500],
                reversible=act.undo is not None,
                **(dataclasses.asdict(draft) | {"title": draft.title[:300]}),
            )
        )
    operation.plan_digest = plan.digest(operation.content(steps))
    return steps


def _store(operation: Operation, steps: list[Step], chosen: plan.Plan, *, draft: bool) -> None:
    operation.created_at = clock.now()
    operation.valid_until = operation.created_at + chosen.draft_valid if draft else None
    operation.save(force_insert=True)
    Step.objects.bulk_create(steps)


@transaction.atomic
def confirm(operation: Operation, *, by: Actor) -> Operation:
    """Tell a planned operation to run: at once, or when enough other persons have agreed.

    ``by`` must hold the plan's own permission. A draft that is older than its plan allows is refused, because what
    it saw may no longer be so.
    """
    _accept(operation, "confirm", by)
    # What waits for people does not wait for ever: what they would agree to grows old.
    decided_by = clock.now() + APPROVED_WITHIN if operation.approvals_needed else None
    move(operation, "confirm", by=by, valid_until=decided_by)
    events.record("operations.confirm", operation, by=by, operation_id=operation.pk)
    return _queue_if_agreed(operation)


def _accept(operation: Operation, transition: str, by: Actor) -> None:
    """Refuse with everything that speaks against this actor, as far as the lifecycle cannot know."""
    declared = lifecycle.operation[transition]
    authorize(by, declared.permission, operation)
    if operation.state in declared.sources and (against := operation.reason_against(declared, by)):
        raise Conflict(against) if operation.outdated else Denied(against)


@transaction.atomic
def approve(operation: Operation, *, by: Any, digest: str = "") -> Operation:
    """Agree to these very steps. The last agreement needed queues the operation.

    Another person than the requester, each person once; with a fresh second factor when the plan asks for it. With
    ``digest`` (what the approver read) it is refused unless the steps are still those.
    """
    _accept(operation, "approve", by)
    if operation.approval_step_up and not events.stepped_up():
        raise StepUpRequired("Approving this needs a second factor shown within the last five minutes.")
    if digest and digest != operation.plan_digest:
        raise Conflict("The steps are not those you read. Look again, then decide.")
    move(operation, "approve", by=by)
    now = clock.now()
    lasts = _plan_of(operation).approval_valid
    agreed = {"account_id": by.pk, "digest": operation.plan_digest, "at": now, "valid_until": now + lasts}
    Approval.objects.update_or_create(operation=operation, person_id=by.person_id, defaults=agreed)
    events.record(
        "operations.approve", operation, by=by, after={"digest": operation.plan_digest}, operation_id=operation.pk
    )
    return _queue_if_agreed(operation)


def _queue_if_agreed(operation: Operation) -> Operation:
    votes = operation.approvals.select_related("account") if operation.approvals_needed else []
    agreed = len(agreements.counting(operation, votes))
    if operation.state == lifecycle.AWAITING_APPROVAL and agreed >= operation.approvals_needed:
        # Whoever stands behind others is called when its turn comes: a message now would be work for nothing.
        its_turn = not operation.mutating or not queries.ahead(operation).exists()
        sent = clock.now() if its_turn else None
        move(operation, "queue", by=events.SYSTEM, sent_at=sent, valid_until=None)
        events.record("operations.queue", operation, by=events.SYSTEM, operation_id=operation.pk)
        if its_turn:
            nudge(ADVANCE, operation.pk, queue=operation.queue)
    return operation


@transaction.atomic
def cancel(operation: Operation, *, by: Actor, reason: str = "") -> Operation:
    """Call off an operation that has not begun. One that runs is told to ``stop`` instead."""
    was = operation.state
    move(operation, "cancel", by=by, finished_at=clock.now(), failure=reason or "Cancelled.", not_before=None)
    operation.steps.update(state=lifecycle.STEP_SKIPPED)
    events.record(
        "operations.cancel", operation, by=by, reason=reason, before={"state": was}, operation_id=operation.pk
    )
    return operation
