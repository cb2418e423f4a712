"""Rights: bindings, wildcards, ends, and that nothing else is given."""

from datetime import timedelta

import pytest

from identity import rights
from identity.models import EffectiveScope
from inventory.models import Component
from portal import clock
from tests import world

pytestmark = pytest.mark.django_db


def test_a_wildcard_binding_reaches_scopes_added_later():
    viewer = world.account("viewer", "viewer", ("production", "*"))
    later = world.component("production/us-central/play")
    assert viewer.has_perm("inventory.view", later) is True
    assert viewer.has_perm("portal.view_events", later) is False


def test_list_and_detail_agree_and_foreign_scopes_are_not_there():
    world.component("staging/us-central/api")
    mine = world.component("production/us-central/api")
    viewer = world.account("viewer", "viewer", ("production", "api"))
    assert list(Component.objects.visible_to(viewer)) == [mine]


def test_a_right_ends_by_the_clock_without_any_sweeper():
    here = world.component()
    account = world.account("guest")
    rights.bind("viewer", here.scope, account=account, valid_until=clock.now() + timedelta(minutes=5))
    assert account.has_perm("inventory.view", here) is True
    with clock.travel(timedelta(minutes=6)):
        assert account.has_perm("inventory.view", here) is False
        assert list(Component.objects.visible_to(account)) == []


def test_taking_one_binding_away_leaves_what_another_gives():
    here = world.component()
    account = world.account("guest")
    standing = rights.bind("viewer", here.scope, account=account)
    rights.bind("auditor", here.scope, account=account)
    rights.unbind(standing)
    held = set(EffectiveScope.objects.filter(account=account).values_list("action", flat=True))
    assert "inventory.view" in held


def test_team_members_hold_the_teams_rights():
    here = world.component()
    member, stranger = world.account("member"), world.account("stranger")
    team = world.team("api-team", member)
    rights.bind("viewer", here.scope, team=team)
    assert member.has_perm("inventory.view", here) is True
    assert stranger.has_perm("inventory.view", here) is False


def test_an_inactive_account_sees_nothing():
    here = world.component()
    account = world.account("viewer", "viewer")
    account.is_active = False
    account.save()
    assert account.has_perm("inventory.view", here) is False
    assert list(Component.objects.visible_to(account)) == []
