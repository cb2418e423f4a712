"""Every state × every transition × every role: what the table says, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from access import actions, lifecycle
from access.models import AccessRequest, Grant
from identity.matrix import actions_of, load
from portal import clock, events
from portal.errors import Denied, Refused
from tests import world
from tests.access.conftest import decide

pytestmark = pytest.mark.django_db
ROLES = sorted(load()["roles"])


def request_in(state, cast, ask):
    """A request brought to ``state`` by its verbs."""
    asked = ask()
    if state == "approved":
        decide(asked, cast.owner)
    elif state == "denied":
        actions.deny(asked, by=cast.owner, note="No")
    elif state == "cancelled":
        actions.cancel(asked, by=cast.dev)
    elif state == "lapsed":
        with clock.travel(timedelta(hours=25)):
            actions.lapse(asked, by=events.SYSTEM)
    return AccessRequest.objects.get(pk=asked.pk)


def grant_in(state, cast, granted):
    grant = granted(wanted_from=clock.now() + timedelta(hours=1)) if state == "scheduled" else granted()
    if state == "ended":
        actions.revoke(grant, by=cast.owner, reason="Done")
    return Grant.objects.get(pk=grant.pk)


def attempt(machine, name, obj, by):
    """Call the verb of a transition; its refusal, or ``None`` when it happened."""
    values = {"deny": {"note": "No"}, "revoke": {"reason": "Stop"}}.get(name, {})
    verb = getattr(actions, name)
    try:
        with events.acting(second_factor_at=clock.now()):
            verb(obj, by=by, **values)
    except Refused as refusal:
        return refusal
    return None


@pytest.mark.parametrize("state", [state.value for state in lifecycle.request.states])
@pytest.mark.parametrize("name", ["approve", "deny", "cancel", "lapse"])
def test_requests(cast, ask, state, name):
    asked = request_in(state, cast, ask)
    move = lifecycle.request[name]
    for role in ROLES:
        actor = world.account(f"r-{role}", role)
        possible = state in move.sources and move.permission in actions_of(role) and name in ("approve", "deny")
        # In a transaction of its own, so that the next role finds the same state.
        refusal = attempt(lifecycle.request, name, AccessRequest.objects.get(pk=asked.pk), actor)
        assert (refusal is None) is possible, (state, name, role, refusal)
        if move.permission not in actions_of(role) and name != "lapse":
            assert isinstance(refusal, Denied), (state, name, role)
        if possible:
            break
    assert AccessRequest.objects.get(pk=asked.pk).state == (move.target if possible else state)


@pytest.mark.parametrize("state", [state.value for state in lifecycle.grant.states])
@pytest.mark.parametrize("name", ["start", "expire", "revoke", "give_back"])
def test_grants(cast, granted, state, name):
    grant = grant_in(state, cast, granted)
    move = lifecycle.grant[name]
    for role in ROLES:
        actor = world.account(f"r-{role}", role)
        possible = state in move.sources and move.permission in actions_of(role) and name == "revoke"
        refusal = attempt(lifecycle.grant, name, Grant.objects.get(pk=grant.pk), actor)
        assert (refusal is None) is possible, (state, name, role, refusal)
        if possible:
            break
    assert Grant.objects.get(pk=grant.pk).state == (move.target if possible else state)


def test_every_transition_has_its_verb_and_its_action():
    known = load()["actions"]
    for machine in (lifecycle.request, lifecycle.grant):
        for move in machine:
            assert move.permission in known
            assert hasattr(actions, move.name) or move.name in ("request", "grant")
