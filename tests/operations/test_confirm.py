"""Telling a plan to run, calling it off, settling it: what each verb asks and leaves."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from operations import actions, plan
from operations.models import Operation
from portal import clock
from portal.errors import Conflict, Denied, IllegalTransition, Invalid
from portal.models import Event
from tests import world

pytestmark = pytest.mark.django_db


def test_confirming_queues_it_and_it_does_not_go_stale_any_more(at, owner):
    operation = actions.confirm(at("planned", by=owner), by=owner)
    assert (operation.state, operation.valid_until) == ("queued", None)


def test_confirming_waits_for_approval_where_one_is_needed(at, owner):
    assert actions.confirm(at("planned", approvals=1), by=owner).state == "awaiting_approval"


def test_confirming_needs_the_plans_own_right(at):
    developer = world.account("developer", "developer", ("production", "*"))
    with pytest.raises(Denied, match=r"inventory\.reload"):
        actions.confirm(at("planned"), by=developer)


def test_an_outdated_plan_is_not_confirmed(at, owner):
    operation = at("planned")
    with clock.travel(timedelta(minutes=31)), pytest.raises(Conflict, match="too long ago"):
        actions.confirm(operation, by=owner)


def test_cancelling_says_why_and_skips_every_step(at, owner):
    operation = actions.cancel(at("queued"), by=owner, reason="changed my mind")
    assert (operation.state, operation.failure) == ("cancelled", "changed my mind")
    assert set(operation.steps.values_list("state", flat=True)) == {"skipped"}
    event = Event.objects.get(verb="operations.cancel")
    assert (event.reason, event.before) == ("changed my mind", {"state": "queued"})


def test_two_people_deciding_at_once_only_one_wins(at, owner):
    operation = at("queued")
    same = Operation.objects.get(pk=operation.pk)
    actions.cancel(operation, by=owner)
    with pytest.raises(IllegalTransition):
        actions.cancel(same, by=owner)


def test_settling_frees_the_target_and_needs_words(at, owner, stepped_up):
    operation = at("stuck")
    with pytest.raises(Invalid) as refusal:
        actions.settle(operation, by=owner, reason="  ")
    assert refusal.value.fields == {"reason": ["This is needed."]}
    settled = actions.settle(operation, by=owner, reason="restored by hand")
    assert (settled.state, settled.stuck_reason) == ("undone", "")
    assert Event.objects.get(verb="operations.settle").reason == "restored by hand"


@pytest.mark.parametrize(
    ("state", "facts"),
    [
        ("queued", {"state": "running"}),
        ("running", {"state": "done"}),
        ("queued", {"state": "nonsense"}),
        ("running", {"state": "stuck"}),
        ("queued", {"lease_owner": "somebody"}),
        ("queued", {"valid_until": clock.now()}),
        ("queued", {"finished_at": clock.now()}),
        ("running", {"started_at": None}),
    ],
)
def test_the_database_refuses_facts_that_do_not_fit_the_state(at, state, facts):
    operation = at(state)
    with pytest.raises(IntegrityError), transaction.atomic():
        Operation.objects.filter(pk=operation.pk).update(**facts)


@pytest.mark.parametrize(
    "facts", [{"state": "nonsense"}, {"state": "done"}, {"progress_done": 1}, {"started_at": clock.now()}]
)
def test_the_database_refuses_steps_that_cannot_be(at, facts):
    operation = at("queued")
    with pytest.raises(IntegrityError), transaction.atomic():
        operation.steps.filter(position=1).update(**facts)


def test_what_a_button_says_when_it_cannot_be_used(at, owner):
    lifecycle = Operation.lifecycle
    asker = world.account("asker", "operations_owner", ("production", "*"))
    viewer = world.account("developer", "developer", ("production", "*"))
    waiting = at("awaiting_approval", by=asker)
    reasons = {
        ("approve", asker): "You asked for it, so another person has to approve.",
        ("approve", owner): "",
        ("approve", viewer): "Needs the right “operations.approve” here.",
    }
    for (name, account), reason in reasons.items():
        button = next(each for each in lifecycle.available(waiting, account) if each.transition.name == name)
        assert button.reason == reason
    confirm = next(each for each in lifecycle.available(at("planned"), viewer) if each.transition.name == "confirm")
    assert confirm.reason == "Needs the right “inventory.reload” here."
    stopped = actions.stop(at("running"), by=owner)
    shown = {each.transition.name: each.reason for each in lifecycle.available(stopped, owner)}
    assert shown == dict.fromkeys(("pause", "stop"), "It has been told to stop already.")


def test_a_plan_that_is_not_known_here_is_not_told_to_run_and_its_page_is_shown(at, owner, client, monkeypatch):
    """During a release the web server may be older than the worker that planned it."""
    operation = at("planned")
    monkeypatch.delitem(plan.registry, (operation.kind, operation.version))
    with pytest.raises(Denied):
        actions.confirm(operation, by=owner)
    client.force_login(owner)
    assert client.get(operation.get_absolute_url()).status_code == 200
