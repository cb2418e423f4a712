"""Schedules: every instant once, also where clocks change and whoever dies; what was missed is made up for once."""

from __future__ import annotations

import json
import threading
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection

from operations import actions, plan, reconcile
from operations.models import Operation, Schedule
from operations.models.schedule import upcoming
from operations.plan import registry
from portal import clock, events
from portal.errors import Conflict, Denied, IllegalTransition, Invalid
from portal.models import Event
from tests import world
from tests.operations.counting import KIND, Counting
from tests.operations.worlds import drive

pytestmark = pytest.mark.django_db
MADRID = "Europe/Madrid"
WINTER = datetime(2027, 2, 1, 12, 0, 5, tzinfo=UTC)


@contextmanager
def at_instant(instant: datetime):
    """The clock shows ``instant`` and goes on from there."""
    with clock.travel(instant - clock.now()):
        yield


def utc(instants) -> list[str]:
    return [f"{instant.astimezone(UTC):%m-%d %H:%M}" for instant in instants]


# -- when it comes


@pytest.mark.parametrize(
    ("cron", "after", "expected"),
    [
        # 28 March 2027: the hands go from 2 to 3. What lies between is done as soon as they have.
        ("30 2 * * *", "2027-03-27 12:00", ["03-28 01:00", "03-29 00:30"]),
        ("30 2,3 * * *", "2027-03-27 12:00", ["03-28 01:00", "03-28 01:30", "03-29 00:30"]),
        ("0 3 * * *", "2027-03-27 12:00", ["03-28 01:00", "03-29 01:00"]),
        ("0 * * * *", "2027-03-27 23:30", ["03-28 00:00", "03-28 01:00", "03-28 02:00"]),
        # 31 October 2027: they go from 3 back to 2. A fixed time comes once, every hour comes each hour.
        ("30 2 * * *", "2027-10-30 12:00", ["10-31 00:30", "11-01 01:30"]),
        ("30 2,3 * * *", "2027-10-30 12:00", ["10-31 00:30", "10-31 02:30", "11-01 01:30"]),
        ("0 3 * * *", "2027-10-30 12:00", ["10-31 02:00", "11-01 02:00"]),
        ("0 * * * *", "2027-10-30 23:30", ["10-31 00:00", "10-31 01:00", "10-31 02:00", "10-31 03:00"]),
        ("*/30 * * * *", "2027-10-31 00:10", ["10-31 00:30", "10-31 01:00", "10-31 01:30", "10-31 02:00"]),
        # Asked within the second 2 o'clock, it does not answer with a moment of the first.
        ("30 2 * * *", "2027-10-31 01:10", ["11-01 01:30", "11-02 01:30"]),
        ("30 2 * * *", "2027-10-31 00:30", ["11-01 01:30", "11-02 01:30"]),
    ],
)
def test_the_hands_of_the_clock_count_also_on_the_two_days_they_jump(cron, after, expected):
    instant = datetime.fromisoformat(after).replace(tzinfo=UTC)
    found = upcoming(cron, MADRID, instant, len(expected))
    assert utc(found) == expected
    assert all(each.astimezone(UTC) > instant for each in found)


@pytest.mark.parametrize("cron", ["30 2 * * *", "5 2,3 * * *", "0 * * * *", "*/20 1-3 * * *", "59 1 * * *"])
@pytest.mark.parametrize("day", ["2027-03-27 22:00", "2027-10-30 22:00"])
def test_over_a_change_of_clocks_instants_only_go_forward(cron, day):
    """Asked again after each instant, and in between, as a portal does that was away for a while."""
    now = datetime.fromisoformat(day).replace(tzinfo=UTC)
    seen = []
    for _ in range(60):
        (following,) = upcoming(cron, MADRID, now, 1)
        assert following > now
        seen.append(following.astimezone(UTC))
        now += timedelta(minutes=13)
    assert seen == sorted(seen)


HOSTILE = [
    "",
    " ",
    "* * * *",
    "* * * * * *",
    "*/5 * * * * *",
    "@daily",
    "61 * * * *",
    "* 24 * * *",
    "* * 0 * *",
    "* * * 13 *",
    "* * * * 8",
    "*/0 * * * *",
    "*/-1 * * * *",
    "5-1 * * * *",
    "1,,2 * * * *",
    "1-2-3 * * * *",
    "* * L/L * *",
    "* * * * L",
    "* * * * ²L",
    "* * * * 1#6",
    "* * * * 1#5/2",
    "٣ * * * *",
    "9" * 5000 + " * * * *",
    "1," * 100_000 + "1 * * * *",
    "*/" * 60 + "1 * * * *",
    "0 0 30 2 *",
    "0 0 */31 2 1#5",
    "\x00 * * * *",
    "\ud800 * * * *",
    "'; DROP TABLE operations_schedule; -- *",
]
ZONES = [
    "",
    ".",
    "/",
    "Europe",
    "Europe/Atlantis",
    "../../etc/passwd",
    "/etc/localtime",
    "localtime",
    "utc\x00",
    "\ud800",
]
ZONES += ["europe/madrid", "zone.tab", "posixrules", "UTC+2", "A" * 5000, "Europe/Madrid ", "__init__.py"]


@pytest.fixture
def component(monkeypatch):
    monkeypatch.setattr(Counting, "fits", lambda self, subject: True)
    return world.component()


@pytest.fixture
def nightly(counting, component, owner, tmp_path):
    """``nightly()``: asked for at half past two in Madrid, since the first of February."""

    def make(**how) -> Schedule:
        asked = {"plan": KIND, "cron": "30 2 * * *", "time_zone": MADRID, "reason": "tidy up", "by": owner}
        asked["params"] = {"folder": str(tmp_path)}
        with at_instant(WINTER):
            return actions.schedule(component, **asked | how)

    return make


def fresh(schedule: Schedule) -> Schedule:
    return Schedule.objects.select_related("last_operation").get(pk=schedule.pk)


def ask(at: str) -> int:
    with at_instant(datetime.fromisoformat(at).replace(tzinfo=UTC)):
        return reconcile.ask_for_scheduled()


WRONG = [*(("cron", cron) for cron in HOSTILE), *(("time_zone", zone) for zone in ZONES)]


def test_what_is_no_expression_and_no_time_zone_is_invalid(nightly):
    for field, text in WRONG:
        with pytest.raises(Invalid) as refusal:
            nightly(**{field: text})
        assert list(refusal.value.fields) == [field], ascii(text[:20])


def test_the_api_answers_each_with_a_problem(component, counting, owner, as_account):
    client = as_account(owner)
    body = {"subject": f"inventory.component:{component.pk}", "plan": KIND, "cron": "30 2 * * *", "reason": "why"}
    answers = [
        client.post("/api/v1/schedules/", json.dumps(body | {field: text}), content_type="application/json")
        for field, text in WRONG
    ]
    assert {answer.status_code for answer in answers} <= {400, 422}
    assert Schedule.objects.count() == 0


def test_everything_wrong_is_said_at_once(nightly):
    with pytest.raises(Invalid) as refusal:
        nightly(plan="no.such", cron="x", reason=" ")
    assert sorted(refusal.value.fields) == ["cron", "plan", "reason"]


def test_it_needs_the_rights_that_asking_needs(nightly):
    for role in ("viewer", "developer", "ci", None):
        with pytest.raises(Denied):
            nightly(by=world.account(f"a-{role}", role, ("production", "*")))
    assert Schedule.objects.count() == 0


def test_parameters_that_do_not_fit_are_refused_when_it_is_made(nightly):
    with pytest.raises(Invalid):
        nightly(params={})


# -- asking


def test_it_asks_at_its_instant_and_not_before(nightly, owner, component, tmp_path):
    schedule = nightly()
    assert utc([schedule.next_at]) == ["02-02 01:30"]
    assert (ask("2027-02-02 01:29:59"), Operation.objects.count()) == (0, 0)
    assert ask("2027-02-02 01:30:00") == 1
    operation, schedule = Operation.objects.get(), fresh(schedule)
    assert (operation.state, operation.requested_by, operation.params) == ("queued", owner, {"folder": str(tmp_path)})
    assert (operation.subject_id, operation.reason) == (str(component.pk), f"{schedule.label}: tidy up")
    assert operation.key == f"schedule:{schedule.pk}:2027-02-02T01:30:00+00:00"
    assert (schedule.last_operation, schedule.problem) == (operation, "")
    assert utc([schedule.last_at, schedule.next_at]) == ["02-02 01:30", "02-03 01:30"]


def test_what_was_missed_is_made_up_for_once(nightly):
    schedule = nightly()
    assert ask("2027-02-20 12:00") == 1
    assert ask("2027-02-20 12:00") == 0
    schedule = fresh(schedule)
    assert Operation.objects.count() == 1
    assert utc([schedule.last_at, schedule.next_at]) == ["02-02 01:30", "02-21 01:30"]


def test_made_up_for_within_the_hour_that_comes_twice_it_does_not_go_back(nightly):
    schedule = nightly()
    ask("2027-10-31 01:10")
    assert utc([fresh(schedule).next_at]) == ["11-01 01:30"]
    assert ask("2027-10-31 01:20") == 0


def test_killed_between_asking_and_writing_it_down_asks_once(nightly):
    schedule = nightly()
    with at_instant(datetime(2027, 2, 2, 1, 31, tzinfo=UTC)):
        asked = reconcile._ask_for(schedule, schedule.next_at)
    assert utc([fresh(schedule).next_at]) == ["02-02 01:30"], "nothing of it was written down"
    assert ask("2027-02-02 01:32") == 1
    assert Operation.objects.get() == asked
    assert fresh(schedule).last_operation == asked
    assert ask("2027-02-02 01:33") == 0


@pytest.mark.django_db(transaction=True)
def test_two_that_run_at_once_ask_once(nightly, monkeypatch):
    """Both have read that it is due and made a plan before either has written anything."""
    schedule, together, draft = nightly(), threading.Barrier(2, timeout=30), Counting.draft
    monkeypatch.setattr(Counting, "draft", lambda *args: (together.wait(), draft(*args))[1])
    monkeypatch.setattr("portal.dispatch._send", lambda *nobody_listens: None)
    failed = []

    def run() -> None:
        try:
            reconcile.ask_for_scheduled()
        except Exception as error:
            failed.append(error)
        finally:
            connection.close()

    with at_instant(datetime(2027, 2, 2, 1, 31, tzinfo=UTC)):
        threads = [threading.Thread(target=run) for _ in range(2)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert failed == []
    assert fresh(schedule).last_operation == Operation.objects.get()
    assert utc([fresh(schedule).next_at]) == ["02-03 01:30"]


def test_a_run_that_has_not_ended_is_not_joined_by_another(nightly):
    """A freeze of a week would otherwise leave a week's worth of them, to begin one after the other."""
    schedule = nightly()
    ask("2027-02-02 01:30")
    first = Operation.objects.get()
    ask("2027-02-03 01:30")
    assert Operation.objects.get() == first
    waiting = fresh(schedule)
    assert waiting.problem == f"2027-02-03 01:30 UTC: {first.label}, which it asked for before, has not ended."
    assert (waiting.state, utc([waiting.next_at])) == ("scheduled", ["02-04 01:30"])
    drive(first)
    ask("2027-02-04 01:30")
    assert (Operation.objects.count(), fresh(schedule).problem) == (2, "")


def test_it_may_wait_for_a_window(nightly):
    nightly(in_window=True)
    ask("2027-02-02 01:30")
    assert Operation.objects.get().in_window is True


# -- what stands in its way


def test_a_plan_that_refuses_keeps_the_schedule_and_shows_why(nightly, monkeypatch):
    schedule, draft = nightly(), Counting.draft

    def refuse(*args):
        raise Conflict("It cannot be looked at now: connection refused")

    monkeypatch.setattr(Counting, "draft", refuse)
    assert ask("2027-02-02 01:30") == 1
    kept = fresh(schedule)
    assert kept.problem == "2027-02-02 01:30 UTC: It cannot be looked at now: connection refused"
    assert (kept.state, utc([kept.next_at]), kept.last_operation) == ("scheduled", ["02-03 01:30"], None)
    monkeypatch.setattr(Counting, "draft", draft)
    ask("2027-02-03 01:30")
    assert (fresh(schedule).problem, Operation.objects.count()) == ("", 1)


def test_a_plan_that_breaks_keeps_nobody_elses_schedule_waiting(nightly, monkeypatch):
    broken, draft = nightly(cron="29 2 * * *", params={"folder": "/broken"}), Counting.draft
    healthy = nightly()

    def sometimes(self, subject, params):
        if params["folder"] == "/broken":
            raise ZeroDivisionError("password=hunter2")
        return draft(self, subject, params)

    monkeypatch.setattr(Counting, "draft", sometimes)
    assert ask("2027-02-02 01:30") == 2
    assert fresh(healthy).last_operation == Operation.objects.get()
    kept = fresh(broken)
    assert (kept.state, utc([kept.next_at])) == ("scheduled", ["02-03 01:29"])
    assert kept.problem == "2027-02-02 01:29 UTC: password=[hidden]"


def test_a_plan_this_release_does_not_know_is_asked_for_later(nightly, monkeypatch):
    schedule = nightly()
    monkeypatch.delitem(registry, (KIND, 1))
    ask("2027-02-02 01:30")
    assert (fresh(schedule).state, "there is no plan" in fresh(schedule).problem) == ("scheduled", True)


def test_a_plan_that_fits_no_longer_is_not_asked_for(nightly, monkeypatch):
    schedule = nightly()
    monkeypatch.setattr(Counting, "fits", lambda self, subject: False)
    ask("2027-02-02 01:30")
    assert (fresh(schedule).state, Operation.objects.count()) == ("scheduled", 0)
    assert "can no longer be asked for" in fresh(schedule).problem


@pytest.mark.parametrize("loss", ["right", "account"])
def test_whose_account_may_no_longer_is_suspended(nightly, loss):
    asker = world.account("asker", "operations_owner", ("production", "*"))
    schedule = nightly(by=asker)
    if loss == "account":
        asker.is_active = False
        asker.save()
    else:
        from identity import rights
        from identity.models import RoleBinding

        rights.unbind(RoleBinding.objects.get(account=asker))
    ask("2027-02-02 01:30")
    ended = fresh(schedule)
    assert (ended.state, ended.next_at, Operation.objects.count()) == ("suspended", None, 0)
    assert ended.problem == "2027-02-02 01:30 UTC: You do not hold the right “operations.request” here."
    assert Event.objects.get(verb="operations.suspend").actor_label == "portal (sweeper)"
    assert ask("2027-02-03 01:30") == 0


def test_what_is_gone_suspends_it(nightly, component):
    schedule = nightly()
    component.delete()
    ask("2027-02-02 01:30")
    ended = fresh(schedule)
    assert (ended.state, ended.next_at) == ("suspended", None)
    assert ended.problem == f"2027-02-02 01:30 UTC: {schedule.subject_label} does not exist any more."


# -- verbs


def test_suspended_it_asks_for_nothing_and_makes_up_for_nothing(nightly, owner):
    schedule = actions.suspend(nightly(), by=owner, reason="audit")
    assert (schedule.next_at, schedule.problem, ask("2027-02-02 01:30")) == (None, "audit", 0)
    with at_instant(datetime(2027, 2, 10, tzinfo=UTC)):
        actions.reactivate(schedule, by=owner)
        assert reconcile.ask_for_scheduled() == 0
    assert (utc([fresh(schedule).next_at]), fresh(schedule).problem) == (["02-10 01:30"], "")


def test_suspended_while_it_is_being_asked_for_it_stays_so(nightly, owner, monkeypatch):
    schedule, draft = nightly(), Counting.draft

    def meanwhile(*args):
        actions.suspend(fresh(schedule), by=owner)
        return draft(*args)

    monkeypatch.setattr(Counting, "draft", meanwhile)
    ask("2027-02-02 01:30")
    assert (fresh(schedule).state, fresh(schedule).next_at) == ("suspended", None)


def test_retired_it_never_comes_back(nightly, owner):
    schedule = actions.retire(nightly(), by=owner, reason="replaced")
    assert (schedule.next_at, ask("2028-02-02 01:30")) == (None, 0)
    for verb in (actions.suspend, actions.reactivate, actions.retire):
        with pytest.raises(IllegalTransition):
            verb(fresh(schedule), by=owner)


@pytest.mark.parametrize("verb", ["suspend", "retire"])
def test_changing_it_needs_the_right_there(nightly, verb):
    schedule = nightly()
    stranger = world.account("stranger", "operations_owner", ("staging", "*"))
    with pytest.raises(Denied):
        getattr(actions, verb)(schedule, by=stranger)


def test_a_plan_that_only_the_portal_steers_is_not_scheduled(nightly, monkeypatch):
    monkeypatch.setattr(Counting, "steered", True)
    with pytest.raises(Invalid):
        nightly()


def test_the_title_survives_a_plan_that_is_gone(nightly, monkeypatch):
    schedule = nightly()
    monkeypatch.setattr(plan, "registry", {})
    assert schedule.title == f"{KIND}: {schedule.subject_label}"
    assert events.SYSTEM.has_perm("operations.schedule", schedule)
