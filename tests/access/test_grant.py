"""The life of a grant: it ends by the clock, whatever sweeps; it can be ended early; it can begin later."""

from datetime import timedelta

import pytest
from django.db import IntegrityError, connection

from access import actions, reconcile
from access.models import Grant
from identity import rights
from identity.models import Account, EffectiveScope, RoleBinding
from inventory.models import Component
from portal import clock, events
from portal.errors import Denied, IllegalTransition, Invalid
from portal.models import Event
from tests import world
from tests.access.conftest import decide

pytestmark = pytest.mark.django_db
RIGHT = "inventory.reload"


def test_the_right_is_gone_at_its_end_without_any_sweeper(cast, granted):
    grant = granted()
    with clock.travel(timedelta(minutes=59)):
        assert cast.dev.has_perm(RIGHT, cast.component) is True
        assert (grant.is_live, grant.spent_percent) == (True, 98)
    with clock.travel(timedelta(minutes=60, seconds=1)):
        assert cast.dev.has_perm(RIGHT, cast.component) is False
        assert list(Component.objects.visible_to(cast.dev, RIGHT)) == []
        assert RoleBinding.objects.filter(grant=grant.pk).exists() is True
        assert (grant.state, grant.is_live, grant.left) == ("active", False, timedelta(0))
        assert list(Grant.objects.live()) == []


def test_the_sweeper_marks_the_end_and_clears_the_binding(cast, granted):
    grant = granted()
    assert reconcile.expire() == 0
    with clock.travel(timedelta(minutes=61)):
        assert reconcile.expire() == 1
        assert reconcile.expire() == 0
    grant.refresh_from_db()
    assert (grant.state, grant.end_cause, grant.ended_by) == ("ended", "expired", None)
    assert RoleBinding.objects.filter(grant=grant.pk).exists() is False
    assert EffectiveScope.objects.filter(account=cast.dev, action=RIGHT).exists() is False
    event = Event.objects.get(verb="access.expire")
    assert event.after["bindings"] == 0
    assert RIGHT not in event.after["actions_left"]


def test_what_was_held_before_is_held_afterwards(cast, granted):
    before = set(EffectiveScope.objects.filter(account=cast.dev).values_list("action", "scope"))
    granted()
    with clock.travel(timedelta(minutes=61)):
        reconcile.expire()
    assert set(EffectiveScope.objects.filter(account=cast.dev).values_list("action", "scope")) == before


def test_a_grant_does_not_end_before_its_time(cast, granted):
    with pytest.raises(IllegalTransition):
        actions.expire(granted(), by=events.SYSTEM)


def test_revoking_ends_it_at_once_and_says_what_is_left(cast, granted):
    grant = granted()
    with pytest.raises(Invalid):
        actions.revoke(grant, by=cast.security, reason=" ")
    actions.revoke(grant, by=cast.security, reason="The laptop was stolen")
    assert (grant.state, grant.end_cause, grant.ended_by_id) == ("ended", "revoked", cast.security.pk)
    assert cast.dev.has_perm(RIGHT, cast.component) is False
    event = Event.objects.get(verb="access.revoke")
    assert event.reason == "The laptop was stolen"
    assert "inventory.view" in event.after["actions_left"]
    with pytest.raises(IllegalTransition):
        actions.revoke(grant, by=cast.security, reason="again")


def test_the_holder_cannot_revoke_but_gives_back(cast, granted):
    grant = granted()
    with pytest.raises(Denied):
        actions.revoke(grant, by=cast.dev, reason="mine anyway")
    with pytest.raises(Denied):
        actions.give_back(grant, by=cast.owner)
    actions.give_back(grant, by=cast.dev)
    assert (grant.state, grant.end_cause) == ("ended", "given_back")
    assert cast.dev.has_perm(RIGHT, cast.component) is False


def test_one_grant_ends_and_the_other_still_works(cast, granted):
    first = granted()
    more = actions.extend(first, by=cast.dev, minutes=120, reason="It takes longer than thought")
    second = decide(more, cast.owner).grant
    actions.revoke(first, by=cast.owner, reason="replaced by the longer one")
    assert cast.dev.has_perm(RIGHT, cast.component) is True
    assert second.is_live is True


def test_a_scheduled_grant_begins_when_its_time_has_come(cast, granted):
    grant = granted(wanted_from=clock.now() + timedelta(hours=2))
    assert reconcile.start() == 0
    with pytest.raises(IllegalTransition):
        actions.start(grant, by=events.SYSTEM)
    with clock.travel(timedelta(hours=2, seconds=1)):
        assert reconcile.start() == 1
        assert cast.dev.has_perm(RIGHT, cast.component) is True
    grant.refresh_from_db()
    assert (grant.state, grant.activated_at is not None) == ("active", True)
    assert RoleBinding.objects.get(grant=grant.pk).given_by == cast.owner


def test_a_scheduled_grant_of_somebody_switched_off_gives_nothing(cast, granted):
    grant = granted(wanted_from=clock.now() + timedelta(hours=2))
    Account.objects.filter(pk=cast.dev.pk).update(is_active=False)
    with clock.travel(timedelta(hours=2, seconds=1)):
        assert reconcile.start() == 1
    grant.refresh_from_db()
    assert (grant.state, grant.end_cause) == ("ended", "ineligible")
    assert RoleBinding.objects.filter(grant=grant.pk).exists() is False


def test_a_scheduled_grant_can_be_revoked_and_never_begins(cast, granted):
    grant = granted(wanted_from=clock.now() + timedelta(hours=2))
    actions.revoke(grant, by=cast.owner, reason="No longer needed")
    with clock.travel(timedelta(hours=3)):
        assert (reconcile.start(), reconcile.expire()) == (0, 0)


def test_one_bad_row_does_not_keep_the_others(cast, granted, monkeypatch):
    granted()
    second = decide(
        actions.request_access(
            world.component("production/us-central/play").scope, by=cast.dev, minutes=60, reason="Mitigate the outage"
        ),
        cast.owner,
    ).grant
    broken = Grant.objects.order_by("starts_at").first()
    unbind = rights.unbind

    def fail_once(binding):
        if binding.grant == broken.pk:
            raise OSError("broken row")
        unbind(binding)

    monkeypatch.setattr(rights, "unbind", fail_once)
    with clock.travel(timedelta(minutes=61)), pytest.raises(OSError, match="broken row"):
        reconcile.expire()
    second.refresh_from_db()
    broken.refresh_from_db()
    assert (second.state, broken.state) == ("ended", "active")


def test_a_binding_that_stays_is_never_called_ended(cast, granted, monkeypatch):
    grant = granted()
    monkeypatch.setattr(rights, "unbind", lambda binding: None)
    with pytest.raises(RuntimeError, match="still there"):
        actions.revoke(grant, by=cast.owner, reason="must be verified")
    assert Grant.objects.get(pk=grant.pk).state == "active"


def test_the_sweeper_passes_over_what_somebody_else_ended(cast, granted, monkeypatch):
    grant = granted()
    monkeypatch.setattr(Grant.objects, "over", lambda: Grant.objects.filter(pk=grant.pk))
    actions.give_back(grant, by=cast.dev)
    assert reconcile.expire() == 0


@pytest.mark.parametrize(
    ("assignment", "constraint"),
    [
        ("ends_at = starts_at", "grant_ends_after_it_begins"),
        ("ends_at = starts_at + interval '9 hours'", "grant_duration"),
        ("activated_at = NULL", "grant_activated"),
        ("ended_at = now()", "grant_ended"),
        ("end_cause = 'expired'", "grant_ended"),
        ("state = 'ended'", "grant_ended"),
        ("state = 'ended', ended_at = now(), end_cause = 'revoked'", "grant_ended_by"),
        ("state = 'nonsense'", "access_grant_state"),
    ],
)
def test_facts_of_a_state_stand_and_fall_with_it(cast, granted, assignment, constraint):
    grant = granted()
    with pytest.raises(IntegrityError, match=constraint), connection.cursor() as cursor:
        cursor.execute(f"UPDATE access_grant SET {assignment} WHERE id = %s", [grant.pk])


def test_a_request_has_one_grant_ever(cast, granted):
    grant = granted()
    with pytest.raises(IntegrityError):
        Grant.objects.create(
            key="ACC-other",
            request=grant.request,
            account=grant.account,
            scope=grant.scope,
            role=grant.role,
            starts_at=grant.starts_at,
            ends_at=grant.ends_at,
        )
