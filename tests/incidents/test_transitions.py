"""Every move from every state for every role: exactly the declared ones happen."""

from __future__ import annotations

from contextlib import suppress

import pytest
from django.db import transaction

from identity.matrix import actions_of, load
from incidents import actions
from incidents.actions.ending import CLOSER
from incidents.actions.opening import RULES
from incidents.lifecycle import WORKING
from incidents.lifecycle import incident as lifecycle
from incidents.models import Incident
from portal.errors import Denied, IllegalTransition, Refused
from portal.lifecycle import move
from portal.models import Event
from tests import world
from tests.incidents import states

pytestmark = pytest.mark.django_db
TEXTS = dict.fromkeys(("summary", "impact", "root_cause", "went_well", "went_poorly"), "Said.")
INPUT = {
    "classify": {"impact": 1, "urgency": 1},
    "mitigate": {"mitigation": "Restart"},
    "investigate": {"evidence": "Quiet"},
    "retry_mitigation": {"mitigation": "Scale up"},
    "resolve": {"diagnosis": "A leak", "fix": "permanent", "validation": "Watched it", "evidence": "Quiet"},
    "regress": {"reason": "Errors again"},
    "write_post_mortem": {**TEXTS, "no_actions_reason": "None needed"},
    "improve": {},
    "close": {"runbooks": "No change", "ticket": "OPS-1"},
    "cancel": {"reason": "A false alarm"},
    "merge": {"reason": "The same"},
}
MOVES = [name for name in (transition.name for transition in lifecycle) if name in INPUT]
# A commander is there, so that the guard of a critical incident is not what is tested here.
LANDS = {"classify": "response_active", "close": "closed"}


@pytest.fixture
def ready(estate):
    """An incident in a state, with whatever guards ask for except the state itself; the other to merge into."""

    def build(state: str) -> Incident:
        incident = states.REACH[state](estate)
        if incident.commander_id is None:
            Incident.objects.filter(pk=incident.pk).update(commander=estate.first.person)
            incident.refresh_from_db()
        return incident

    return build


@pytest.mark.parametrize("state", [state.value for state in lifecycle.states])
def test_from_each_state_exactly_the_declared_moves_happen(estate, ready, state):
    incident = ready(state)
    other = states.opened(estate, component=world.component("production/us-central/cloud"))
    happened = set()
    for name in MOVES:
        fresh = Incident.objects.get(pk=incident.pk)
        extra = {"into": other} if name == "merge" else {}
        before = Event.objects.count()
        with transaction.atomic():
            try:
                getattr(actions, name)(fresh, by=estate.owner, **INPUT[name], **extra)
                happened.add(name)
                assert fresh.state == LANDS.get(name, lifecycle[name].target)
            except Refused:
                assert Event.objects.count() == before
            transaction.set_rollback(True)
    declared = {move.name for move in lifecycle.possible(state)}
    assert happened == declared


@pytest.fixture(scope="module")
def holders(_estate, standing):
    """An account of each role of the matrix."""
    return standing(
        lambda: {role: world.account(f"some-{role}", role, ("production", "*")) for role in load()["roles"]}
    )


@pytest.mark.parametrize("name", MOVES)
def test_only_the_roles_of_the_matrix_may(estate, ready, holders, name):
    incident = ready(lifecycle[name].sources[0])
    other = states.opened(estate, component=world.component("production/us-central/cloud"))
    may = set()
    for role, by in holders.items():
        extra = {"into": Incident.objects.get(pk=other.pk)} if name == "merge" else {}
        with transaction.atomic(), suppress(Denied):
            getattr(actions, name)(Incident.objects.get(pk=incident.pk), by=by, **INPUT[name], **extra)
            may.add(role)
            transaction.set_rollback(True)
    assert may == {role for role in holders if lifecycle[name].permission in actions_of(role)}
    extra = {"into": incident} if name == "merge" else {}
    with pytest.raises(Denied):  # what lies in another scope
        getattr(actions, name)(incident, by=estate.stranger, **INPUT[name], **extra)


@pytest.mark.parametrize("name", ["activate", "hand_to_support", "finish"])
def test_the_systems_own_moves_have_no_button(estate, name):
    assert lifecycle[name].internal is True
    assert name not in [one.transition.name for one in lifecycle.available(states.opened(estate), estate.owner)]


@pytest.mark.parametrize("name", ["activate", "hand_to_support", "finish"])
def test_the_systems_own_moves_keep_to_their_states(estate, ready, name):
    for state in (one.value for one in lifecycle.states):
        with transaction.atomic():
            incident = ready(state)
            possible = state in lifecycle[name].sources
            closed = {"closed_at": incident.resolved_at} if name == "finish" else {}
            try:
                move(incident, name, by=RULES, **closed)
                assert possible
            except IllegalTransition:
                assert not possible
            transaction.set_rollback(True)


def test_the_flow_of_the_reference_is_all_there():
    """Detection, classification, response team or support, mitigation, diagnosis, resolution, post-mortem,
    improvements, closing: each arrow is a declared move."""
    arrows = {(source, move.target) for move in lifecycle for source in move.sources}
    flow = {
        ("detected", "classified"), ("classified", "response_active"), ("classified", "support_handling"),
        ("response_active", "mitigating"), ("support_handling", "mitigating"), ("mitigating", "investigating"),
        ("investigating", "resolved"), ("resolved", "post_mortem"), ("post_mortem", "improving"),
        ("improving", "closing"), ("closing", "closed"),
        # and back: another attempt, a return within the watch, a change of severity
        ("investigating", "mitigating"), ("resolved", "mitigating"), ("support_handling", "response_active"),
        ("response_active", "support_handling"), ("post_mortem", "post_mortem"),
    }  # fmt: skip
    aside = {(state, end) for state in WORKING for end in ("cancelled", "merged")}
    assert arrows == flow | aside


def test_a_stale_version_is_refused(estate):
    incident = states.opened(estate)
    other = Incident.objects.get(pk=incident.pk)
    actions.classify(other, by=estate.first, impact=1, urgency=1)
    with pytest.raises(IllegalTransition):
        actions.cancel(incident, by=estate.first, reason="x")
    with pytest.raises(IllegalTransition, match="Somebody changed it"):
        actions.acknowledge(incident, by=estate.first)


def test_finishing_says_everything_that_is_missing(estate):
    incident = states.closing(estate)
    Incident.objects.filter(pk=incident.pk).update(ticket="")
    incident.refresh_from_db()
    incident.escalations.create(policy={"steps": [], "repeat": 0})
    with pytest.raises(Refused) as refusal:
        actions.finish(incident, by=CLOSER)
    assert len(refusal.value.problems) == 3
