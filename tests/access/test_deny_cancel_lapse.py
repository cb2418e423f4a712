"""The other ends of a request."""

from datetime import timedelta

import pytest

from access import actions, reconcile
from access.models import AccessRequest
from portal import clock, events
from portal.errors import Denied, IllegalTransition, Invalid
from portal.models import Event
from tests.access.conftest import decide

pytestmark = pytest.mark.django_db


def test_a_denial_says_why(cast, ask):
    asked = ask()
    with pytest.raises(Invalid):
        actions.deny(asked, by=cast.owner, note="   ")
    actions.deny(asked, by=cast.owner, note=" Use the runbook ")
    asked.refresh_from_db()
    assert (asked.state, asked.decision_note, asked.decided_hash) == ("denied", "Use the runbook", asked.content_hash)
    assert Event.objects.get(verb="access.deny").reason == "Use the runbook"


def test_whoever_asked_takes_it_back_and_nobody_else_does(cast, ask):
    asked = ask()
    with pytest.raises(Denied):
        actions.cancel(asked, by=cast.owner)
    actions.cancel(asked, by=cast.dev)
    assert (asked.state, asked.closed_at is not None) == ("cancelled", True)
    with pytest.raises(IllegalTransition):
        decide(asked, cast.owner)


def test_the_sweeper_closes_what_nobody_decided(cast, ask):
    asked = ask()
    with pytest.raises(IllegalTransition):
        actions.lapse(asked, by=events.SYSTEM)
    assert reconcile.lapse() == 0
    with clock.travel(timedelta(hours=24, seconds=1)):
        assert reconcile.lapse() == 1
        assert reconcile.lapse() == 0
    asked.refresh_from_db()
    assert asked.state == "lapsed"
    assert Event.objects.get(verb="access.lapse").actor_label == "portal (access.lapse)"


def test_people_cannot_lapse(cast, ask):
    asked = ask()
    with clock.travel(timedelta(hours=25)), pytest.raises(Denied):
        actions.lapse(asked, by=cast.security)


def test_the_same_can_be_asked_again_afterwards(cast, ask):
    actions.cancel(ask(), by=cast.dev)
    ask()
    assert AccessRequest.objects.count() == 2
