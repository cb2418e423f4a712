"""The engine step by step: tries, waits, failures, claims, one operation per target."""

from __future__ import annotations

import uuid
from contextlib import ExitStack
from datetime import timedelta

import pytest
from django.db import InterfaceError, transaction

from drivers.errors import StaleFence
from operations import actions, engine, leases, plan
from operations.journal import MAX_LINES
from operations.models import Operation, StepLog
from operations.plan import Wait
from portal import clock
from portal.errors import Invalid
from portal.models import Event
from tests import world
from tests.operations.scripted import Passing, Refused, Scripted, failing
from tests.operations.worlds import drive

pytestmark = pytest.mark.django_db


def step_of(operation, position=1):
    return operation.steps.get(position=position)


def test_a_passing_fault_is_tried_again_later(run):
    operation = run(Scripted(failing(Passing("busy"), times=2)))
    assert engine.advance(operation.pk) is True
    operation.refresh_from_db()
    assert operation.waiting_for == "Try 2 of 5 after: busy"
    assert timedelta(0) < operation.not_before - clock.now() <= timedelta(seconds=1)
    assert engine.advance(operation.pk) is False
    assert drive(operation).state == "done"
    step = step_of(operation)
    assert (step.attempts, step.output, step.error) == (3, {"tries": 3}, "")


def test_a_fault_that_does_not_pass_unwinds_after_five_tries(run):
    it = Scripted(lambda ctx: {} if ctx.position == 1 else failing(Passing("busy"))(ctx), steps=3)
    operation = drive(run(it))
    assert operation.state == "undone"
    assert operation.failure == "Step 2, Act 2: busy"
    assert [(step.state, step.attempts) for step in operation.steps.all()] == [
        ("undone", 1),
        ("undone", 5),
        ("skipped", 0),
    ]
    assert it.happened == [1, -2, -1]


def test_a_permanent_fault_unwinds_at_once(run):
    operation = drive(run(Scripted(failing(Refused("no")))))
    assert (operation.state, step_of(operation).attempts) == ("undone", 1)


def test_an_unforeseen_error_unwinds_and_says_what_it_was(run):
    operation = drive(run(Scripted(failing(KeyError("slot")))))
    assert (operation.state, operation.failure) == ("undone", "Step 1, Act 1: Unexpected KeyError: 'slot'")


def test_a_refusal_of_a_verb_is_said_in_its_own_words(run):
    operation = drive(run(Scripted(failing(Invalid("There is no such slot.")))))
    assert operation.failure == "Step 1, Act 1: There is no such slot."


def test_what_has_no_effect_counts_as_a_fault_that_may_pass(run):
    operation = drive(run(Scripted(lambda ctx: {}, done=lambda ctx: False)))
    assert operation.state == "undone"
    assert operation.failure == "Step 1, Act 1: It was carried out, but the world does not show it."


def test_a_wait_is_not_a_try_and_blocks_nobody(run):
    left = [20]

    def soak(ctx):
        if left[0]:
            left[0] -= 1
            raise Wait(30, "soaking")
        return {}

    operation = run(Scripted(soak))
    engine.advance(operation.pk)
    operation.refresh_from_db()
    assert (operation.waiting_for, operation.lease_owner, operation.waits) == ("soaking", "", True)
    assert drive(operation).state == "done"
    assert step_of(operation).attempts == 1


def test_waiting_until_an_instant_goes_on_after_it(run):
    instant = clock.now() + timedelta(minutes=10)
    operation = run(Scripted(lambda ctx: ctx.wait_until(instant, "ten minutes") or {}))
    engine.advance(operation.pk)
    operation.refresh_from_db()
    assert abs(operation.not_before - instant) < timedelta(seconds=1)
    assert drive(operation).state == "done"


def test_an_undo_may_wait_as_well(run):
    waited = []

    def undo(ctx):
        if not waited:
            waited.append(ctx.position)
            raise Wait(5, "draining")
        return {"drained": True}

    operation = drive(run(Scripted(failing(Refused("no")), undo=undo)))
    assert operation.state == "undone"
    assert StepLog.objects.filter(text="Undone: {'drained': True}").count() == 1


def test_what_is_so_already_is_neither_done_nor_taken_back(run):
    it = Scripted(failing(Refused("no")), done=lambda ctx: ctx.position == 1, steps=2, read=lambda ctx: {"was": "so"})
    operation = drive(run(it))
    assert operation.state == "undone"
    assert (step_of(operation).output, step_of(operation).acted) == ({"was": "so"}, False)
    assert it.happened == [-2]


def test_later_steps_see_what_earlier_ones_answered(run):
    it = Scripted(
        lambda ctx: {"seen": {str(at): each["n"] for at, each in ctx.facts.items()}, "n": ctx.position}, steps=3
    )
    operation = drive(run(it))
    assert step_of(operation, 3).output == {"seen": {"1": 1, "2": 2}, "n": 3}


def test_an_undo_that_cannot_be_done_is_stuck_until_somebody_mends_it(run, owner):
    broken = [True]

    def undo(ctx):
        if broken[0]:
            raise Refused("the host is gone")
        return {}

    operation = drive(run(Scripted(failing(Refused("no")), undo=undo)))
    assert (operation.state, operation.stuck_reason) == ("stuck", "Step 1, Act 1: the host is gone")
    assert Event.objects.get(verb="operations.stick").reason == "Step 1, Act 1: the host is gone"
    assert drive(actions.retry(operation, by=owner)).state == "stuck"
    broken[0] = False
    operation.refresh_from_db()
    assert drive(actions.retry(operation, by=owner)).state == "undone"


def test_an_undo_with_a_passing_fault_is_tried_five_times_before_it_is_stuck(run):
    operation = drive(run(Scripted(failing(Refused("no")), undo=failing(Passing("busy")))))
    assert (operation.state, step_of(operation).undo_attempts) == ("stuck", 5)


def test_a_worker_that_dies_each_time_unwinds_in_the_end(run):
    """Killed before it could say anything, five times: the sixth does not touch the world again."""
    it = Scripted(lambda ctx: {})
    operation = run(it)
    operation.steps.update(state="running", acted=True, attempts=5, started_at=clock.now())
    operation = drive(operation)
    assert operation.state == "undone"
    assert operation.failure == "Step 1, Act 1: It was begun 5 times and never ended."
    assert it.happened == [-1]


def test_secrets_in_what_drivers_answer_are_not_kept(run):
    def do(ctx):
        ctx.log("login with password=hunter2 works")
        return {"password": "hunter2", "url": "redis://:hunter2@host"}

    operation = drive(run(Scripted(do)))
    assert step_of(operation).output == {"password": "[hidden]", "url": "redis://:[hidden]@host"}
    assert StepLog.objects.filter(text__contains="hunter2").count() == 0


def test_a_log_without_end_is_cut(run, monkeypatch):
    monkeypatch.setattr("operations.journal.MAX_LINES", 3)
    operation = drive(run(Scripted(lambda ctx: [ctx.log(f"line {n}") for n in range(9)] and {})))
    texts = list(StepLog.objects.filter(step__operation=operation).values_list("text", flat=True))
    assert texts == ["line 0", "line 1", "More lines follow; they are left out here."]
    assert MAX_LINES == 2000


def test_progress_stays_within_its_bounds(run):
    operation = drive(run(Scripted(lambda ctx: ctx.progress(1, 3) or ctx.progress(1, 3) or ctx.progress(9, 3) or {})))
    assert (step_of(operation).progress_done, step_of(operation).progress_total) == (3, 3)


def test_a_database_that_fails_within_an_act_is_not_the_acts_failure(run):
    failed = []

    def do(ctx):
        if not failed:
            failed.append(1)
            raise InterfaceError("connection already closed")
        return {}

    operation = run(Scripted(do))
    with pytest.raises(InterfaceError):
        engine.advance(operation.pk)
    assert drive(operation).state == "done"


# -- claims


def test_one_worker_at_a_time(run):
    operation = run(Scripted(lambda ctx: {"second": engine.advance(operation.pk)}))
    assert drive(operation).state == "done"
    assert step_of(operation).output == {"second": False}


def test_a_lease_that_ended_is_taken_over_with_a_higher_fence(run):
    operation = run(Scripted(lambda ctx: {}))
    first = leases.claim(operation.pk)
    assert leases.claim(operation.pk) is None
    with clock.travel(timedelta(seconds=leases.seconds() + 1)):
        second = leases.claim(operation.pk)
    assert second.fence > first.fence
    with pytest.raises(leases.LeaseLost), first.hold():
        raise AssertionError("the claim was lost")


def test_whoever_lost_the_claim_records_nothing(run):
    """Paused beyond its lease while it acts; somebody else takes over; then it wakes up."""

    def do(ctx):
        with clock.travel(timedelta(seconds=60)):
            taken.append(leases.claim(operation.pk))
        return {"by": "the paused one"}

    taken = []
    operation = run(Scripted(do))
    assert engine.advance(operation.pk) is False
    assert taken[0].fence > 0
    assert step_of(operation).output == {}
    operation.refresh_from_db()
    assert (operation.state, operation.fence) == ("running", taken[0].fence)


def test_a_host_that_served_a_later_claim_of_something_else_is_asked_again_under_a_new_one(run):
    """Two operations on one host: the fence of the one is older, and its claim holds."""
    refused = []

    def do(ctx):
        if not refused:
            refused.append(ctx.fence)
            raise StaleFence("fence 1 is older than 2 on this host: another caller took over")
        return {"later": ctx.fence > refused[0]}

    operation = drive(run(Scripted(do)))
    assert (operation.state, step_of(operation).attempts, step_of(operation).output) == ("done", 2, {"later": True})


def test_a_claim_known_to_be_lost_says_and_logs_nothing_more(run):
    operation = run(Scripted(lambda ctx: {}))
    claim = leases.claim(operation.pk)
    claim.lost.set()
    from operations.journal import Journal

    journal = Journal(claim, step_of(operation))
    for speak in (lambda: journal.log("late"), lambda: journal.progress(1, 2)):
        with pytest.raises(leases.LeaseLost):
            speak()
    assert StepLog.objects.count() == 0


def test_the_engine_never_runs_inside_a_transaction(run):
    operation = run(Scripted(lambda ctx: {}))
    with pytest.raises(RuntimeError, match="never runs inside a transaction"), transaction.atomic():
        engine.advance(operation.pk)


def test_what_is_not_there_or_has_ended_is_left_alone(run):
    operation = drive(run(Scripted(lambda ctx: {})))
    assert engine.advance(operation.pk) is False
    assert engine.advance(uuid.uuid4()) is False


def test_a_plan_this_worker_does_not_know_is_left_to_another(run, monkeypatch):
    operation = run(Scripted(lambda ctx: {}))
    monkeypatch.delitem(plan.registry, ("tests.scripted", 1))
    assert engine.advance(operation.pk) is False
    operation.refresh_from_db()
    assert (operation.state, operation.waiting_for) == ("queued", "A worker that knows this plan.")


# -- one operation per target


def test_the_second_on_one_target_waits_and_then_runs(run):
    it = Scripted(lambda ctx: {})
    first, second, third = run(it), run(it), run(it)
    engine.advance(first.pk)
    assert engine.advance(second.pk) is False
    assert drive(first).state == "done"
    assert engine.advance(third.pk) is False, "the second waits longer"
    it.happened.clear()
    assert drive(second).state == "done"


def test_the_database_itself_refuses_two_on_one_target(run):
    it = Scripted(lambda ctx: {})
    first, second = run(it), run(it)
    engine.advance(first.pk)
    second.refresh_from_db()
    how = {"by": leases.ENGINE, "owner": "x", "lease_until": clock.now(), "fence": 1}
    Operation.objects.filter(pk=first.pk).update(number=10**9)
    with pytest.raises(actions.asking.Conflict, match="Another operation changes"):
        actions.start(second, **how)


def test_a_stuck_operation_keeps_its_target(at, run):
    stuck = at("stuck", subject=world.component())
    waiting = run(Scripted(lambda ctx: {}))
    assert (stuck.target, engine.advance(waiting.pk)) == (waiting.target, False)


def test_finishing_nudges_the_next_in_line(run, django_capture_on_commit_callbacks, monkeypatch):
    it = Scripted(lambda ctx: {})
    first, second = run(it), run(it)
    engine.advance(first.pk)
    sent = []
    monkeypatch.setattr("portal.dispatch._send", lambda task, args, queue: sent.append((task, args[0], queue)))
    with django_capture_on_commit_callbacks(execute=True):
        engine.advance(first.pk)
    assert sent == [("operations.advance", second.pk, "default")]


# -- what was agreed must still hold


@pytest.mark.parametrize("loss", ["right", "account", "approval"])
def test_what_lost_its_ground_is_cancelled_instead_of_started(at, owner, loss, django_assert_num_queries):
    asker = world.account("asker", "on_call", ("production", "*"))
    operation = at("awaiting_approval", by=asker)
    actions.approve(operation, by=owner)
    assert operation.state == "queued"
    if loss == "account":
        asker.is_active = False
        asker.save()
    elif loss == "right":
        from identity import rights
        from identity.models import RoleBinding

        rights.unbind(RoleBinding.objects.get(account=asker))
    else:
        operation.approvals.all().delete()
    assert engine.advance(operation.pk) is False
    operation.refresh_from_db()
    reason = "0 of 1 approvals still count." if loss == "approval" else "no longer holds the right"
    assert (operation.state, reason in operation.failure) == ("cancelled", True)


# -- stopping


def test_stop_takes_back_what_was_done(at, owner):
    operation = at("running")
    engine.advance(operation.pk)
    actions.stop(fresh(operation), by=owner, reason="wrong service")
    operation = drive(operation)
    assert (operation.state, operation.failure) == ("undone", "Stopped by Owner: wrong service")


def test_stop_is_asked_once(at, owner):
    operation = actions.stop(at("running"), by=owner)
    with pytest.raises(actions.asking.Conflict, match="already"):
        actions.stop(operation, by=owner)


def test_stop_does_not_wait_for_a_wait(run, owner):
    operation = run(Scripted(failing(Wait(3600, "an hour"))))
    engine.advance(operation.pk)
    actions.stop(fresh(operation), by=owner)
    with ExitStack():
        assert engine.advance(operation.pk) is True
    operation.refresh_from_db()
    assert operation.state == "undoing"


def fresh(operation: Operation) -> Operation:
    return Operation.objects.get(pk=operation.pk)
