"""Freezes and maintenance windows: what they hold up, from when to when, where, and who may declare and override."""

from __future__ import annotations

import itertools
from datetime import timedelta

import pytest

from operations import actions, engine, leases, reconcile, windows
from operations.models import ChangeWindow, Operation
from portal import clock, events
from portal.errors import Conflict, Denied, IllegalTransition, Invalid, StepUpRequired
from portal.models import Event
from tests import world
from tests.operations.scripted import Scripted
from tests.operations.worlds import drive

pytestmark = pytest.mark.django_db
MINUTE = timedelta(minutes=1)
HOUR = timedelta(hours=1)


def fresh(operation: Operation) -> Operation:
    return Operation.objects.get(pk=operation.pk)


@pytest.fixture
def declare(owner):
    """``declare("freeze")``: from a minute ago for two hours, over production; ``how`` goes to the verb."""

    world.scope()

    def make(kind: str, start=-MINUTE, lasts=2 * HOUR, **how) -> ChangeWindow:
        starts_at = clock.now() + start
        how = {"by": owner, "environment": "production", "reason": "the final"} | how
        return actions.declare(kind=kind, starts_at=starts_at, ends_at=starts_at + lasts, **how)

    return make


def offered(operation: Operation, after=timedelta(0)) -> str:
    """Its state after a worker was offered it."""
    with clock.travel(after):
        engine.advance(operation.pk)
    return fresh(operation).state


# -- freezes


def test_a_freeze_holds_what_is_queued_and_says_why_and_until_when(at, declare):
    freeze, operation = declare("freeze"), at("queued")
    assert offered(operation) == "queued"
    held = fresh(operation)
    until = f"{freeze.ends_at:%Y-%m-%d %H:%M}"
    assert held.waiting_for == f"Frozen until {until} UTC: the final (declared by Owner)."
    assert (held.not_before, held.waits, held.lease_owner) == (freeze.ends_at, True, "")
    with clock.travel(HOUR):
        assert reconcile.send_due() == 0


def test_it_begins_by_itself_when_the_freeze_is_over(at, declare):
    freeze, operation = declare("freeze"), at("queued")
    assert offered(operation) == "queued"
    with clock.travel(freeze.ends_at - clock.now() + MINUTE):
        assert reconcile.send_due() == 1
        assert drive(operation).state == "done"
    assert fresh(operation).waiting_for == ""


def test_lifted_it_is_asked_again_at_once(at, declare, owner):
    freeze, operation = declare("freeze"), at("queued")
    offered(operation)
    actions.lift(freeze, by=owner, reason="it was lost")
    waiting = fresh(operation)
    assert (waiting.not_before, waiting.waiting_for, waiting.sent_at) == (None, "", None)
    assert reconcile.send_due() == 1
    assert drive(operation).state == "done"
    assert Event.objects.get(verb="operations.lift").reason == "it was lost"


@pytest.mark.parametrize("what", ["lift", "override"])
def test_what_changed_in_the_same_instant_leaves_nobody_waiting(at, declare, owner, stepped_up, monkeypatch, what):
    """A worker has read the freeze, then it is lifted, and only then does the worker write down that it waits."""
    freeze, operation, hold_up = declare("freeze"), at("queued"), leases._hold_up

    def change() -> None:
        if what == "lift":
            actions.lift(freeze, by=owner)
        else:
            actions.override(fresh(operation), by=owner, reason="it cannot wait")

    monkeypatch.setattr(leases, "_hold_up", lambda *held: change() or hold_up(*held))
    assert offered(operation) == "queued"
    monkeypatch.setattr(leases, "_hold_up", hold_up)
    assert (fresh(operation).not_before, fresh(operation).waiting_for) == (None, "")
    assert offered(operation) == "running"


def test_of_several_freezes_the_last_to_end_counts(at, declare, owner):
    long, operation = declare("freeze", lasts=5 * HOUR), at("queued")
    declare("freeze", lasts=HOUR)
    offered(operation)
    assert fresh(operation).not_before == long.ends_at
    actions.lift(long, by=owner)
    assert offered(operation) == "queued"
    assert fresh(operation).not_before < long.ends_at


def test_what_runs_goes_on(at, declare, owner):
    running, paused, halted = at("running"), at("paused"), at("halted")
    declare("freeze")
    assert drive(running).state == "done"
    assert drive(actions.resume(paused, by=owner)).state == "done"
    assert drive(actions.proceed(halted, by=owner)).state == "halted"


def test_taking_back_is_always_allowed(at, declare, owner):
    running, halted, undoing, stuck = at("running"), at("halted"), at("undoing"), at("stuck")
    declare("freeze")
    assert [drive(actions.stop(each, by=owner)).state for each in (running, halted)] == ["undone", "undone"]
    assert drive(undoing).state == "undone"
    assert drive(actions.retry(stuck, by=owner)).state == "stuck", "it was tried"
    assert Event.objects.filter(verb="operations.stick", subject_id=str(stuck.pk)).count() == 2


def test_what_changes_nothing_is_not_held(run, declare):
    declare("freeze")
    it = Scripted(lambda ctx: {})
    it.mutating = False
    assert drive(run(it)).state == "done"


@pytest.mark.parametrize("state", ["planned", "awaiting_approval"])
def test_people_may_plan_and_agree_meanwhile(at, declare, owner, state):
    declare("freeze")
    operation = at(state)
    agreed = {"planned": actions.confirm, "awaiting_approval": actions.approve}[state](operation, by=owner)
    assert (agreed.state, offered(operation)) == ("queued", "queued")


def test_it_holds_from_its_first_instant_to_its_last(at, declare):
    freeze, operation = declare("freeze", start=HOUR), at("queued")
    tick = timedelta(microseconds=1)
    instants = [freeze.starts_at - tick, freeze.starts_at, freeze.ends_at - tick, freeze.ends_at]
    assert [windows.against(operation, instant) is None for instant in instants] == [True, False, False, True]


def test_it_holds_where_it_reaches_and_nowhere_else(at, declare):
    for name in ("web", "api"):
        world.scope("staging", name), world.scope("production", name)
    operation, held = at("queued"), {}
    for where in itertools.product(("*", "production", "staging"), ("*", "api", "web")):
        freeze = declare("freeze", by=events.SYSTEM, environment=where[0], service=where[1])
        held[where] = windows.against(operation, clock.now()) is not None
        actions.lift(freeze, by=events.SYSTEM)
    assert {where for where, holds in held.items() if holds} == set(
        itertools.product(("*", "production"), ("*", "api"))
    )


def test_lifting_one_asks_only_what_it_reached(at, declare, owner):
    other = world.component("staging/us-central/web", service="web")
    here, there = at("queued"), at("queued", subject=other)
    freeze = declare("freeze")
    declare("freeze", by=events.SYSTEM, environment="staging")
    offered(here), offered(there)
    actions.lift(freeze, by=owner)
    assert (fresh(here).waits, fresh(there).waits) == (False, True)


# -- in spite of a freeze


@pytest.fixture
def frozen(at, declare):
    declare("freeze")
    asker = world.account("asker", "operations_owner", ("production", "*"))
    operation = at("queued", by=asker)
    offered(operation)
    return fresh(operation)


def test_a_second_person_lets_this_one_begin_and_no_other(frozen, at, owner, stepped_up):
    other = at("queued")
    offered(other)
    allowed = actions.override(frozen, by=owner, reason="customers cannot pay")
    assert (allowed.state, allowed.override_reason, allowed.not_before) == ("queued", "customers cannot pay", None)
    assert drive(allowed).state == "done"
    assert offered(other) == "queued"
    told = Event.objects.get(verb="operations.override")
    assert (told.reason, told.actor_id, told.operation_id) == ("customers cannot pay", owner.pk, frozen.pk)


def test_whoever_asked_cannot_decide_it_with_any_account(frozen, stepped_up):
    asker = frozen.requested_by
    other = world.account("asker-admin", "operations_owner", ("production", "*"), of=asker.person)
    for account in (asker, other):
        with pytest.raises(Denied, match="another person"):
            actions.override(fresh(frozen), by=account, reason="it cannot wait")
    assert offered(frozen) == "queued"


def test_a_machine_cannot_decide_it(frozen, stepped_up):
    machine = world.account("robot", "operations_owner", ("production", "*"), kind="service")
    machine.person = None
    machine.save()
    with pytest.raises(Denied):
        actions.override(frozen, by=machine, reason="it cannot wait")


def test_it_needs_a_second_factor_shown_just_now(frozen, owner):
    with pytest.raises(StepUpRequired):
        actions.override(frozen, by=owner, reason="it cannot wait")
    late = clock.now() - timedelta(minutes=6)
    with events.acting(second_factor_at=late), pytest.raises(StepUpRequired):
        actions.override(frozen, by=owner, reason="it cannot wait")
    assert fresh(frozen).override_reason == ""


def test_it_needs_a_reason(frozen, owner, stepped_up):
    for reason in ("", "  \n"):
        with pytest.raises(Invalid):
            actions.override(frozen, by=owner, reason=reason)


def test_it_needs_the_right_there(frozen, stepped_up):
    for name, role, scope in (("a", "developer", "production"), ("b", "operations_owner", "staging")):
        with pytest.raises(Denied):
            actions.override(frozen, by=world.account(name, role, (scope, "*")), reason="it cannot wait")


def test_it_is_decided_once_and_only_before_it_begins(frozen, at, owner, stepped_up):
    actions.override(frozen, by=owner, reason="it cannot wait")
    with pytest.raises(Conflict, match="decided this already"):
        actions.override(fresh(frozen), by=owner, reason="again")
    with pytest.raises(IllegalTransition):
        actions.override(at("awaiting_approval"), by=owner, reason="early")


# -- maintenance windows


def test_it_waits_for_a_window_where_none_is_declared(at):
    operation = at("queued", in_window=True)
    assert offered(operation) == "queued"
    held = fresh(operation)
    assert held.waiting_for == "It waits for a maintenance window, and none is declared."
    assert timedelta(0) < held.not_before - clock.now() <= windows.UNKNOWN
    assert offered(operation, after=windows.UNKNOWN) == "queued"


def test_a_window_declared_later_lets_it_be_asked_at_once(at, declare):
    operation = at("queued", in_window=True)
    offered(operation)
    declare("maintenance")
    assert reconcile.send_due() == 1
    assert offered(operation) == "running"


def test_it_waits_for_the_beginning_and_may_go_on_after_the_end(at, declare):
    operation = at("queued", in_window=True)
    window = declare("maintenance", start=HOUR, lasts=MINUTE)
    declare("maintenance", start=9 * HOUR)
    assert offered(operation) == "queued"
    held = fresh(operation)
    assert held.waiting_for == f"It waits for the maintenance window of {window.starts_at:%Y-%m-%d %H:%M} UTC."
    assert held.not_before == window.starts_at
    assert offered(operation, after=window.starts_at - clock.now()) == "running"
    with clock.travel(2 * HOUR):
        assert drive(operation).state == "done"


def test_a_window_missed_means_the_next(at, declare):
    declare("maintenance", start=HOUR, lasts=MINUTE)
    second = declare("maintenance", start=3 * HOUR)
    operation = at("queued", in_window=True)
    assert offered(operation, after=HOUR + 2 * MINUTE) == "queued"
    assert fresh(operation).not_before == second.starts_at


def test_a_window_holds_from_its_first_instant_to_its_last(at, declare):
    window, operation = declare("maintenance", start=HOUR), at("queued", in_window=True)
    tick = timedelta(microseconds=1)
    instants = [window.starts_at - tick, window.starts_at, window.ends_at - tick, window.ends_at]
    assert [windows.against(operation, instant) is None for instant in instants] == [False, True, True, False]


def test_a_freeze_counts_more_than_a_window(at, declare):
    declare("maintenance")
    declare("freeze")
    operation = at("queued", in_window=True)
    offered(operation)
    assert fresh(operation).waiting_for.startswith("Frozen until")


def test_what_asks_for_no_window_needs_none(at, declare):
    declare("maintenance", start=HOUR)
    assert offered(at("queued")) == "running"


def test_a_window_of_another_service_is_none(at, declare):
    world.scope("production", "web")
    declare("maintenance", service="web")
    assert offered(at("queued", in_window=True)) == "queued"


def test_a_second_person_may_let_it_run_without_a_window(at, owner, stepped_up):
    operation = at("queued", in_window=True)
    offered(operation)
    actions.override(fresh(operation), by=owner, reason="it cannot wait")
    assert offered(operation) == "running"


def test_a_window_called_off_is_none(at, declare, owner):
    actions.lift(declare("maintenance"), by=owner)
    assert offered(at("queued", in_window=True)) == "queued"


# -- declaring


@pytest.mark.parametrize(
    ("held", "wanted", "allowed"),
    [
        (("production", "*"), ("production", "*"), True),
        (("production", "*"), ("production", "api"), True),
        (("*", "*"), ("*", "*"), True),
        (("*", "api"), ("*", "api"), True),
        (("production", "api"), ("production", "api"), True),
        (("production", "*"), ("*", "*"), False),
        (("production", "*"), ("*", "api"), False),
        (("production", "api"), ("production", "*"), False),
        (("production", "api"), ("production", "web"), False),
        (("staging", "*"), ("production", "api"), False),
    ],
)
def test_the_right_is_needed_on_everything_it_reaches(declare, held, wanted, allowed):
    for environment in ("production", "staging"):
        world.scope(environment, "api"), world.scope(environment, "web")
    who = world.account("someone", "operations_owner", held)
    where = dict(zip(("environment", "service"), wanted, strict=True))
    if allowed:
        freeze = declare("freeze", by=who, **where)
        assert actions.lift(freeze, by=who).state == "lifted"
        return
    with pytest.raises(Denied):
        declare("freeze", by=who, **where)
    freeze = declare("freeze", by=events.SYSTEM, **where)
    with pytest.raises(Denied):
        actions.lift(freeze, by=who)
    assert ChangeWindow.objects.get().state == "declared"


def test_it_needs_a_role_that_may(declare):
    for role in ("viewer", "auditor", "developer", "ci", None):
        with pytest.raises(Denied):
            declare("freeze", by=world.account(f"a-{role}", role, ("production", "*")))


NONSENSE = [
    ({"kind": "thaw"}, "kind"),
    ({"lasts": timedelta(0)}, "ends_at"),
    ({"lasts": -HOUR}, "ends_at"),
    ({"start": -HOUR, "lasts": MINUTE}, "ends_at"),
    ({"lasts": timedelta(days=92, seconds=1)}, "ends_at"),
    ({"reason": " "}, "reason"),
    ({"environment": "producton"}, "environment"),
    ({"service": "apy"}, "service"),
    ({"environment": "' OR 1=1 --"}, "environment"),
]


def test_what_makes_no_sense_is_refused_by_field(declare):
    for how, field in NONSENSE:
        with pytest.raises(Invalid) as refusal:
            declare(**{"kind": "freeze", "by": events.SYSTEM} | how)
        assert list(refusal.value.fields) == [field], how
    assert ChangeWindow.objects.count() == 0


def test_everything_wrong_is_said_at_once(declare):
    with pytest.raises(Invalid) as refusal:
        declare("thaw", lasts=-HOUR, reason="")
    assert sorted(refusal.value.fields) == ["ends_at", "kind", "reason"]


def test_what_is_over_or_lifted_is_not_lifted(declare, owner):
    freeze = declare("freeze")
    with clock.travel(3 * HOUR), pytest.raises(Invalid, match="over already"):
        actions.lift(freeze, by=owner)
    actions.lift(freeze, by=owner)
    with pytest.raises(IllegalTransition):
        actions.lift(ChangeWindow.objects.get(), by=owner)


def test_the_button_says_that_the_right_is_needed_on_all_of_it(declare, owner):
    freeze = declare("freeze", by=events.SYSTEM, environment="*")
    (lift,) = ChangeWindow.lifecycle.available(freeze, owner)
    assert lift.reason == "Needs the right “operations.declare” on every environment."
    (lift,) = ChangeWindow.lifecycle.available(declare("freeze"), owner)
    assert lift.enabled is True


def test_its_phase_in_words(declare, owner):
    freeze = declare("freeze", start=HOUR)
    assert freeze.phase == "to come"
    with clock.travel(2 * HOUR):
        assert freeze.phase == "now"
    with clock.travel(4 * HOUR):
        assert freeze.phase == "over"
    assert actions.lift(freeze, by=owner).phase == "lifted"
