"""The catalogue of plans: what it says of each, how each has done, on screen and through the API."""

from __future__ import annotations

import html
from datetime import timedelta

import pytest
from django.urls import reverse

from drivers.registry import KINDS, LABELS
from operations import plan, statistics
from operations.models import Operation
from operations.plan import Act, Plan
from portal import clock
from tests import world
from tests.operations.counting import KIND

pytestmark = pytest.mark.django_db
API = "/api/v1/plans/"
LIST, DETAIL = 5, 6
API_LIST, API_DETAIL = 2, 3
SECOND = timedelta(seconds=1)


@pytest.fixture
def browser(client, owner):
    world.scope()
    client.force_login(owner)
    return client


def took(operation: Operation, seconds: float, ago: timedelta = timedelta()) -> Operation:
    """As if it had run that long, that long ago."""
    ended = clock.now() - ago
    facts = {"started_at": ended - seconds * SECOND, "finished_at": ended, "created_at": ended - seconds * SECOND}
    Operation.objects.filter(pk=operation.pk).update(**facts)
    return operation


def history(reader) -> statistics.History:
    return statistics.histories(reader).get(KIND, statistics.History())


# -- how it has done


def test_a_history_counts_ends_and_measures_what_went_well(at, owner):
    for seconds in (1, 2, 9):
        took(at("done"), seconds)
    took(at("undone"), 100)
    at("stuck")
    at("halted")
    found = history(owner)
    assert (found.done, found.undone, found.stuck, found.runs) == (3, 1, 2, 6)
    assert (found.success_percent, found.median, found.slowest_tenth) == (50, 2 * SECOND, 7.6 * SECOND)


def test_a_history_knows_when_it_ran_last_and_forgets_after_ninety_days(at, owner):
    old, recent = took(at("done"), 5, timedelta(days=91)), took(at("done"), 1, timedelta(days=89))
    assert (history(owner).done, history(owner).median) == (1, SECOND)
    assert history(owner).last == Operation.objects.get(pk=recent.pk).finished_at
    assert Operation.objects.get(pk=old.pk).state == "done"


def test_what_never_began_is_no_run(at, owner):
    for state in ("planned", "queued", "awaiting_approval", "cancelled"):
        at(state)
    assert history(owner) == statistics.History()
    assert history(owner).success_percent is None


def test_a_plan_that_failed_once_in_two_hundred_is_not_called_perfect():
    assert statistics.History(done=199, undone=1).success_percent == 99


def test_a_history_counts_only_what_its_reader_may_see(at, owner):
    at("done")
    assert history(world.account("stranger", "operations_owner", ("staging", "*"))) == statistics.History()


# -- screens


@pytest.mark.parametrize("many", [1, 3])
def test_the_list_costs_the_same_however_much_has_run(at, browser, django_assert_num_queries, many):
    for _ in range(many):
        took(at("done"), 2)
    with django_assert_num_queries(LIST):
        page = browser.get(reverse("plan-list")).content.decode()
    assert f"100 % of {many}, median 2.0 s" in page


def test_the_list_stands_in_groups_that_people_know(browser):
    page = browser.get(reverse("plan-list")).content.decode()
    for heading in ("nginx", "PM2", "PHP-FPM", "MariaDB", "Redis and Valkey", "Deployments", "Services in two slots"):
        assert f"<h2>{heading}</h2>" in page
    assert [slug for slug in ("php-fpm", "aws-ec2", "rabbitmq") if f"<h2>{slug}</h2>" in page] == []
    assert f"{len(plan.newest())} plans" in page


def test_every_driver_has_a_name_for_people():
    assert list(LABELS) == list(KINDS)


def test_a_list_is_narrowed_by_every_word(browser):
    page = browser.get(reverse("plan-list"), {"q": "NGINX high risk"}).content.decode()
    assert "nginx.maintenance-on" in page
    assert "nginx.reload" not in page
    assert "redis.flush-prefix" not in page


@pytest.mark.parametrize("words", ["no such plan", "<script>alert(1)</script>", "\x00", "%%", "'\"", "é" * 3000])
def test_words_that_match_nothing_say_so_and_are_text(browser, words):
    answer = browser.get(reverse("plan-list"), {"q": words})
    page = answer.content.decode()
    assert (answer.status_code, "No plan matches this search." in page) == (200, True)
    assert "<script>alert" not in page
    assert html.escape(words) in page


@pytest.mark.parametrize("many", [1, 3])
def test_one_plan_costs_the_same_however_much_has_run(at, browser, django_assert_num_queries, many):
    ran = [at("done") for _ in range(many)]
    with django_assert_num_queries(DETAIL):
        page = browser.get(reverse("plan-detail", args=[KIND])).content.decode()
    assert [f">{it.label}<" in page for it in ran] == [True] * many
    assert (f"{many} done, 0 undone" in page, "Takes the count back." in page) == (True, True)


def test_an_act_that_can_be_taken_back_says_so_and_one_that_cannot_says_why(at, browser):
    """A template that asks for ``undo`` calls it."""
    at("planned")
    page = browser.get(reverse("plan-detail", args=[KIND])).content.decode()
    assert page.count("To undo: Takes the count back.") == 1
    assert page.count("No undo: It does nothing.") == 1


def test_a_plan_shows_its_parameters_risk_and_right(browser):
    page = browser.get(reverse("plan-detail", args=["nginx.set-weight"])).content.decode()
    for words in ("High risk", "inventory.operate_risky", "<code>service</code>", "(required)", "It has not run."):
        assert words in page
    assert "{service}" not in page


def test_a_plan_that_is_not_known_is_not_there(browser, as_account, owner):
    for kind in ("no.such", "nginx", "../plans", "x" * 300):
        assert browser.get(reverse("plan-list") + f"{kind}/").status_code == 404
    assert as_account(owner).get(f"{API}no.such/").status_code == 404


def test_runs_that_the_reader_may_not_see_are_not_shown(at, client):
    operation = at("done")
    world.scope("staging")
    client.force_login(world.account("stranger", "operations_owner", ("staging", "*")))
    page = client.get(reverse("plan-detail", args=[KIND])).content.decode()
    assert (operation.label in page, "None that you may see." in page) == (False, True)


def test_the_catalogue_is_for_those_who_may_see_operations(client, as_account):
    world.scope()
    nobody = world.account("nobody")
    client.force_login(nobody)
    screens = (reverse("plan-list"), reverse("plan-detail", args=["nginx.reload"]))
    assert {client.get(path).status_code for path in screens} == {403}
    assert {as_account(nobody).get(path).status_code for path in (API, f"{API}nginx.reload/")} == {403}


# -- REST


def test_the_api_lists_every_plan(as_account, owner, django_assert_num_queries):
    world.scope()
    client = as_account(owner)
    client.get(API)
    with django_assert_num_queries(API_LIST):
        found = client.get(API).json()
    assert [each["kind"] for each in found] == [each.kind for each in plan.newest()]
    shown = next(each for each in found if each["kind"] == "nginx.set-weight")
    assert (shown["family"], shown["risk"], shown["title"]) == ("nginx", "high", "Send … to a:… and b:…")
    assert shown["params_schema"]["required"] == ["service", "a", "b"]
    assert [(act["reversible"], act["taking_back"]) for act in shown["acts"]] == [
        (True, "Give the members the weights they had")
    ]


def test_the_api_tells_how_one_plan_has_done(at, as_account, owner, django_assert_num_queries):
    took(at("done"), 3)
    client = as_account(owner)
    client.get(f"{API}{KIND}/")
    with django_assert_num_queries(API_DETAIL):
        told = client.get(f"{API}{KIND}/").json()["history"]
    told.pop("last")
    assert told == {"done": 1, "undone": 0, "stuck": 0, "success_percent": 100, "median_seconds": 3.0}


def test_the_api_of_a_plan_that_never_ran_has_no_figures(as_account, owner):
    world.scope()
    told = as_account(owner).get(f"{API}nginx.reload/").json()["history"]
    assert told == {"done": 0, "undone": 0, "stuck": 0, "success_percent": None, "median_seconds": None, "last": None}


# -- names


@pytest.mark.parametrize(
    ("title", "short"),
    [
        ("Reload {subject}", "Reload"),
        ("Canary deployment on {subject}", "Canary deployment"),
        ("Switch {subject} back", "Switch back"),
        ("Send … to a:… and b:…: {subject}", "Send … to a:… and b:…"),
        ("Keep … instances: {subject}", "Keep … instances"),
    ],
)
def test_a_plan_has_a_short_name_without_its_subject(title, short):
    it = Plan()
    it.title = title
    assert it.short == short


def test_an_act_knows_whether_it_can_be_taken_back():
    there = {"do": dict, "done": bool}
    assert Act("a", "A", **there, undo=dict, undo_title="Back").reversible is True
    assert Act("a", "A", **there, undo=None, why_no_undo="Nothing").reversible is False
