"""Screens and API of schedules: the form made of a plan's parameters, the next instants, who sees and changes them."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from django.urls import reverse

from operations import actions, plan
from operations.models import Schedule
from portal import clock
from tests import world
from tests.operations.counting import KIND, Counting

pytestmark = pytest.mark.django_db
LIST, DETAIL = 7, 8
API = "/api/v1/schedules/"
WINTER = datetime(2027, 1, 11, 12, tzinfo=UTC)


class Anywhere(Counting):
    """It can be asked for on any component."""

    def fits(self, subject):
        return hasattr(subject, "connection")


@pytest.fixture(autouse=True)
def anywhere(monkeypatch):
    monkeypatch.setitem(plan.registry, (KIND, 1), Anywhere())


@pytest.fixture
def component():
    return world.component()


@pytest.fixture
def browser(client, component, owner):
    client.force_login(owner)
    return client


@pytest.fixture
def scheduled(component, owner):
    def make(**how) -> Schedule:
        given = {"cron": "30 4 * * 1", "time_zone": "Europe/Madrid", "reason": "Tidy", "params": {"folder": "/a"}}
        return actions.schedule(component, by=owner, plan=KIND, **given | how)

    return make


def new(component, kind: str = KIND, subject: str = "") -> str:
    return reverse("schedule-create", args=[subject or f"inventory.component:{component.pk}", kind])


def typed(**changed: str) -> dict[str, str]:
    given = {"param_folder": "/tmp/a", "cron": "30 4 * * 1", "time_zone": "Europe/Madrid", "reason": "Tidy"}
    return given | changed


@pytest.mark.parametrize("many", [1, 3])
def test_the_list_costs_the_same_however_long_it_is(scheduled, browser, django_assert_num_queries, many):
    made = [scheduled() for _ in range(many)]
    with django_assert_num_queries(LIST):
        page = browser.get(reverse("schedule-list")).content.decode()
    assert [f">{it.label}<" in page for it in made] == [True] * many


def test_an_empty_list_says_where_schedules_come_from(browser):
    assert "Nothing is scheduled." in browser.get(reverse("schedule-list")).content.decode()


def test_the_form_asks_what_the_plan_needs_and_makes_a_schedule(browser, component):
    page = browser.get(new(component)).content.decode()
    assert [f'name="{name}"' in page for name in ("param_folder", "param_fails", "cron", "time_zone")] == [True] * 4
    answer = browser.post(new(component), typed(param_fails="on"))
    made = Schedule.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, made.get_absolute_url())
    assert (made.params, made.cron, made.time_zone) == (
        {"folder": "/tmp/a", "fails": True, "sticks": False},
        "30 4 * * 1",
        "Europe/Madrid",
    )


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"param_folder": ""}, "This field is required."),
        ({"cron": "61 * * * *"}, "Five fields are expected"),
        ({"time_zone": "Mars/Olympus"}, "There is no such time zone"),
        ({"time_zone": "../../etc/passwd"}, "There is no such time zone"),
        ({"reason": ""}, "This field is required."),
        ({"param_folder": "a\x00b"}, "Null characters are not allowed."),
    ],
)
def test_what_is_wrong_stands_beside_its_field(browser, component, changed, says):
    answer = browser.post(new(component), typed(**changed))
    page = answer.content.decode()
    (name,) = changed
    assert (answer.status_code, Schedule.objects.count()) == (422, 0)
    assert says in page.partition(f'name="{name}"')[2].partition('class="field"')[0]


def test_one_schedule_shows_its_next_instants_in_its_own_time_zone(scheduled, browser, django_assert_num_queries):
    with clock.travel(WINTER - clock.now()):
        schedule = scheduled()
        with django_assert_num_queries(DETAIL):
            page = browser.get(schedule.get_absolute_url()).content.decode()
    for instant in ("Mon 2027-01-18 04:30 CET", "Mon 2027-01-25 04:30 CET", "Mon 2027-02-01 04:30 CET"):
        assert instant in page
    assert page.count("<time data-fixed") == 3
    assert "{&quot;folder&quot;: &quot;/a&quot;}" in page


def test_it_is_suspended_resumed_and_retired_from_its_page(scheduled, browser):
    schedule = scheduled()
    for verb, state in (("suspend", "suspended"), ("reactivate", "scheduled"), ("retire", "retired")):
        address = reverse(f"schedule-{verb}", args=[schedule.number])
        assert browser.get(address).status_code == 200
        assert browser.post(address, {"reason": "so"}).status_code == 303
        schedule.refresh_from_db()
        assert schedule.state == state
    assert browser.post(reverse("schedule-suspend", args=[schedule.number])).status_code == 409


def test_a_plan_that_does_not_fit_or_a_thing_that_is_not_there_has_no_form(browser, component, monkeypatch):
    assert browser.get(new(component, "nginx.reload")).status_code == 404
    assert browser.get(new(component, "no.such")).status_code == 404
    for subject in (
        *("inventory.component:00000000-0000-7000-8000-000000000000", "inventory.component:x", "inventory.component"),
        *("x:y", "a.b.c:d", "identity.account:1", "inventory.component:", ":", "inventory.component:\x00"),
    ):
        assert browser.get(new(component, subject=subject)).status_code == 404, subject
    monkeypatch.setattr(Anywhere, "steered", True)
    assert browser.get(new(component)).status_code == 404


def test_a_foreign_schedule_is_not_there(scheduled, client):
    schedule = scheduled()
    world.scope("staging")
    client.force_login(world.account("stranger", "operations_owner", ("staging", "*")))
    names = ("detail", "suspend", "reactivate", "retire")
    assert {client.get(reverse(f"schedule-{name}", args=[schedule.number])).status_code for name in names} == {404}
    assert schedule.label not in client.get(reverse("schedule-list")).content.decode()
    assert client.get(new(schedule, subject=f"inventory.component:{schedule.subject_id}")).status_code == 404


def test_whoever_may_only_look_may_not_change(scheduled, component, client):
    schedule = scheduled()
    client.force_login(world.account("viewer", "viewer"))
    assert client.get(schedule.get_absolute_url()).status_code == 200
    assert client.post(reverse("schedule-retire", args=[schedule.number])).status_code == 403
    assert client.post(new(component), typed()).status_code == 403


# -- REST


def test_the_api_makes_the_same_schedule(component, as_account, owner):
    client = as_account(owner)
    given = {"subject": f"inventory.component:{component.pk}", "plan": KIND, "params": {"folder": "/a"}}
    given |= {"cron": "0 3 * * *", "reason": "Tidy"}
    made = client.post(API, given, format="json")
    assert (made.status_code, made.json()["state"], len(made.json()["upcoming"])) == (201, "scheduled", 3)
    assert [row["label"] for row in client.get(API).json()["results"]] == [made.json()["label"]]
    suspended = client.post(f"{API}{made.json()['id']}/suspend/", {"reason": "so"}, format="json")
    assert (suspended.json()["state"], suspended.json()["next_at"]) == ("suspended", None)


@pytest.mark.parametrize(
    ("changed", "field"),
    [
        ({"subject": "inventory.component:x"}, "subject"),
        ({"plan": "no.such"}, "plan"),
        ({"cron": "x"}, "cron"),
        ({"time_zone": "x"}, "time_zone"),
        ({"params": {"folder": 1}}, "folder"),
        ({"params": {}}, "params"),
    ],
)
def test_the_api_names_what_is_wrong(component, as_account, owner, changed, field):
    given = {"subject": f"inventory.component:{component.pk}", "plan": KIND, "params": {"folder": "/a"}}
    given |= {"cron": "0 3 * * *", "reason": "Tidy"} | changed
    answer = as_account(owner).post(API, given, format="json")
    assert (answer.status_code, list(answer.json()["fields"])) == (422, [field])


def test_the_api_keeps_no_secret(component, as_account, owner):
    given = {"subject": f"inventory.component:{component.pk}", "plan": KIND, "cron": "0 3 * * *", "reason": "Tidy"}
    given["params"] = {"folder": "postgresql://portal:hunter2@db/x"}
    answer = as_account(owner).post(API, given, format="json")
    assert (answer.status_code, "hunter2" in answer.content.decode()) == (422, False)
    assert Schedule.objects.count() == 0
