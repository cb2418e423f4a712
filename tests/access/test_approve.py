"""Approving: another person, a fresh second factor, never wider, exactly once."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection

from access import actions
from access.models import AccessRequest, Grant
from identity.models import Account, RoleBinding
from portal import clock, events
from portal.errors import Conflict, Denied, IllegalTransition, Invalid, StepUpRequired
from portal.models import Event
from tests import world
from tests.access.conftest import decide

pytestmark = pytest.mark.django_db
RIGHT = "inventory.reload"


def test_the_right_works_at_once_and_is_bound_to_the_grant(cast, ask):
    assert cast.dev.has_perm(RIGHT, cast.component) is False
    asked = decide(ask(), cast.owner, note="Go ahead")
    grant = asked.grant
    assert (asked.state, asked.decided_by, asked.granted_seconds) == ("approved", cast.owner, 3600)
    assert (grant.state, grant.ends_at - grant.starts_at, grant.key) == ("active", timedelta(hours=1), asked.key)
    assert cast.dev.has_perm(RIGHT, cast.component) is True
    binding = RoleBinding.objects.get(grant=grant.pk)
    assert (binding.role, binding.account, binding.valid_until, binding.given_by) == (
        *("operator", cast.dev, grant.ends_at, cast.owner),
    )
    event = Event.objects.get(verb="access.approve")
    assert (event.actor, event.reason, event.after["content"]) == (cast.owner, "Go ahead", asked.content_hash)


def test_a_fresh_second_factor_is_needed(cast, ask):
    asked = ask()
    with pytest.raises(StepUpRequired):
        actions.approve(asked, by=cast.owner)
    stale = clock.now() - timedelta(minutes=6)
    with events.acting(second_factor_at=stale), pytest.raises(StepUpRequired):
        actions.approve(asked, by=cast.owner)
    assert Grant.objects.count() == 0


def test_nobody_approves_their_own_even_through_a_second_account(cast, ask):
    twin = world.account("dev-admin", "operations_owner", ("production", "*"), of=cast.dev.person)
    asked = ask()
    with pytest.raises(Denied, match="Another person"):
        decide(asked, twin)
    with pytest.raises(Denied, match="Another person"):
        decide(asked, twin, actions.deny, note="no")


def test_the_database_itself_refuses_a_self_approval(cast, ask):
    asked = ask()
    with pytest.raises(IntegrityError, match="access_request_second_person"):
        AccessRequest.objects.filter(pk=asked.pk).update(
            state="approved",
            decided_at=clock.now(),
            decided_by=cast.dev,
            decided_person=asked.requester_person,
            decided_hash=asked.content_hash,
            granted_seconds=3600,
        )


def test_a_service_account_does_not_decide(cast, ask):
    robot = world.account("robot", "operations_owner", kind=Account.Kind.SERVICE)
    Account.objects.filter(pk=robot.pk).update(person=None)
    robot.refresh_from_db()
    with pytest.raises(Denied, match="Only a person"):
        decide(ask(), robot)


def test_the_right_is_needed_on_the_scope(cast, ask):
    elsewhere = world.account("staging-owner", "operations_owner", ("staging", "*"))
    for nobody in (elsewhere, cast.auditor, cast.stranger):
        with pytest.raises(Denied):
            decide(ask() if not AccessRequest.objects.exists() else AccessRequest.objects.get(), nobody)


def test_it_can_be_shortened_but_never_widened(cast, ask):
    asked = ask(minutes=60)
    for minutes in (61, 4, 0):
        with pytest.raises(Invalid):
            decide(asked, cast.owner, minutes=minutes)
    assert decide(asked, cast.owner, minutes=15).granted_seconds == 900


def test_the_content_that_was_read_is_the_content_that_is_decided(cast, ask):
    asked = ask()
    with pytest.raises(Conflict):
        decide(asked, cast.owner, content_hash="0" * 64)
    AccessRequest.objects.filter(pk=asked.pk).update(seconds=28800)
    with pytest.raises(Conflict):
        decide(asked, cast.owner)
    assert Grant.objects.count() == 0


def test_after_the_time_to_decide_nobody_approves(cast, ask):
    asked = ask()
    with clock.travel(timedelta(hours=25)), pytest.raises(IllegalTransition, match="time to decide"):
        decide(asked, cast.owner)


def test_an_account_switched_off_or_moved_away_meanwhile_gets_nothing(cast, ask):
    asked = ask()
    Account.objects.filter(pk=cast.dev.pk).update(is_active=False)
    with pytest.raises(Conflict):
        decide(asked, cast.owner)
    Account.objects.filter(pk=cast.dev.pk).update(is_active=True)
    world.rights.unbind(cast.dev.bindings.get())
    with pytest.raises(Conflict):
        decide(asked, cast.owner)


def test_a_decided_request_is_not_decided_again(cast, ask):
    asked = ask()
    stale = AccessRequest.objects.get(pk=asked.pk)
    decide(asked, cast.owner)
    with pytest.raises(IllegalTransition):
        decide(stale, cast.security)
    assert Grant.objects.count() == 1


def test_a_wanted_start_schedules_the_grant(cast, ask):
    asked = decide(ask(wanted_from=clock.now() + timedelta(hours=2)), cast.owner)
    assert (asked.grant.state, asked.grant.starts_at) == ("scheduled", asked.wanted_from)
    assert cast.dev.has_perm(RIGHT, cast.component) is False
    assert RoleBinding.objects.filter(grant=asked.grant.pk).exists() is False


def test_approving_takes_few_queries(cast, ask, django_assert_max_num_queries):
    asked = ask()
    with django_assert_max_num_queries(60):
        decide(asked, cast.owner)


@pytest.mark.parametrize(
    ("column", "value", "constraint"),
    [
        ("seconds", 29000, "access_request_duration"),
        ("reason", "short", "access_request_reason"),
        ("granted_seconds", 300, "access_request_granted"),
        ("closed_at", "now()", "access_request_closed"),
        ("decided_hash", "x", "access_request_decided"),
        ("state", "approved", "access_request_"),
        ("state", "cancelled", "access_request_closed"),
        ("state", "nonsense", "access_request_"),
    ],
)
def test_facts_of_a_state_stand_and_fall_with_it(cast, ask, column, value, constraint):
    asked = ask()
    with pytest.raises(IntegrityError, match=constraint), connection.cursor() as cursor:
        cursor.execute(f"UPDATE access_accessrequest SET {column} = %s WHERE id = %s", [value, asked.pk])
