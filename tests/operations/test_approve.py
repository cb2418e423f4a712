"""Approving: another person, once, these very steps, with a fresh second factor where the plan asks for it."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from operations import actions, approvals
from operations.models import Approval, Operation
from portal import clock, events
from portal.errors import Conflict, Denied, StepUpRequired
from portal.models import Event
from tests import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def asker(db):
    return world.account("asker", "operations_owner", ("production", "*"))


def test_another_persons_agreement_queues_it(at, asker, owner):
    operation = actions.approve(at("awaiting_approval", by=asker), by=owner)
    assert operation.state == "queued"
    approval = operation.approvals.get()
    assert (approval.person, approval.account, approval.digest) == (owner.person, owner, operation.plan_digest)
    assert Event.objects.get(verb="operations.approve").after == {"digest": operation.plan_digest}


def test_whoever_asked_cannot_approve(at, asker):
    with pytest.raises(Denied, match="another person"):
        actions.approve(at("awaiting_approval", by=asker), by=asker)


def test_a_second_account_of_the_same_person_cannot_either(at, asker):
    other = world.account("asker-admin", "operations_owner", ("production", "*"), of=asker.person)
    with pytest.raises(Denied, match="another person"):
        actions.approve(at("awaiting_approval", by=asker), by=other)


def test_two_are_two_persons(at, asker, owner):
    operation = actions.approve(at("awaiting_approval", by=asker, approvals=2), by=owner)
    assert operation.state == "awaiting_approval"
    again = world.account("owner-admin", "operations_owner", ("production", "*"), of=owner.person)
    for account in (owner, again):
        with pytest.raises(Denied, match="approved it already"):
            actions.approve(Operation.objects.get(pk=operation.pk), by=account)
    third = world.account("third", "operations_owner", ("production", "*"))
    assert actions.approve(operation, by=third).state == "queued"


def test_a_service_account_of_nobody_cannot_approve(at, owner):
    machine = world.account("robot", kind="service")
    machine.person = None
    machine.save()
    from identity import rights

    rights.bind("operations_owner", rights.scope_for("production", "*"), account=machine)
    with pytest.raises(Denied, match="Only a person"):
        actions.approve(at("awaiting_approval"), by=machine)


def test_agreement_to_other_steps_is_refused(at, owner):
    with pytest.raises(Conflict, match="not those you read"):
        actions.approve(at("awaiting_approval"), by=owner, digest="0" * 64)


def test_an_agreement_to_other_steps_does_not_count(at, owner):
    operation = at("awaiting_approval")
    other = world.account("third", "operations_owner", ("production", "*"))
    Approval.objects.create(operation=operation, person=other.person, account=other, digest="0" * 64)
    assert approvals.counting(operation, operation.approvals.all()) == {}
    assert actions.approve(operation, by=other).state == "queued"


def test_a_plan_may_ask_for_a_fresh_second_factor(at, owner, counting, monkeypatch):
    monkeypatch.setattr(type(counting), "approval_step_up", True)
    operation = at("awaiting_approval")
    with pytest.raises(StepUpRequired):
        actions.approve(operation, by=owner)
    with (
        events.acting(second_factor_at=clock.now() - timedelta(minutes=6)),
        pytest.raises(StepUpRequired),
    ):
        actions.approve(operation, by=owner)
    with events.acting(second_factor_at=clock.now()):
        assert actions.approve(operation, by=owner).state == "queued"


def test_the_database_keeps_one_agreement_per_person(at, owner):
    operation = actions.approve(at("awaiting_approval", approvals=2), by=owner)
    with pytest.raises(IntegrityError), transaction.atomic():
        Approval.objects.create(operation=operation, person=owner.person, account=owner, digest="x")


def test_the_digest_is_of_what_would_run(at, counting):
    operation = at("planned")
    steps = list(operation.steps.all())
    from operations.plan import digest

    assert digest(operation.content(steps)) == operation.plan_digest
    steps[0].arguments = {"more": True}
    assert digest(operation.content(steps)) != operation.plan_digest
