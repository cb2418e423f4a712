"""Deciding about a drift: accept, plan, exempt, revoke, and when a decision no longer holds."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from drivers.discovery import Thing
from drivers.redis import Redis
from inventory.actions import drift as actions
from inventory.models import Component, Drift
from inventory.plans import connect
from inventory.reconcile import compare_estate
from operations.models import Operation
from portal import clock
from portal.errors import Conflict, Denied, IllegalTransition, Invalid
from portal.models import Event
from tests import world
from tests.drivers.simulated.redis import RedisWorld
from tests.inventory.seen import Connections, place

pytestmark = pytest.mark.django_db
CACHE = "staging/us-central/cache"


@pytest.fixture
def here(monkeypatch):
    made = place(monkeypatch)
    monkeypatch.setattr(connect, "known", lambda: Connections(made.makers))
    return made


@pytest.fixture
def owner():
    return world.account("owner", "operations_owner")


@pytest.fixture
def drift(here):
    """A cache that was declared with another eviction policy than its simulated server has."""
    world.component(CACHE, "cache", attributes={"eviction": "allkeys-lru"}, declared_by="edye")
    server = RedisWorld()
    here.makers[CACHE] = server.driver
    here.server = server.server
    here.look()
    return Drift.objects.get()


def fresh(drift: Drift) -> Drift:
    return Drift.objects.get(pk=drift.pk)


def week(days: int = 7):
    return clock.now() + timedelta(days=days)


# -- accept


def test_accepting_what_a_catalog_declared_waits_for_the_catalog(here, drift, owner):
    actions.accept(drift, by=owner, reason="It is right so.")
    compare_estate()
    component = Component.objects.get()
    assert (fresh(drift).state, component.attributes) == ("accepted", {"eviction": "allkeys-lru"})
    Component.objects.update(attributes={"eviction": "noeviction"})
    compare_estate()
    assert (fresh(drift).state, fresh(drift).decided_by) == ("settled", "")
    event = Event.objects.get(verb="inventory.accept")
    assert (event.before, event.after["value"], event.after["changed"]) == (
        {"value": "allkeys-lru"},
        "noeviction",
        False,
    )


def test_accepting_what_was_made_by_hand_changes_it(drift, owner):
    Component.objects.update(declared_by="")
    actions.accept(fresh(drift), by=owner)
    assert Component.objects.get().attributes == {"eviction": "noeviction"}
    compare_estate()
    assert fresh(drift).state == "settled"


def test_what_no_kind_may_have_is_not_taken_over(here, owner):
    world.component(CACHE, "cache", attributes={"max_memory_mb": 64})
    here.tell(CACHE, Thing("cache", "c", fields={"max_memory_mb": -5}))
    here.look()
    drift = Drift.objects.get()
    with pytest.raises(Conflict), transaction.atomic():
        actions.accept(drift, by=owner)
    assert fresh(drift).state == "open"


def test_silence_cannot_be_accepted(here, owner):
    world.component(CACHE, "cache")
    here.tell("staging/us-central/other", Thing("cache", "c"))
    here.look()
    stale = Drift.objects.get(kind="stale")
    with pytest.raises(Conflict, match="nothing to accept"):
        actions.accept(stale, by=owner)


# -- plan


def test_a_plan_brings_reality_back(here, drift, owner):
    actions.plan(drift, by=owner)
    operation = Operation.objects.get()
    assert (operation.kind, operation.params) == (
        "redis.set-parameter",
        {"name": "maxmemory-policy", "value": "allkeys-lru"},
    )
    assert (operation.state, operation.cause_id, fresh(drift).operation) == ("planned", str(drift.pk), operation)
    assert fresh(drift).state == "planned"
    # What the operation will do, done by its driver's own act.
    act = next(act for act in Redis.acts if act.name == "set-parameter")
    driver = here.makers[CACHE]()
    params = act.parse(operation.params)
    from tests.drivers.contract import call

    act.do(driver, params, act.before(driver, params), call())
    here.look()
    assert fresh(drift).state == "settled"


def test_an_operation_that_was_called_off_opens_it_again(drift, owner):
    actions.plan(drift, by=owner)
    from operations.actions import cancel

    cancel(Operation.objects.get(), by=owner)
    compare_estate()
    assert (fresh(drift).state, fresh(drift).operation) == ("open", None)
    assert "ended without effect" in Event.objects.get(verb="inventory.reopen").reason


def test_planning_also_needs_the_right_of_the_plan(drift):
    with pytest.raises(Denied):
        actions.plan(drift, by=world.account("viewer", "viewer"))


def test_where_no_plan_can_do_it_says_why(here, owner):
    world.component(CACHE, "cache", attributes={"role": "replica"})
    here.tell(CACHE, Thing("cache", "c", fields={"role": "primary"}))
    here.look()
    with pytest.raises(Conflict, match="decided by a failover"):
        actions.plan(Drift.objects.get(), by=owner)


def test_a_process_is_scaled_where_it_runs(here, owner):
    pm2, api = "staging/us-central/pm2", "staging/us-central/api"
    manager = world.component(pm2, "process_manager", service="platform")
    world.component(api, attributes={"processes": 3})
    claims = tuple(f"{pm2}#process/api-{slot}" for slot in "ab")
    here.tell(api, Thing("app", "api", fields={"processes": 2, "slot": "b"}, claims=claims))
    here.tell(pm2, Thing("process_manager", "PM2"), Thing("app", "api-b", "process/api-b", {"processes": 2}))
    here.look()
    subject, remedy = actions.remedy_for(Drift.objects.get())
    assert (subject, remedy.plan, remedy.params) == (manager, "pm2.scale", {"process": "api-b", "instances": 3})


# -- exempt and revoke


def test_an_exemption_ends_by_itself(drift, owner):
    actions.exempt(drift, by=owner, until=week(), reason="A test runs.")
    compare_estate()
    assert fresh(drift).state == "exempted"
    with clock.travel(timedelta(days=8)):
        Drift.objects.exclude(pk=drift.pk).delete()
        compare_estate()
    assert (fresh(drift).state, fresh(drift).exempt_until, fresh(drift).decided_by) == ("open", None, "")


def test_an_exemption_holds_for_the_value_it_was_given_for(here, drift, owner):
    actions.exempt(drift, by=owner, until=week(), reason="A test runs.")
    here.server.settings["maxmemory-policy"] = "volatile-lru"
    here.look()
    assert (fresh(drift).state, fresh(drift).observed) == ("open", "volatile-lru")
    assert Event.objects.get(verb="inventory.reopen").reason == "Another value is seen now."


@pytest.mark.parametrize(("days", "reason", "field"), [(-1, "x", "until"), (400, "x", "until"), (1, " ", "reason")])
def test_an_exemption_needs_a_date_ahead_and_a_reason(drift, owner, days, reason, field):
    with pytest.raises(Invalid) as refusal:
        actions.exempt(drift, by=owner, until=week(days), reason=reason)
    assert [*refusal.value.fields] == [field]


def test_a_decision_is_taken_back(drift, owner):
    actions.exempt(drift, by=owner, until=week(), reason="A test runs.")
    actions.revoke(drift, by=owner, reason="It is over.")
    assert (fresh(drift).state, fresh(drift).exempt_until) == ("open", None)
    with pytest.raises(IllegalTransition):
        actions.revoke(drift, by=owner)


@pytest.mark.parametrize("verb", ["accept", "exempt", "revoke"])
def test_who_only_works_here_does_not_decide(drift, verb):
    given = {"until": week(), "reason": "x"} if verb == "exempt" else {}
    with pytest.raises(Denied):
        getattr(actions, verb)(drift, by=world.account("developer", "developer"), **given)


# -- what the database holds


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "exempted"},
        {"state": "planned"},
        {"state": "settled"},
        {"exempt_until": clock.now()},
        {"decided_by": "x"},
        {"settled_at": clock.now()},
        {"component": None},
        {"state": "nonsense"},
    ],
)
def test_a_drift_cannot_contradict_itself(drift, wrong):
    with pytest.raises(IntegrityError), transaction.atomic():
        Drift.objects.filter(pk=drift.pk).update(**wrong)


def test_the_same_difference_stands_once(drift):
    with pytest.raises(IntegrityError), transaction.atomic():
        Drift.objects.create(key=drift.key, kind="changed", source="x", component=drift.component, scope=drift.scope)
