"""Reading sources: what a run keeps, what it may take away, what is held, and what it leaves when it fails."""

from __future__ import annotations

from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction

from drivers.discovery import Thing
from drivers.errors import TransientError
from inventory.actions import discovery as actions
from inventory.models import Component, DiscoveryRun, Drift, Sighting
from inventory.reconcile import compare_estate, prune
from portal import clock
from portal.errors import Conflict, Denied, IllegalTransition
from portal.events import SYSTEM
from portal.models import Event
from tests import world
from tests.inventory.seen import place

pytestmark = pytest.mark.django_db
PM2 = "production/us-central/pm2"


@pytest.fixture
def here(monkeypatch):
    world.data_center(), world.environment()
    return place(monkeypatch)


@pytest.fixture
def manager():
    return world.component(PM2, "process_manager", service="platform")


def processes(*names: str) -> list[Thing]:
    return [
        Thing("process_manager", "PM2"),
        *(Thing("app", name, f"process/{name}", {"processes": 2}) for name in names),
    ]


def states(key: str = PM2) -> dict[str, str]:
    return dict(Sighting.objects.filter(source=key).exclude(key="").values_list("name", "state"))


def last() -> DiscoveryRun:
    return DiscoveryRun.objects.order_by("-started_at").first()  # type: ignore[return-value]


# -- absence


def test_missing_once_is_suspect_and_twice_is_gone_and_kept(here, manager):
    here.tell(PM2, *processes("a", "b"))
    here.look()
    here.tell(PM2, *processes("a"))
    here.look()
    assert states() == {"a": "present", "b": "suspect"}
    here.look()
    assert states() == {"a": "present", "b": "gone"}
    assert (last().state, last().gone) == ("complete", 1)
    here.tell(PM2, *processes("a", "b"))
    here.look()
    row = Sighting.objects.get(name="b")
    assert (row.state, row.missed, row.seen_in) == ("present", 0, last())


def test_a_partial_run_only_ever_adds(here, manager):
    here.tell(PM2, *processes("a"))
    here.look()
    here.tell(PM2, *processes("b")[1:], problems=["half of it could not be read"])
    here.look(3)
    assert states() == {"a": "present", "b": "present"}
    assert (last().state, last().problem) == ("partial", "half of it could not be read")


def test_a_failed_run_leaves_everything_and_says_why(here, manager):
    here.tell(PM2, *processes("a"))
    here.look()
    here.break_(PM2, TransientError("it does not answer"))
    here.look(3)
    assert states() == {"a": "present"}
    assert (last().state, last().problem, last().at) == ("failed", "it does not answer", None)


def test_a_driver_that_throws_is_a_failed_run_without_its_secrets(here, manager):
    here.break_(PM2, ValueError("password=hunter2"))  # type: ignore[arg-type]
    here.look()
    assert last().problem == "The reading failed: ValueError."


def test_the_same_listing_again_changes_nothing(here, manager):
    here.tell(PM2, *processes("a"))
    listing = here.makers[PM2]().discover()[0]
    told = {"by": SYSTEM, "driver": "pm2", "listing": listing, "began": clock.now()}
    assert actions.discover(PM2, **told) is not None
    before = list(Sighting.objects.values())
    assert actions.discover(PM2, **told) is None
    assert (list(Sighting.objects.values()), DiscoveryRun.objects.count()) == (before, 1)


def test_scopes_of_one_source_do_not_touch_each_other(here, manager):
    here.tell(PM2, *processes("a"), scope="one")
    here.look()
    here.tell(PM2, *processes("b"), scope="two")
    here.look(3)
    assert states() == {"a": "present", "b": "present"}


def test_only_the_portal_itself_keeps_what_is_seen(here, manager):
    owner = world.account("owner", "operations_owner")
    here.tell(PM2, *processes("a"))
    (listing,) = here.makers[PM2]().discover()
    with pytest.raises(Denied):
        actions.discover(PM2, by=owner, driver="pm2", listing=listing, began=clock.now())


def test_looking_again_writes_only_when_something_changed(here, manager, django_assert_num_queries):
    here.tell(PM2, *processes(*map(str, range(30))))
    here.look()
    listing = here.makers[PM2]().discover()[0]
    with django_assert_num_queries(9):
        actions.discover(PM2, by=SYSTEM, driver="pm2", listing=listing, began=clock.now())


# -- the brake


@pytest.fixture
def held(here, manager):
    """Six of eight processes have vanished at once."""
    here.tell(PM2, *processes(*"abcdefgh"))
    here.look()
    here.tell(PM2, *processes("a", "b"))
    here.look()
    return DiscoveryRun.objects.get(state="held")


def test_what_vanishes_in_a_mass_is_held(held):
    assert set(states().values()) == {"present"}
    assert len(held.vanished) == 6
    assert held.problem == "6 of 9 things vanished at once."
    event = Event.objects.get(verb="inventory.hold")
    assert (event.after, event.scope_id) == ({"vanished": 6}, held.scope_id)


def test_while_it_waits_later_runs_take_nothing_away_and_ask_nobody_again(here, held):
    here.look(3)
    assert DiscoveryRun.objects.filter(state="held").count() == 1
    assert last().state == "partial"
    assert last().problem == "6 of 9 things are missing; their removal waits for a decision."
    assert set(states().values()) == {"present"}


def test_confirmed_they_are_gone_but_not_what_came_back(here, held):
    here.tell(PM2, *processes("a", "b", "c"))
    here.look()
    owner = world.account("owner", "operations_owner")
    actions.confirm_removal(held, by=owner, reason="They moved.")
    gone = {name for name, state in states().items() if state == "gone"}
    assert (gone, held.state, held.gone) == (set("defgh"), "complete", 5)
    event = Event.objects.get(verb="inventory.confirm_removal")
    assert (event.reason, event.after["removed"]) == ("They moved.", 5)


def test_when_all_are_back_nothing_is_removed_and_the_run_is_released(here, held):
    here.tell(PM2, *processes(*"abcdefgh"))
    here.look()
    held.refresh_from_db()
    assert (held.state, held.problem) == ("partial", "A later run found enough of them again.")
    with pytest.raises(Conflict):
        actions.confirm_removal(held, by=world.account("owner", "operations_owner"))


def test_dismissed_it_removes_nothing_and_is_quiet_for_an_hour(here, held):
    actions.dismiss(held, by=world.account("owner", "operations_owner"), reason="PM2 was restarting.")
    here.look(2)
    assert (last().state, set(states().values())) == ("partial", {"present"})
    with clock.travel(timedelta(hours=2)):
        here.look()
        assert DiscoveryRun.objects.filter(state="held").count() == 1


@pytest.mark.parametrize("verb", [actions.confirm_removal, actions.dismiss])
def test_not_everybody_decides_and_nobody_twice(held, verb):
    with pytest.raises(Denied):
        verb(held, by=world.account("developer", "developer"))
    owner = world.account("owner", "operations_owner")
    stale = DiscoveryRun.objects.get(pk=held.pk)
    verb(held, by=owner)
    with pytest.raises((IllegalTransition, Conflict)):
        verb(stale, by=owner)


# -- matching


def test_a_process_of_a_declared_app_is_its_part_and_not_unmanaged(here, manager):
    api = "production/us-central/api"
    world.component(api)
    here.tell(PM2, *processes("api-a", "stray"))
    here.tell(api, Thing("app", "api", claims=(f"{PM2}#process/api-a",)))
    here.look()
    assert here.drifts() == {("unmanaged", f"{PM2}#process/stray", "")}


def test_a_server_keeps_its_component_when_its_connection_gets_another_key(here):
    old, new = "production/us-central/database", "production/us-central/database-1"
    component = world.component(old, "database")
    here.tell(old, Thing("database", "db", external_id="mysql:uid"))
    here.look()
    del here.makers[old]
    here.tell(new, Thing("database", "db", external_id="mysql:uid"))
    here.look()
    assert {row.source: row.component for row in Sighting.objects.all()} == {old: component, new: component}


def test_what_nobody_declared_is_seen_by_who_answers_for_the_environment_only(here):
    here.tell("production/us-central/stray", Thing("cache", "c"))
    world.component("production/us-central/api", connection="")
    here.look()
    wide, narrow = world.account("wide", "viewer", ("production", "*")), world.account("n", "viewer", ("*", "api"))
    assert [Drift.objects.visible_to(each).count() for each in (wide, narrow)] == [1, 0]


def test_nothing_below_a_source_is_missing_while_one_of_its_scopes_is_not_complete(here):
    """What is declared and was never seen may stand in the part that could not be read."""
    broker = world.component("production/us-central/queue", "queue", service="platform")
    world.component("production/us-central/orders", "queue", name="orders", connection="", part_of=broker)
    half = ["page 2 could not be read"]
    here.tell(broker.connection, Thing("queue", "q"), problems=half)
    here.look(3)
    assert here.drifts(kind="missing") == set()
    here.tell(broker.connection, Thing("queue", "q"))
    here.look()
    assert here.drifts(kind="missing") == {("missing", "production/us-central/orders", "")}


def test_an_id_that_a_complete_scope_would_have_listed_is_missing(here):
    aws, begins = "production/global/aws", "arn:aws:rds:us-east-1:1:db:"
    for name in ("here", "gone"):
        world.component(f"production/us-east/{name}", "database", connection="", external_id=f"{begins}{name}")
    world.component("production/us-east/other", "database", connection="", external_id="arn:aws:rds:eu-west-1:1:db:x")
    seen = Thing("database", "here", "1/us-east-1/rds/here", external_id=f"{begins}here")
    here.tell(aws, seen, covers=begins, problems=["AccessDenied"])
    here.look()
    assert here.drifts() == set()
    here.tell(aws, seen, covers=begins)
    here.look()
    assert here.drifts() == {("missing", "production/us-east/gone", "")}


# -- staleness


def test_a_silent_source_among_others_is_told_and_its_old_word_decides_nothing_new(here, manager):
    cache = "production/us-central/cache"
    world.component(cache, "cache", attributes={"eviction": "noeviction"})
    here.tell(PM2, *processes("a"))
    here.tell(cache, Thing("cache", "c", fields={"eviction": "noeviction"}))
    here.look()
    here.break_(cache, TransientError("it does not answer"))
    with clock.travel(timedelta(minutes=6)):
        world_before = here.drifts()
        here.look()
        assert here.drifts() - world_before == {("stale", cache, "")}
        Component.objects.filter(slug=cache).update(attributes={"eviction": "allkeys-lru"})
        compare_estate()
        assert here.drifts(component__slug=cache) == {("stale", cache, "")}


def test_where_a_whole_place_is_silent_no_source_is_blamed(here, manager):
    here.tell(PM2, *processes())
    here.look()
    here.break_(PM2, TransientError("no worker"))
    with clock.travel(timedelta(minutes=6)):
        here.look()
        assert here.drifts() == set()


# -- what is kept


def test_old_runs_go_but_the_last_complete_one_and_what_waits(here, held):
    here.look()
    with clock.travel(timedelta(days=2)):
        prune()
    assert sorted(DiscoveryRun.objects.values_list("state", flat=True)) == ["complete", "held"]


@pytest.mark.parametrize(
    "wrong",
    [
        {"state": "running"},
        {"state": "failed", "problem": ""},
        {"state": "complete", "at": None},
        {"state": "nonsense"},
    ],
)
def test_a_run_cannot_contradict_itself(here, manager, wrong):
    here.tell(PM2, *processes("a"))
    here.look()
    with pytest.raises(IntegrityError), transaction.atomic():
        DiscoveryRun.objects.filter(pk=last().pk).update(**wrong)


@pytest.mark.parametrize("wrong", [{"state": "gone"}, {"missed": 1}, {"last_seen": clock.now() - timedelta(days=9)}])
def test_a_sighting_cannot_contradict_itself(here, manager, wrong):
    here.tell(PM2, *processes("a"))
    here.look()
    with pytest.raises(IntegrityError), transaction.atomic():
        Sighting.objects.filter(name="a").update(**wrong)
