"""Reload: what is planned from what runs, and what happens when it does not go well."""

from __future__ import annotations

from dataclasses import replace

import pytest

from drivers.base import PermanentError, TransientError
from inventory import plans
from inventory.actions.reload import reload
from inventory.models import Component
from operations import plan
from portal.errors import Conflict, Denied, Invalid
from tests import world
from tests.inventory.worlds import ReloadWorld
from tests.operations.worlds import drive

pytestmark = pytest.mark.django_db


@pytest.fixture
def simulated(monkeypatch):
    it = ReloadWorld()
    monkeypatch.setitem(plan.registry, ("inventory.reload", 1), it.plan())
    return it


@pytest.fixture
def app(simulated):
    return simulated.app


@pytest.fixture
def engineer(db):
    return world.account("engineer", "on_call", ("production", "*"))


def titles(operation):
    return list(operation.steps.values_list("title", flat=True))


def test_the_plan_names_the_processes_that_run_now(app, engineer):
    operation = reload(world.component(), by=engineer, reason="it leaks", draft=True)
    assert titles(operation) == [
        "Check that 2 workers of slot a are healthy",
        "Reload worker 0 (process 100)",
        "Wait until slot a answers healthy 3 times in a row",
        "Reload worker 1 (process 101)",
        "Wait until slot a answers healthy 3 times in a row",
        "Check that all 2 workers run and the service is healthy",
    ]
    assert (operation.state, operation.queue, operation.approvals_needed) == ("planned", "us-central", 0)
    assert app.pm2.reloads == []


def test_each_worker_is_replaced_once_in_turn(app, engineer):
    operation = drive(reload(world.component(), by=engineer))
    assert (operation.state, app.pm2.reloads) == ("done", [0, 1])
    assert operation.steps.get(position=2).output == {"pm_id": 0, "pid": 102, "replaced": 100, "version": "1.0.0"}


def test_an_ill_service_is_reloaded_without_gates_and_asked_at_the_end(app, engineer):
    app.ill = True
    operation = reload(world.component(), by=engineer)
    assert titles(operation)[0].endswith("there, though the service is not healthy now")
    assert [step.act for step in operation.steps.all()] == ["check", "reload_worker", "reload_worker", "whole"]
    app.ill = False
    assert drive(operation).state == "done"
    assert app.pm2.reloads == [0, 1]


def test_one_that_stays_ill_is_said_to_be(app, engineer):
    app.ill = True
    operation = drive(reload(world.component(), by=engineer))
    assert operation.state == "undone"
    assert operation.failure.endswith("slot a is not healthy: /healthz answered 500")


def test_a_worker_that_went_away_since_planning_ends_it_before_anything_is_done(app, engineer):
    operation = reload(world.component(), by=engineer)
    del app.pm2.running[1]
    operation = drive(operation)
    assert (operation.state, app.pm2.reloads) == ("undone", [])
    assert operation.failure.endswith("worker 1 is not there any more")


def test_a_service_that_fell_ill_since_planning_is_left_alone(app, engineer):
    operation = reload(world.component(), by=engineer)
    app.ill = True
    operation = drive(operation)
    assert (operation.state, app.pm2.reloads) == ("undone", [])
    assert "was healthy when this was planned" in operation.failure


def test_a_gate_that_closes_for_a_moment_only_costs_time(app, engineer):
    operation = reload(world.component(), by=engineer)
    app.answers = [True] * 4 + [False, True, False]
    assert drive(operation).state == "done"
    assert app.answers == []


def broken_reload(app, monkeypatch, leave):
    """The second worker's reload ends badly; ``leave(worker)`` is what remains of it (None: nothing)."""
    good = type(app).reload_worker

    def reload_worker(pm_id, *, old_pid=None):
        if pm_id == 0:
            return good(app, pm_id, old_pid=old_pid)
        left = leave(app.pm2.running[pm_id])
        if left is None:
            app.pm2.running.clear()
        else:
            app.pm2.running[pm_id] = left
        raise PermanentError("the new worker crashes")

    monkeypatch.setattr(app, "reload_worker", reload_worker)


def test_a_worker_left_down_is_started_again(app, engineer, monkeypatch):
    broken_reload(app, monkeypatch, lambda worker: replace(worker, online=False))
    operation = drive(reload(world.component(), by=engineer))
    assert operation.state == "undone"
    assert {worker.online for worker in app.workers("a")} == {True}


def test_a_slot_left_empty_is_started_again_with_its_version(app, engineer, monkeypatch):
    broken_reload(app, monkeypatch, lambda worker: None)
    operation = drive(reload(world.component(), by=engineer))
    assert operation.state == "undone"
    assert [(worker.pm_id, worker.version) for worker in app.workers("a")] == [(0, "1.0.0"), (1, "1.0.0")]


def test_a_worker_that_vanished_for_good_is_a_persons_business(app, engineer, monkeypatch):
    broken_reload(app, monkeypatch, lambda worker: app.pm2.running.pop(1) and app.pm2.running[0])

    def vanish(pm_id, *, old_pid=None):
        app.pm2.running.pop(pm_id)
        raise PermanentError("the new worker crashes")

    monkeypatch.setattr(app, "reload_worker", vanish)
    operation = drive(reload(world.component(), by=engineer))
    assert operation.state == "stuck"
    assert operation.stuck_reason.endswith("worker 0 is gone from PM2, while others still serve")


def test_a_service_that_stays_ill_after_unwinding_is_stuck(app, engineer, monkeypatch):
    def sicken(pm_id, *, old_pid=None):
        app.ill = True
        raise PermanentError("the new worker answers 500")

    monkeypatch.setattr(app, "reload_worker", sicken)
    operation = drive(reload(world.component(), by=engineer))
    assert (operation.state, operation.steps.get(position=2).undo_attempts) == ("stuck", 5)


def test_the_last_look_waits_for_a_worker_that_is_not_back_yet(app, engineer):
    operation = reload(world.component(), by=engineer)
    it = plan.get("inventory.reload")
    steps = {step.act: step for step in operation.steps.all()}
    ctx = plan.StepContext(operation.pk, 6, 1, 1, steps["whole"].arguments, {})
    app.pm2.running[1] = replace(app.pm2.running[1], online=False)
    with pytest.raises(TransientError, match="worker 1 is not online"):
        it.act("whole").do(ctx)


@pytest.mark.parametrize(
    ("facts", "error", "says"),
    [
        ({"kind": Component.Kind.CACHE}, Invalid, "Only an application"),
        ({"connection": ""}, Invalid, "whose connection is known"),
    ],
)
def test_only_applications_that_can_be_reached_are_reloaded(app, engineer, facts, error, says):
    with pytest.raises(error, match=says):
        reload(world.component(**facts), by=engineer)


def test_nothing_that_runs_is_nothing_to_reload(app, engineer):
    app.pm2.running.clear()
    with pytest.raises(Conflict, match="nothing to reload"):
        reload(world.component(), by=engineer)


def test_what_cannot_be_looked_at_is_not_planned(engineer, settings, tmp_path):
    """The real plan, with a connections file that is not there."""
    settings.CONNECTIONS_FILE = tmp_path / "connections.json"
    with pytest.raises(Conflict, match="cannot be looked at now"):
        reload(world.component(), by=engineer)


def test_a_component_outside_every_data_center_goes_to_the_default_queue(app):
    assert plans.Reload().queue(Component(slug="production/nowhere/api")) == "default"


@pytest.mark.parametrize("role", ["viewer", "developer", "ci", "auditor", "administrator"])
def test_reloading_needs_its_own_right(app, role):
    with pytest.raises(Denied):
        reload(world.component(), by=world.account("somebody", role, ("production", "*")))
