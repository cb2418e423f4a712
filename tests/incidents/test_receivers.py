"""What other parts of the portal find makes incidents too: what is down, and operations that need a person."""

from __future__ import annotations

import pytest

from incidents import guards, tasks
from incidents.models import Episode, Incident, Notification
from inventory.models import Component
from operations import actions as operations
from operations.models import Operation
from operations.plan import registry
from portal import clock, events
from tests import world
from tests.incidents import states
from tests.operations.counting import KIND, Counting

pytestmark = pytest.mark.django_db
COLLECTOR = events.System("collector")


def health(component: Component, state: str, reason: str = "") -> None:
    """What the collectors announce when a component's health changes."""
    after = {"state": state, "reason": reason}
    events.record("observability.change_health", component, by=COLLECTOR, after=after)


def test_a_component_that_is_down_is_an_incident_with_a_page(estate):
    health(estate.component, "down", "Connection refused")
    incident = Incident.objects.get()
    assert incident.component == estate.component
    assert incident.title == f"{estate.component.name} is down ({estate.component.slug})"
    assert (incident.summary, incident.severity) == ("Connection refused", 1)
    assert Notification.objects.get().person == estate.first.person


def test_down_twice_is_one_and_healthy_ends_the_alert_only(estate):
    health(estate.component, "down")
    health(estate.component, "down", "Still")
    assert Episode.objects.get().firing
    health(estate.component, "healthy")
    assert not Episode.objects.get().firing
    assert Incident.objects.get().working
    health(estate.component, "down")
    assert (Incident.objects.count(), Episode.objects.count()) == (1, 2)


def test_healthy_without_an_alert_and_lesser_states_are_no_news(estate):
    for state in ("healthy", "degraded", "unknown"):
        health(estate.component, state)
    events.record("observability.change_health", estate.team, by=COLLECTOR, after={"state": "down"})
    assert Incident.objects.count() == 0


@pytest.fixture
def operation(estate, monkeypatch, tmp_path) -> Operation:
    monkeypatch.setitem(registry, (KIND, 1), Counting())
    return operations.request(KIND, estate.component, by=events.SYSTEM, params={"folder": str(tmp_path)})


def stick(operation: Operation) -> None:
    events.record("operations.stick", operation, by=events.System("operations"), reason="Undo of step 2 failed.")


def test_a_stuck_operation_opens_one_incident_on_its_component(estate, operation):
    stick(operation)
    stick(operation)
    incident = Incident.objects.get()
    assert (incident.component, incident.summary) == (estate.component, "Undo of step 2 failed.")
    assert "Operation is stuck" in incident.title
    assert incident.state != "detected"
    assert Notification.objects.exclude(kind="webhook").exists()


def test_an_operation_that_halts_opens_one_that_can_wait_a_little_longer(estate, operation):
    """Raised when it turns out that it cannot be taken back either."""
    halted = {"by": events.System("operations"), "reason": "Step 2: connection refused"}
    events.record("operations.halt", operation, **halted)
    events.record("operations.halt", operation, **halted)
    incident = Incident.objects.get()
    assert (incident.component, incident.summary, incident.severity) == (estate.component, halted["reason"], 3)
    assert incident.title.startswith("Operation has halted")
    assert Notification.objects.exclude(kind="webhook").exists()
    stick(operation)
    assert Incident.objects.get().severity == 2
    events.record("operations.halt", operation, **halted)
    assert Incident.objects.get().severity == 2


def test_a_stuck_operation_without_a_component_says_so(estate, operation):
    Operation.objects.filter(pk=operation.pk).update(target="nowhere")
    stick(operation)
    incident = Incident.objects.get()
    assert incident.component is None
    assert "names no component" in incident.unknown_reason
    assert incident.environment == estate.component.environment


def test_a_stuck_operation_of_no_known_environment_opens_nothing(estate, operation):
    elsewhere = world.scope("moon", "api")
    Operation.objects.filter(pk=operation.pk).update(target="nowhere", scope=elsewhere)
    operation.refresh_from_db()
    stick(operation)
    assert Incident.objects.count() == 0


@pytest.mark.parametrize("state", ["running", "paused", "halted", "undoing"])
def test_it_is_not_resolved_while_an_operation_changes_its_component(estate, operation, state):
    incident = states.investigating(estate)
    assert guards.before("resolve", incident, estate.first) == []
    Operation.objects.filter(pk=operation.pk).update(state=state, started_at=clock.now())
    assert guards.before("resolve", incident, estate.first) == [f"{operation} is still changing it."]
    without = states.opened(estate, component=None, unknown_reason="Everything is slow")
    assert guards.before("resolve", without, estate.first) == []


@pytest.mark.parametrize("name", ["escalate", "deliver", "post", "finish"])
def test_each_timer_runs_its_reconciler(estate, paged, monkeypatch, name):
    monkeypatch.setattr(f"incidents.reconcile.{name}", lambda: 7)
    assert getattr(tasks, name)() == 7
