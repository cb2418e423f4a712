"""State × transition × role, generated from the declarations: a move happens exactly when both allow it."""

from __future__ import annotations

from itertools import product

import pytest
from django.db import transaction

from deployments.lifecycle import deployment as lifecycle
from deployments.models import Deployment
from identity.matrix import actions_of, load
from portal import clock, events
from portal.errors import Denied, IllegalTransition, StepUpRequired
from portal.lifecycle import move
from tests import world

pytestmark = pytest.mark.django_db
MOVES = [transition for transition in lifecycle if transition.sources]


@pytest.fixture
def waiting(estate) -> Deployment:
    estate.announce()
    return Deployment.objects.get()


def in_state(deployment: Deployment, state: str) -> Deployment:
    """The row put there past every verb: the matrix is about what ``move`` lets through."""
    ended = clock.now() if state in lifecycle.terminal else None
    Deployment.objects.filter(pk=deployment.pk).update(state=state, finished_at=ended)
    return Deployment.objects.get(pk=deployment.pk)


def outcome(deployment: Deployment, name: str, account: object) -> type[Exception] | None:
    ended = {"finished_at": clock.now()} if lifecycle[name].target in lifecycle.terminal else {}
    with transaction.atomic():
        try:
            move(deployment, name, by=account, **ended)
        except (Denied, IllegalTransition) as refusal:
            return type(refusal)
        transaction.set_rollback(True)
    return None


def test_every_role_can_do_what_is_declared_and_nothing_else(waiting):
    accounts = {role: world.account(f"a-{role}", role) for role in load()["roles"]}
    for role, state in product(accounts, lifecycle.states):
        held = set(actions_of(role))
        for transition in MOVES:
            expected: type[Exception] | None = None
            if transition.permission not in held:
                expected = Denied
            elif transition.step_up:
                expected = StepUpRequired
            elif state.value not in transition.sources:
                expected = IllegalTransition
            found = outcome(in_state(waiting, state.value), transition.name, accounts[role])
            assert found == expected, (state.value, transition.name, role)


def test_a_fresh_second_factor_opens_the_one_move_that_asks_for_it(waiting):
    owner = world.account("fresh", "operations_owner")
    with events.acting(second_factor_at=clock.now()):
        assert outcome(in_state(waiting, "awaiting_approval"), "approve", owner) is None
    with events.acting(second_factor_at=clock.now() - clock.timedelta(minutes=6)):
        assert outcome(in_state(waiting, "awaiting_approval"), "approve", owner) is StepUpRequired


@pytest.mark.parametrize("state", ["running", "succeeded"])
def test_the_database_ties_the_end_to_the_terminal_states(waiting, state, sql):
    from django.db import IntegrityError

    other = "now()" if state not in lifecycle.terminal else "NULL"
    with pytest.raises(IntegrityError, match="deployment_finished_pair"):
        sql(f"UPDATE deployments_deployment SET state = %s, finished_at = {other}", state)


def test_the_database_knows_only_declared_states(waiting, sql):
    from django.db import IntegrityError

    with pytest.raises(IntegrityError, match="deployments_deployment_state"):
        sql("UPDATE deployments_deployment SET state = 'elsewhere'")
