"""The engine: one step of one operation per call.

Observe, act, verify; record only while the claim holds. No transaction is open while an act talks to the world, and
nothing that matters lives in memory: whoever is killed at any instant leaves rows from which the next worker goes on.
"""

from __future__ import annotations

import traceback
import uuid
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import structlog
from django.db import Error

from operations import actions, leases, lifecycle, plan, redaction
from operations.actions.asking import ADVANCE, in_transaction
from operations.journal import Journal
from operations.leases import ENGINE, Claim, LeaseLost
from operations.models import OnFailure, Operation, Step
from portal import clock, events
from portal.dispatch import nudge

log = structlog.get_logger(__name__)
TRIES = 5
UNKNOWN_PLAN_SECONDS = 30


class NoEffect(Exception):
    """The act returned, and the world does not show what it should."""

    permanent = False


@dataclass(frozen=True)
class Failure:
    """How a try went wrong: the sentence people read, and whether another try can help."""

    text: str
    permanent: bool


def advance(operation_id: uuid.UUID) -> bool:
    """Take the operation one step further. Returns False when there was nothing to do or nobody to do it for.

    Safe to call at any time, any number of times, from any number of workers.
    """
    if in_transaction():
        raise RuntimeError("The engine talks to the world, so it never runs inside a transaction.")
    if not _known(operation_id):
        return False
    claim = leases.claim(operation_id)
    if claim is None:
        return False
    try:
        with events.acting(request_id=f"operation:{operation_id}"):
            _turn(claim)
    except LeaseLost:
        log.warning("lease_lost", operation=str(operation_id), fence=claim.fence)
        return False
    return True


def _known(operation_id: uuid.UUID) -> bool:
    """Whether this process has the plan. During a release, workers of two versions run side by side."""
    row = Operation.objects.filter(pk=operation_id).values_list("kind", "version").first()
    if row is None:
        return False
    try:
        plan.get(*row)
    except plan.UnknownPlan as error:
        log.warning("unknown_plan", operation=str(operation_id), error=str(error))
        later = clock.now() + timedelta(seconds=UNKNOWN_PLAN_SECONDS)
        waiting = {"not_before": later, "waiting_for": "A worker that knows this plan."}
        Operation.objects.due(clock.now()).filter(pk=operation_id).update(**waiting)
        return False
    return True


def _turn(claim: Claim) -> None:
    """The next thing to do: a step forward, a step back, or the end."""
    with claim.hold() as operation:
        if operation.state == lifecycle.PAUSED:  # somebody paused it between the claim and now
            Operation.objects.filter(pk=operation.pk).update(**actions.FREE)
            return
        steps = list(operation.steps.order_by("position"))
        if operation.state == lifecycle.RUNNING and operation.cancel_requested:
            actions.fail(operation, by=ENGINE, failure=operation.failure)
            return
        forward = operation.state == lifecycle.RUNNING
        step = _next(steps, forward=forward)
        if step is None:
            (actions.finish if forward else actions.undo)(operation, by=ENGINE)
            return
        _begin(operation, step, forward=forward)
    _Try(claim, step, {each.position: each.output for each in steps if each.state == lifecycle.STEP_DONE}).run(forward)


def _next(steps: list[Step], *, forward: bool) -> Step | None:
    if forward:
        return next((step for step in steps if step.state != lifecycle.STEP_DONE), None)
    return next((step for step in reversed(steps) if step.state in lifecycle.STEP_BEGUN), None)


def _begin(operation: Operation, step: Step, *, forward: bool) -> None:
    step.state = lifecycle.STEP_RUNNING if forward else lifecycle.STEP_UNDOING
    if forward:
        step.attempts += 1
        step.started_at = step.started_at or clock.now()
    else:
        step.undo_attempts += 1
    step.finished_at = None
    step.save(update_fields=["state", "attempts", "undo_attempts", "started_at", "finished_at"])
    events.publish(operation.topic)


class _Try:
    """One try of one step, from looking at the world to the row that says how it went."""

    def __init__(self, claim: Claim, step: Step, facts: dict[int, dict[str, Any]]) -> None:
        self.claim = claim
        self.step = step
        self.operation = claim.operation
        self.act = plan.get(self.operation.kind, self.operation.version).act(step.act)
        self.journal = Journal(claim, step)
        self.context = plan.StepContext(
            operation_id=self.operation.pk,
            position=step.position,
            attempt=step.attempts,
            fence=claim.fence,
            arguments=step.arguments,
            params=self.operation.params,
            facts=facts,
            log=self.journal.log,
            progress=self.journal.progress,
            alive=claim.holds,
        )

    def run(self, forward: bool) -> None:
        """Do or undo the step and record it. Database errors pass: the next worker observes and goes on."""
        body, record = (self._do, self._done) if forward else (self._undo, self._undone)
        tries = self.step.attempts if forward else self.step.undo_attempts
        try:
            self._check_tries(tries)
            leases.release()
            with leases.renewed(self.claim, self.act.timeout_seconds):
                output = redaction.plain(body())
        except plan.Wait as wait:
            self._wait(wait, forward=forward)
        except (LeaseLost, Error):
            raise
        except Exception as error:  # noqa: BLE001 (whatever an act raises unwinds; nothing else may stop the engine)
            self._failed(_explain(error), tries, forward=forward)
        else:
            record(output)

    @staticmethod
    def _check_tries(tries: int) -> None:
        if tries > TRIES:
            raise TriesUsedUp(f"It was begun {TRIES} times and never ended.")

    def _do(self) -> dict[str, Any]:
        if self.act.done(self.context):
            self.journal.log("It is so already; nothing to do.")
            return self.act.read(self.context) if self.act.read else self.step.output
        if self.act.conditions and (against := plan.failing(self.act.conditions(self.context))):
            raise Stale(f"What held when this was planned no longer does: {' '.join(against)}")
        # Before the world is touched: from here on the step is taken back when the plan unwinds.
        with self.claim.hold():
            Step.objects.filter(pk=self.step.pk).update(acted=True)
        leases.release()
        output = self.act.do(self.context)
        if not self.act.done(self.context):
            raise NoEffect("It was carried out, but the world does not show it.")
        return output

    def _undo(self) -> dict[str, Any]:
        if not self.step.acted:
            self.journal.log("Nothing was changed here, so nothing is taken back.")
        elif self.act.undo is None:
            self.journal.log(f"Nothing to take back: {self.act.why_no_undo}")
        else:
            return self.act.undo(self.context)
        return {}

    def _done(self, output: dict[str, Any]) -> None:
        facts = {"state": lifecycle.STEP_DONE, "output": output, "error": "", "finished_at": clock.now()}
        self._record(facts, again=True)

    def _undone(self, output: dict[str, Any]) -> None:
        if output:
            self.journal.log(f"Undone: {redaction.text(output)}")
        self._record({"state": lifecycle.STEP_UNDONE, "finished_at": clock.now()}, again=True)

    def _wait(self, wait: plan.Wait, *, forward: bool) -> None:
        """Back to waiting; the try does not count."""
        counter = "attempts" if forward else "undo_attempts"
        self._record({counter: getattr(self.step, counter) - 1}, delay=wait.seconds, waiting_for=wait.reason)

    def _failed(self, failure: Failure, tries: int, *, forward: bool) -> None:
        self.journal.log(failure.text)
        facts: dict[str, Any] = {"error": failure.text}
        if not failure.permanent and tries < TRIES:
            again = f"Try {tries + 1} of {TRIES} after: {failure.text}"
            self._record(facts, delay=min(2 ** (tries - 1), 30), waiting_for=again)
            return
        facts |= {"state": lifecycle.STEP_FAILED, "finished_at": clock.now()}
        told = f"Step {self.step.position}, {self.step.title}: {failure.text}"
        with self.claim.hold() as operation:
            Step.objects.filter(pk=self.step.pk).update(**facts)
            if forward:
                (actions.halt if _halts(operation) else actions.fail)(operation, by=ENGINE, failure=told)
            else:
                actions.stick(operation, by=ENGINE, reason=told)

    def _record(self, facts: dict[str, Any], *, again: bool = False, delay: float = 0, waiting_for: str = "") -> None:
        """Write how the step went and let the operation go, in one transaction that only the holder gets."""
        with self.claim.hold() as operation:
            Step.objects.filter(pk=self.step.pk).update(**facts)
            free = actions.FREE | {"waiting_for": redaction.text(waiting_for, 500)}
            if delay:
                free["not_before"] = clock.now() + timedelta(seconds=delay)
            Operation.objects.filter(pk=operation.pk).update(**free)
            events.publish(operation.topic)
            if again:
                nudge(ADVANCE, operation.pk, queue=operation.queue)


def _halts(operation: Operation) -> bool:
    """Whether a person decides what follows a failed step. Of a part of something else, whoever steers it decides."""
    asked = operation.on_failure == OnFailure.HALT and not plan.steered(operation.kind, operation.version)
    return asked and not operation.cancel_requested


class Stale(Exception):
    """A condition of the plan does not hold any more, so nothing was done."""

    permanent = True


class TriesUsedUp(Exception):
    """The workers that tried it did not live to say how it went."""


def _explain(error: Exception) -> Failure:
    """A driver says itself whether another try can help; what is unforeseen is taken as permanent."""
    foreseen = hasattr(error, "permanent") or isinstance(error, TriesUsedUp) or hasattr(error, "detail")
    if not foreseen:
        # Not as exc_info: its messages, and those of what caused it, would stand in the log as they are.
        where = "".join(traceback.format_tb(error.__traceback__))
        log.error("act_raised", error=redaction.text(repr(error)), where=redaction.text(where))
    text = str(error) if foreseen else f"Unexpected {type(error).__name__}: {error}"
    return Failure(redaction.text(text), getattr(error, "permanent", True))
