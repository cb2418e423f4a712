"""Before it may move on: everything that is missing is said at once, and by whom it may be done."""

from __future__ import annotations

from datetime import timedelta

import pytest

from incidents import actions, guards
from incidents.models import Incident
from portal import clock
from portal.errors import Conflict, Denied, IllegalTransition, Invalid
from tests import world
from tests.incidents import states
from tests.incidents.conftest import payload

pytestmark = pytest.mark.django_db


def problems(verb, *args, **facts) -> list[str]:
    with pytest.raises(Invalid) as refusal:
        verb(*args, **facts)
    return refusal.value.problems


def test_opening(estate):
    where = estate.component.environment
    assert len(problems(actions.open, where, by=estate.first, title=" ", impact=1)) == 3
    stray = world.component("staging/us-central/api")
    assert problems(actions.open, where, by=world.account("all", "on_call"), title="x", component=stray) == [
        f"{stray} is not in {where}."
    ]
    states.opened(estate)
    with pytest.raises(Conflict, match="already open"):
        states.opened(estate)


def test_opening_with_impact_and_urgency_classifies_and_calls(estate):
    incident = states.opened(estate, impact=1, urgency=1)
    assert (incident.state, incident.severity) == ("response_active", 1)
    assert incident.notifications.count() == 1


def test_classifying(estate):
    assert len(problems(actions.classify, states.opened(estate), by=estate.first, impact=9, urgency=0)) == 2


def test_a_critical_incident_needs_a_commander(estate):
    incident = states.classified(estate)
    assert len(problems(actions.mitigate, incident, by=estate.first, mitigation=" ")) == 2
    lesser = states.classified(estate, impact=3, urgency=2, component=world.component("production/us-central/play"))
    assert actions.mitigate(lesser, by=estate.first, mitigation="Restart").state == "mitigating"


@pytest.mark.parametrize("given", [{}, {"evidence": "Quiet", "no_mitigation_reason": "Nothing helps"}])
def test_going_on_to_the_cause_needs_one_of_two(estate, given):
    assert len(problems(actions.investigate, states.mitigating(estate), by=estate.first, **given)) == 1


def test_resolving_lists_all(estate):
    incident = actions.investigate(states.mitigating(estate), by=estate.first, no_mitigation_reason="Nothing helps")
    missing = problems(actions.resolve, incident, by=estate.first, diagnosis="", fix="perhaps", validation=" ")
    assert len(missing) == 4
    missing = problems(
        actions.resolve, incident, by=estate.first, diagnosis="x", fix="temporary", validation="x", evidence="Quiet"
    )
    assert missing == ["A temporary fix needs a follow-up."]


def test_the_post_mortem_lists_all(estate, post, paged):
    incident = states.resolved(estate, component=world.component("production/us-central/play"))
    paged.episodes.update(incident=incident)
    item = {"title": "Bound the cache", "owner": None, "due": None}
    missing = problems(actions.write_post_mortem, incident, by=estate.first, summary=" ", actions=[item])
    assert len(missing) == 4
    assert any("still fires" in one for one in missing)


def test_approving_lists_all_and_needs_another_person(estate):
    incident = actions.write_post_mortem(states.resolved(estate), by=estate.owner, summary="It broke.")
    assert len(problems(actions.improve, incident, by=estate.owner)) == 6
    assert guards.before(
        "improve", states.resolved(estate, component=world.component("production/us-central/play")), estate.owner
    ) == ["There is no post-mortem yet."]


def test_who_rewrote_it_cannot_approve_it_either(estate):
    texts = dict.fromkeys(("summary", "impact", "root_cause", "went_well", "went_poorly"), "Said.")
    incident = actions.write_post_mortem(
        states.post_mortem(estate), by=estate.owner, no_actions_reason="Fixed", **texts
    )
    assert len(problems(actions.improve, incident, by=estate.owner)) == 1
    other = world.account("third", "operations_owner", ("production", "*"))
    assert actions.improve(incident, by=other).approved_by_id == other.person_id


def test_the_same_person_with_another_account_cannot_approve(estate):
    twin = world.account("twin", "operations_owner", ("production", "*"), of=estate.first.person)
    assert len(problems(actions.improve, states.post_mortem(estate), by=twin)) == 1


def test_closing_lists_all(estate):
    assert len(problems(actions.close, states.improving(estate), by=estate.owner, runbooks=" ")) == 2


def test_setting_aside_needs_reasons(estate):
    incident = states.opened(estate)
    assert len(problems(actions.cancel, incident, by=estate.first, reason=" ")) == 1
    assert len(problems(actions.merge, incident, by=estate.first, into=incident, reason=" ")) == 2
    over = states.cancelled(estate, component=world.component("production/us-central/play"))
    assert problems(actions.merge, incident, by=estate.first, into=over, reason="Same") == [
        f"{over.reference} is not being worked on any more."
    ]


def test_going_back_after_the_watch(estate):
    incident = states.resolved(estate)
    with clock.travel(timedelta(days=30)):
        assert len(problems(actions.regress, incident, by=estate.first, reason=" ")) == 2


def test_what_pages_nobody_is_not_watched(estate):
    incident = states.resolved(estate, impact=4, urgency=3)
    assert guards.before("regress", incident, estate.first) == [
        "The watch is over. A return now is a new incident, linked to this one."
    ]


def test_a_return_within_the_watch_calls_people_again(estate):
    incident = actions.regress(states.resolved(estate), by=estate.first, reason="Errors again")
    assert (incident.state, incident.resolved_at, incident.mitigated_at) == ("mitigating", None, None)
    assert incident.escalations.filter(state="running").count() == 1


def test_taking_over_command_needs_a_reason_once(estate):
    incident = actions.take_command(states.classified(estate), by=estate.first)
    assert actions.take_command(incident, by=estate.first).commander_id == estate.first.person_id
    assert len(problems(actions.take_command, incident, by=estate.second)) == 1
    taken = actions.take_command(incident, by=estate.second, reason="End of the shift")
    assert taken.commander_id == estate.second.person_id
    assert guards.before("take_command", taken, estate.second) == ["You are in command."]


def test_acknowledging_twice_changes_nothing(estate):
    incident = actions.acknowledge(states.classified(estate), by=estate.first)
    version = incident.row_version
    assert actions.acknowledge(incident, by=estate.second).acknowledged_by_id == estate.first.person_id
    assert incident.row_version == version
    assert "First has acknowledged it." in guards.before("acknowledge", incident, estate.second)


def test_a_machine_cannot_acknowledge_or_command(estate):
    robot = world.account("robot", "on_call", ("production", "*"), kind="service")
    robot.person = None
    incident = states.classified(estate)
    for verb in (actions.acknowledge, actions.take_command):
        with pytest.raises(Invalid, match="needs a person"):
            verb(incident, by=robot)


def test_what_is_over_is_not_worked_on(estate):
    incident = states.closed(estate)
    for name in ("acknowledge", "take_command", "escalate", "reclassify"):
        assert guards.before(name, incident, estate.first) == ["Not possible while closed."]
    with pytest.raises(IllegalTransition, match="while closed"):
        actions.escalate(incident, by=estate.first, reason="Once more")


def test_notes_have_a_text_of_some_length(estate):
    incident = states.closed(estate)
    for text in (" ", "x" * 20_001):
        with pytest.raises(Invalid):
            actions.comment(incident, by=estate.first, text=text)
    assert actions.comment(incident, by=estate.first, text="Seen").notes.get().text == "Seen"


def test_anybody_raises_the_severity_and_only_the_commander_lowers_it(estate):
    incident = states.classified(estate, impact=3, urgency=2)
    assert len(problems(actions.reclassify, incident, by=estate.first, impact=1, urgency=1, reason=" ")) == 1
    raised = actions.reclassify(incident, by=estate.second, impact=1, urgency=1, reason="Everybody is hit")
    assert (raised.severity, raised.state) == (1, "response_active")
    with pytest.raises(Denied, match="commander"):
        actions.reclassify(raised, by=estate.first, impact=3, urgency=2, reason="Few are hit")
    actions.take_command(raised, by=estate.first)
    lowered = actions.reclassify(raised, by=estate.first, impact=3, urgency=2, reason="Few are hit")
    assert (lowered.severity, lowered.state) == (3, "support_handling")


def test_once_mitigation_has_begun_the_severity_moves_nothing(estate):
    incident = states.mitigating(estate)
    assert actions.reclassify(incident, by=estate.first, impact=2, urgency=1, reason="Less").state == "mitigating"
    fresh = states.opened(estate, component=world.component("production/us-central/play"))
    assert guards.before("reclassify", fresh, estate.first) == ["It has not been classified yet."]
    with pytest.raises(IllegalTransition):
        actions.reclassify(fresh, by=estate.first, impact=1, urgency=1, reason="x")


def test_more_people_are_called_where_nobody_was(estate, post):
    incident = states.classified(estate, impact=4, urgency=3)
    assert incident.notifications.count() == 0
    actions.escalate(incident, by=estate.first, reason="It spreads")
    assert incident.notifications.count() == 1
    assert len(problems(actions.escalate, incident, by=estate.first, reason=" ")) == 1


def test_standing_in_lists_all(estate):
    ago = clock.now() - timedelta(days=2)
    missing = problems(
        actions.override, estate.schedule, by=estate.owner, person=estate.viewer.person, starts=ago, ends=ago
    )
    assert len(missing) == 3
    soon = clock.now() + timedelta(hours=1)
    facts = {"by": estate.owner, "person": estate.second.person, "starts": soon, "ends": soon + timedelta(hours=1)}
    actions.override(estate.schedule, **facts)
    with pytest.raises(Conflict, match="stands in"):
        actions.override(estate.schedule, **facts)
    with pytest.raises(Denied):
        actions.override(estate.schedule, **{**facts, "by": estate.viewer})


def test_an_incident_that_is_cancelled_frees_its_root(estate, post):
    post(payload())
    actions.cancel(Incident.objects.get(), by=estate.first, reason="A false alarm")
    assert states.opened(estate).recurrence_of is None
