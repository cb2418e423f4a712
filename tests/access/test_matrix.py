"""Every state × every transition × every role: what the table says, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import transaction

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


@pytest.fixture(scope="module")
def holders(_cast, standing):
    """An account of each role."""
    return standing(lambda: {role: world.account(f"r-{role}", role) for role in ROLES})


def prove(machine, names, obj, holders, by_people):
    """Every role tries every move, each in a savepoint, so that the next finds the same state."""
    model, state = type(obj), obj.state
    for name in names:
        move = machine[name]
        for role, actor in holders.items():
            possible = state in move.sources and move.permission in actions_of(role) and name in by_people
            with transaction.atomic():
                refusal = attempt(machine, name, model.objects.get(pk=obj.pk), actor)
                assert (refusal is None) is possible, (state, name, role, refusal)
                assert model.objects.get(pk=obj.pk).state == (move.target if possible else state), (name, role)
                transaction.set_rollback(True)
            if machine is lifecycle.request and move.permission not in actions_of(role) and name != "lapse":
                assert isinstance(refusal, Denied), (state, name, role)


@pytest.mark.parametrize("state", [state.value for state in lifecycle.request.states])
def test_requests(cast, ask, holders, state):
    asked = request_in(state, cast, ask)
    prove(lifecycle.request, ["approve", "deny", "cancel", "lapse"], asked, holders, {"approve", "deny"})


@pytest.mark.parametrize("state", [state.value for state in lifecycle.grant.states])
def test_grants(cast, granted, holders, state):
    grant = grant_in(state, cast, granted)
    prove(lifecycle.grant, ["start", "expire", "revoke", "give_back"], grant, holders, {"revoke"})


def test_every_transition_has_its_verb_and_its_action():
    known = load()["actions"]
    for machine in (lifecycle.request, lifecycle.grant):
        for move in machine:
            assert move.permission in known
            assert hasattr(actions, move.name) or move.name in ("request", "grant")
