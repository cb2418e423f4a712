"""Every state × transition × role: allowed, denied, or not possible, and nothing else."""

from __future__ import annotations

import pytest
from django.db import transaction

from identity import matrix
from operations import actions, lifecycle
from portal.errors import Denied, IllegalTransition, Refused, StepUpRequired
from tests import world

pytestmark = pytest.mark.django_db
STATES = [state.value for state in lifecycle.operation.states]
MOVES = [move for move in lifecycle.operation if move.sources and not move.internal]
ROLES = sorted(matrix.load()["roles"])
INPUT = {"cancel": {"reason": "why"}, "stop": {"reason": "why"}, "settle": {"reason": "done by hand"}}
INPUT["override"] = {"reason": "it cannot wait"}


def attempt(operation, move, account) -> str:
    """What the verb answers: the new state, or the name of the refusal. Nothing is kept."""
    with transaction.atomic():
        try:
            with transaction.atomic():
                result = getattr(actions, move.name)(operation, by=account, **INPUT.get(move.name, {})).state
        except Refused as refusal:
            result = type(refusal).__name__
        transaction.set_rollback(True)
    operation.refresh_from_db()
    return result


def expected(state: str, move, role: str) -> str:
    held = set(matrix.actions_of(role))
    if move.permission not in held:
        return "Denied"
    if move.name == "confirm" and "inventory.reload" not in held and state == "planned":
        return "Denied"
    if state not in move.sources:
        return "IllegalTransition"
    if move.name == "approve" and role != "operations_owner":
        return "Denied"  # it asks for somebody of that role
    # Agreeing to, or confirming, what needs nobody else queues it at once.
    return "queued" if move.name in ("confirm", "approve") else move.target


@pytest.fixture(scope="module")
def holders(standing):
    """An account of each role, and one whose right is on another scope."""
    return standing(
        lambda: (
            {role: world.account(f"the-{role}", role, ("production", "api")) for role in ROLES}
            | {"stranger": world.account("stranger", "operations_owner", ("staging", "*"))}
        )
    )


@pytest.mark.parametrize("state", STATES)
def test_each_role_can_do_exactly_what_the_matrix_says(holders, at, stepped_up, state):
    operation = at(state)
    answers = {(move.name, role): attempt(operation, move, holders[role]) for move in MOVES for role in ROLES}
    assert answers == {(move.name, role): expected(state, move, role) for move in MOVES for role in ROLES}
    assert {attempt(operation, move, holders["stranger"]) for move in MOVES} == {"Denied"}


def test_settling_needs_a_fresh_second_factor(at, owner):
    operation = at("stuck")
    with pytest.raises(StepUpRequired):
        actions.settle(operation, by=owner, reason="done by hand")


def test_people_cannot_make_the_engines_moves(at, owner):
    with pytest.raises(Denied):
        actions.finish(at("running"), by=owner)


def test_an_operation_that_ended_stays_ended(at, owner):
    with pytest.raises(IllegalTransition):
        actions.cancel(at("done"), by=owner)
