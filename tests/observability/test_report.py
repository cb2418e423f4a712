"""Keeping readings and announcing changes of health: what is shown, what is told, and when."""

from datetime import timedelta

import pytest

from observability import actions
from observability.health import Finding
from observability.models import ComponentHealth, Sample
from portal import clock, events
from portal.errors import Denied
from portal.events import SYSTEM
from portal.models import Event
from tests import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def api():
    return world.component()


def finding(component, state="healthy", at=None, reason="", **facts):
    return Finding(
        component.pk, at or clock.now(), state, reason or ("It is broken." if state == "down" else ""), **facts
    )


def report(*findings):
    return actions.report(findings, by=SYSTEM)


def told():
    return [
        (event.before["state"], event.after["state"])
        for event in Event.objects.filter(stream="observability").order_by("seq")
    ]


def test_the_first_reading_is_kept_and_announced(api):
    at = clock.now()
    made = finding(api, at=at, version="1.2.0", latency_ms=12.5, facts={"serving": "a"}, numbers={"instances": 2.0})
    assert report(made) == 1
    health = ComponentHealth.objects.get(component=api)
    assert (health.state, health.version, health.latency_ms, health.facts, health.numbers) == (
        "healthy", "1.2.0", 12.5, {"serving": "a"}, {"instances": 2.0},
    )  # fmt: skip
    assert (health.observed_at, health.since, health.readings, health.announced) == (at, at, 1, "healthy")


def test_the_event_is_on_the_component_and_says_why(api):
    report(finding(api, version="1.0.0"))
    report(finding(api, "down", reason="It refuses the connection."))
    report(finding(api, "down", reason="It refuses the connection.", version="1.0.0"))
    event = Event.objects.filter(stream="observability").order_by("seq").last()
    assert (event.verb, event.subject_type, event.subject_id, event.scope_id, event.actor_label, event.reason) == (
        "observability.change_health", "inventory.component", str(api.pk), api.scope_id, "portal (system)",
        "It refuses the connection.",
    )  # fmt: skip
    assert event.before == {"state": "healthy"}
    assert event.after == {
        "state": "down", "reason": "It refuses the connection.", "readings": 2, "version": "1.0.0",
    }  # fmt: skip


def test_down_is_shown_at_once_but_told_after_two_readings(api):
    report(finding(api))
    assert report(finding(api, "down")) == 0
    assert ComponentHealth.objects.get().current == "down"
    assert report(finding(api, "down")) == 1
    assert report(finding(api, "down")) == 0
    assert told() == [("unknown", "healthy"), ("healthy", "down")]


def test_a_single_bad_reading_is_never_told(api):
    for state in ("healthy", "down", "healthy", "degraded", "healthy", "unknown", "healthy"):
        report(finding(api, state))
    assert told() == [("unknown", "healthy")]


def test_recovery_is_told_at_once(api):
    for state in ("healthy", "down", "down", "healthy"):
        report(finding(api, state))
    assert told()[-1] == ("down", "healthy")


def test_since_is_when_the_state_began(api):
    first = clock.now()
    report(finding(api, at=first))
    report(finding(api, at=first + timedelta(seconds=5)))
    assert ComponentHealth.objects.get().since == first
    report(finding(api, "down", at=first + timedelta(seconds=10)))
    assert ComponentHealth.objects.get().since == first + timedelta(seconds=10)


def test_a_late_answer_does_not_undo_a_newer_one(api):
    now = clock.now()
    report(finding(api, at=now))
    report(finding(api, "down", at=now - timedelta(seconds=7)))
    assert ComponentHealth.objects.get().state == "healthy"
    report(finding(api, "down", at=now + timedelta(seconds=1)), finding(api, "healthy", at=now + timedelta(seconds=2)))
    assert ComponentHealth.objects.get().state == "healthy"


def test_a_component_that_is_gone_is_passed_over(api):
    gone = finding(api)
    api.delete()
    assert report(gone) == 0
    assert ComponentHealth.objects.count() == 0


def test_a_reading_that_grows_old_is_unknown(api):
    report(finding(api))
    with clock.travel(timedelta(seconds=14)):
        assert ComponentHealth.objects.get().current == "healthy"
        assert ComponentHealth.objects.fresh().count() == 1
    with clock.travel(timedelta(seconds=16)):
        health = ComponentHealth.objects.get()
        assert (health.current, health.state, health.state_info.label) == ("unknown", "healthy", "Unknown")
        assert ComponentHealth.objects.fresh().count() == 0


def test_readings_fold_into_their_minute(api):
    start = clock.now().replace(second=0, microsecond=0)
    for second, state, latency in (
        (1, "healthy", 10.0),
        (6, "down", None),
        (11, "healthy", 30.0),
        (61, "healthy", None),
    ):
        report(finding(api, state, at=start + timedelta(seconds=second), latency_ms=latency))
    assert list(Sample.objects.values_list("minute", "state", "readings", "latency_ms")) == [
        (start, "down", 3, 30.0),
        (start + timedelta(minutes=1), "healthy", 1, None),
    ]


def test_everything_is_written_in_few_queries(django_assert_num_queries):
    parts = [world.component(f"production/us-central/{name}") for name in ("api", "play", "cloud")]
    report(*[finding(part) for part in parts])
    # components with health; health; the minute's samples; samples; and the transaction around them
    with django_assert_num_queries(6):
        report(*[finding(part) for part in parts])


def test_browsers_are_told_when_something_visible_changes(api, monkeypatch):
    topics = []
    monkeypatch.setattr(events, "publish", topics.append)
    report(finding(api))
    report(finding(api))
    assert topics.count("observability.health") == 1
    report(finding(api, version="2.0.0"))
    assert topics.count("observability.health") == 2


def test_people_do_not_report(api):
    with pytest.raises(Denied):
        actions.report([finding(api)], by=world.account("ops", "operations_owner"))
    assert ComponentHealth.objects.count() == 0


def test_a_receiver_that_fails_for_one_component_holds_up_no_other(api, monkeypatch):
    other = world.component("production/us-central/play")

    def refuse(event):
        if event.subject_id == str(api.pk):
            raise RuntimeError("no")

    monkeypatch.setitem(events._receivers, "observability.change_health", [refuse])
    assert report(finding(api), finding(other)) == 1
    assert [event.subject_id for event in Event.objects.filter(stream="observability")] == [str(other.pk)]
    monkeypatch.setitem(events._receivers, "observability.change_health", [])
    assert report(finding(api), finding(other)) == 1
    assert Event.objects.filter(stream="observability").count() == 2


def test_two_processes_announce_a_change_once(api):
    report(finding(api))
    first, second = ComponentHealth.objects.get(), ComponentHealth.objects.get()
    first.state = second.state = "down"
    assert actions.change_health(first, by=SYSTEM) is True
    assert actions.change_health(second, by=SYSTEM) is False
    assert actions.change_health(first, by=SYSTEM) is False
    assert told()[1:] == [("healthy", "down")]
