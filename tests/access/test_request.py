"""Asking for access."""

from datetime import timedelta

import pytest

from access import actions
from access.models import AccessRequest
from identity.models import Account
from portal import clock, events
from portal.errors import Conflict, Denied, Invalid
from portal.models import Event
from tests import world
from tests.access.conftest import REASON, decide

pytestmark = pytest.mark.django_db


def test_a_request_waits_and_is_recorded(cast, ask):
    asked = ask(minutes=90)
    assert (asked.state, asked.seconds, asked.beneficiary, asked.key[:4]) == ("pending", 5400, cast.dev, "ACC-")
    assert asked.decide_by - asked.requested_at == timedelta(hours=24)
    event = Event.objects.get(verb="access.request")
    assert (event.actor, event.scope, event.reason) == (cast.dev, cast.scope, REASON)
    assert event.after["content"] == asked.content_hash == asked.content()


def test_numbers_follow_one_another(cast, ask):
    first, second = ask(), ask(beneficiary=world.account("other", "viewer"))
    assert int(second.key[4:]) == int(first.key[4:]) + 1


def test_nobody_asks_where_they_may_not(cast, ask):
    with pytest.raises(Denied):
        ask(by=cast.stranger)
    with pytest.raises(Denied):
        ask(by=cast.auditor)


def test_machines_do_not_ask(cast, ask):
    robot = world.account("robot", kind=Account.Kind.SERVICE)
    Account.objects.filter(pk=robot.pk).update(person=None)
    robot.refresh_from_db()
    world.rights.bind("developer", cast.scope, account=robot)
    with pytest.raises(Denied):
        ask(by=robot)
    with pytest.raises(Denied):
        ask(by=events.SYSTEM)


def test_everything_wrong_is_said_at_once(cast, ask):
    with pytest.raises(Invalid) as refusal:
        ask(minutes=481, reason="  short   ", wanted_from=clock.now() + timedelta(days=8), beneficiary=cast.stranger)
    assert sorted(refusal.value.fields) == ["beneficiary", "minutes", "reason", "wanted_from"]
    assert len(refusal.value.problems) == 4
    assert AccessRequest.objects.count() == 0


@pytest.mark.parametrize("minutes", [0, 4, -60, 481])
def test_the_duration_has_bounds(cast, ask, minutes):
    with pytest.raises(Invalid):
        ask(minutes=minutes)


def test_a_scope_without_the_service_is_refused(cast):
    empty = world.scope("production", "nothing-runs-here")
    with pytest.raises(Invalid) as refusal:
        actions.request_access(empty, by=cast.dev, minutes=60, reason=REASON)
    assert list(refusal.value.fields) == ["service"]


def test_a_wildcard_is_refused(cast):
    everything = world.scope("*", "*")
    with pytest.raises(Invalid):
        actions.request_access(everything, by=cast.security, minutes=60, reason=REASON)


def test_whoever_holds_it_already_need_not_ask(cast, ask, granted):
    with pytest.raises(Conflict):
        ask(by=cast.owner)
    granted()
    with pytest.raises(Conflict):
        ask()


def test_one_request_at_a_time_for_the_same(cast, ask):
    ask()
    with pytest.raises(Conflict):
        ask()
    assert AccessRequest.objects.count() == 1


def test_access_can_be_asked_for_somebody_else(cast, ask):
    asked = ask(by=cast.owner, beneficiary=cast.dev)
    assert (asked.requester, asked.beneficiary) == (cast.owner, cast.dev)
    with pytest.raises(Denied):
        decide(asked, cast.owner)
    assert decide(asked, cast.security).grant.account == cast.dev


def test_more_time_is_a_new_request(cast, granted):
    grant = granted()
    more = actions.extend(grant, by=cast.dev, minutes=30, reason=REASON)
    assert (more.state, more.extends) == ("pending", grant)
    second = decide(more, cast.owner).grant
    assert second.pk != grant.pk
    with clock.travel(timedelta(minutes=31)):
        assert (grant.is_live, second.is_live) == (True, False)


def test_only_the_holder_extends_and_only_while_it_works(cast, granted):
    grant = granted()
    with pytest.raises(Denied):
        actions.extend(grant, by=cast.owner, minutes=30, reason=REASON)
    with clock.travel(timedelta(hours=2)), pytest.raises(Conflict):
        actions.extend(grant, by=cast.dev, minutes=30, reason=REASON)
