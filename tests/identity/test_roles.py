"""Giving roles and taking them away: who may, under which conditions, and what stays."""

import io
from datetime import timedelta

import pytest
from django.core.management import CommandError, call_command

from identity import actions, matrix, rights
from identity.management.commands import roles as page
from identity.models import Account, RoleBinding
from portal import clock, events
from portal.errors import Conflict, Denied, Invalid, StepUpRequired
from portal.models import Event
from tests import world
from tests.identity.door import enter

pytestmark = pytest.mark.django_db


@pytest.fixture
def officer(stepped_up) -> Account:
    return world.account("officer", "security_officer")


def test_a_role_works_at_once_and_is_told(officer):
    here, guest = world.component(), world.account("guest")
    given = actions.bind_role(guest, by=officer, role="viewer", scope=here.scope, reason="New colleague")
    assert guest.has_perm("inventory.view", here) is True
    event = Event.objects.get(verb="identity.bind_role")
    assert (event.actor, event.subject_id, event.reason) == (officer, str(given.pk), "New colleague")
    actions.unbind(given, by=officer, reason="Left")
    assert guest.has_perm("inventory.view", here) is False
    assert Event.objects.get(verb="identity.unbind").before["role"] == "viewer"


@pytest.mark.parametrize("role", sorted(matrix.load()["roles"]))
def test_only_the_roles_of_the_matrix_give_and_take_roles(role, stepped_up):
    actor, guest, here = world.account("actor", role), world.account("guest"), world.scope()
    standing = rights.bind("auditor", here, account=guest)
    attempts = {
        "identity.bind_role": lambda: actions.bind_role(guest, by=actor, role="viewer", scope=here),
        "identity.unbind": lambda: actions.unbind(standing, by=actor),
    }
    for action, attempt in attempts.items():
        if action in matrix.actions_of(role):
            attempt()
            continue
        with pytest.raises(Denied):
            attempt()
    assert RoleBinding.objects.filter(pk=standing.pk).exists() is ("identity.unbind" not in matrix.actions_of(role))


def test_without_a_fresh_second_factor_nothing_is_given_or_taken():
    officer, guest, here = world.account("officer", "security_officer"), world.account("guest"), world.scope()
    standing = rights.bind("auditor", here, account=guest)
    with pytest.raises(StepUpRequired):
        actions.bind_role(guest, by=officer, role="viewer", scope=here)
    with pytest.raises(StepUpRequired):
        actions.unbind(standing, by=officer)
    assert list(guest.bindings.values_list("role", flat=True)) == ["auditor"]


def test_a_right_on_one_scope_gives_no_role_on_a_wider_one(stepped_up):
    officer = world.account("officer", "security_officer", ("staging", "*"))
    guest = world.account("guest")
    for scope in (("production", "api"), ("*", "*")):
        with pytest.raises(Denied):
            actions.bind_role(guest, by=officer, role="viewer", scope=rights.scope_for(*scope))
    assert actions.bind_role(guest, by=officer, role="viewer", scope=rights.scope_for("staging", "*")).pk


def test_nobody_changes_own_roles_with_another_account_or_through_a_team(officer):
    twin = world.account("officer-2", of=officer.person)
    here = world.scope()
    for holder in (officer, twin, world.team("security", twin)):
        with pytest.raises(Denied):
            actions.bind_role(holder, by=officer, role="viewer", scope=here)
    with pytest.raises(Denied):
        actions.unbind(officer.bindings.get(), by=officer)


def test_a_team_gets_a_role_and_loses_it(officer):
    here, member = world.component(), world.account("member")
    given = actions.bind_role(world.team("api-team", member), by=officer, role="viewer", scope=here.scope)
    assert member.has_perm("inventory.view", here) is True
    actions.unbind(given, by=officer)
    assert member.has_perm("inventory.view", here) is False


def test_what_makes_no_sense_is_refused(officer):
    guest, here = world.account("guest"), world.scope()
    with pytest.raises(Invalid):
        actions.bind_role(guest, by=officer, role="emperor", scope=here)
    with pytest.raises(Invalid):
        actions.bind_role(guest, by=officer, role="viewer", scope=here, valid_until=clock.now() - timedelta(1))
    actions.bind_role(guest, by=officer, role="viewer", scope=here, valid_until=clock.now() + timedelta(1))
    with pytest.raises(Conflict):
        actions.bind_role(guest, by=officer, role="viewer", scope=here, valid_until=clock.now() + timedelta(1))


def test_a_role_of_a_grant_ends_with_the_grant_only(officer):
    guest = world.account("guest")
    granted = rights.bind("operator", world.scope(), account=guest, grant=world.account("x").pk,
                          valid_until=clock.now() + timedelta(1))  # fmt: skip
    with pytest.raises(Conflict):
        actions.unbind(granted, by=officer)


def test_the_server_may_give_the_first_role():
    guest = world.account("guest")
    given = actions.bind_role(guest, by=events.System("manage.py"), role="security_officer", scope=world.scope())
    assert given.role == "security_officer"


def test_the_screens_give_and_take(client, stepped_up):
    world.component()
    officer, guest = world.account("officer", "security_officer"), world.account("guest")
    enter(client, officer, fresh=True)
    body = {"holder": f"account:{guest.pk}", "role": "viewer", "environment": "", "service": "", "reason": "New"}
    assert client.get("/roles/bind/").status_code == 200
    assert client.post("/roles/bind/", {}).status_code == 422
    assert client.post("/roles/bind/", {**body, "until": "2020-01-01"}).status_code == 422
    assert client.post("/roles/bind/", body).status_code == 303
    assert client.post("/roles/bind/", body).status_code == 409
    given = guest.bindings.get()
    for path in ("/roles/", "/accounts/", "/teams/", f"/roles/{given.pk}/unbind/"):
        assert client.get(path).status_code == 200
    assert client.post(f"/roles/{given.pk}/unbind/", {"reason": "Left"}).status_code == 303
    assert guest.bindings.count() == 0


def test_the_roles_page_is_what_the_matrix_says(tmp_path, settings):
    settings.BASE_DIR = tmp_path
    with pytest.raises(CommandError, match="out of date"):
        call_command("roles", "--check")
    call_command("roles", stdout=io.StringIO())
    call_command("roles", "--check")
    text = (tmp_path / page.PAGE).read_text()
    row = next(line for line in text.splitlines() if "`identity.bind_role`" in line)
    assert row.count("●") == len(matrix.load()["actions"]["identity.bind_role"]["roles"])
