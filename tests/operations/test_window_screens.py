"""Screens and API of freezes and maintenance windows: what they show, ask, refuse and cost."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from django.urls import reverse

from operations import actions, engine
from operations.models import ChangeWindow, Operation
from portal import clock
from tests import world

pytestmark = pytest.mark.django_db
LIST, DETAIL = 8, 9
API = "/api/v1/windows/"
HOUR = timedelta(hours=1)


@pytest.fixture
def browser(client, owner):
    world.scope()
    client.force_login(owner)
    return client


@pytest.fixture
def frozen(owner):
    """``frozen("the final")``: a freeze of production from an hour ago for a day."""
    world.scope()

    def declare(reason: str = "the final", **how) -> ChangeWindow:
        span = {"starts_at": clock.now() - HOUR, "ends_at": clock.now() + 23 * HOUR}
        return actions.declare(
            by=owner, **{"kind": "freeze", "environment": "production", "reason": reason} | span | how
        )

    return declare


def typed(**changed: str) -> dict[str, str]:
    tomorrow = clock.now() + timedelta(days=1)
    given = {"kind": "freeze", "environment": "production", "service": "*", "reason": "The final"}
    span = {"starts_at": f"{tomorrow:%Y-%m-%dT%H:%M}", "ends_at": f"{tomorrow + HOUR:%Y-%m-%dT%H:%M}"}
    return given | span | changed


@pytest.mark.parametrize("many", [1, 3])
def test_the_list_costs_the_same_however_long_it_is(frozen, browser, django_assert_num_queries, many):
    for number in range(many):
        frozen(f"reason {number}")
    with django_assert_num_queries(LIST):
        page = browser.get(reverse("window-list")).content.decode()
    assert [f"reason {number}" in page for number in range(many)] == [True] * many


def test_an_empty_list_says_so(browser):
    assert (
        "No freeze and no maintenance window has been declared." in browser.get(reverse("window-list")).content.decode()
    )


def test_the_lists_of_operations_stand_side_by_side_and_in_one_place_of_the_navigation(browser):
    for name in ("operation-list", "plan-list", "schedule-list", "window-list"):
        page = browser.get(reverse(name)).content.decode()
        tabs = page.partition('<nav class="tabs"')[2].partition("</nav>")[0]
        assert tabs.count("<a ") == 4
        assert f'<a href="{reverse(name)}" aria-current="page">' in tabs
        marked = page.partition('<nav class="sidebar"')[2].partition("</nav>")[0]
        assert f'<a href="{reverse("operation-list")}" aria-current="page"' in marked
        assert f'<a href="{reverse("plan-list")}"' not in marked


def test_what_is_typed_is_utc_and_becomes_a_window(browser, settings):
    answer = browser.post(reverse("window-declare"), typed(starts_at="2031-03-30T02:30", ends_at="2031-03-30T03:30"))
    window = ChangeWindow.objects.get()
    assert (answer.status_code, answer["Location"]) == (303, window.get_absolute_url())
    assert (window.starts_at, window.reach) == (datetime(2031, 3, 30, 2, 30, tzinfo=UTC), "production")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"reason": ""}, "This field is required."),
        ({"reason": "x" * 501}, "at most 500 characters"),
        ({"kind": "holiday"}, "is not one of the available choices"),
        ({"starts_at": "tomorrow"}, "Enter a valid date/time."),
        ({"ends_at": "2020-01-01T00:00"}, "It must end after it starts, and not in the past."),
        ({"ends_at": "2099-01-01T00:00"}, "It lasts at most 92 days."),
        ({"environment": "a\x00b"}, "Null characters are not allowed."),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_what_was_typed_stays(browser, changed, says):
    answer = browser.post(reverse("window-declare"), typed(service="play", **changed))
    page = answer.content.decode()
    assert (answer.status_code, says in page, 'value="play"' in page) == (422, True, True)
    assert ChangeWindow.objects.count() == 0
    (name,) = changed
    assert says in page.partition(f'name="{name}"')[2].partition('class="field"')[0]


def test_the_form_is_for_those_who_may_declare(client):
    world.scope()
    client.force_login(world.account("viewer", "viewer"))
    assert client.get(reverse("window-declare")).status_code == 403
    assert client.post(reverse("window-declare"), typed()).status_code == 403
    assert reverse("window-declare") not in client.get(reverse("window-list")).content.decode()


def test_whoever_may_declare_elsewhere_only_is_refused_here(client):
    world.scope(), world.scope("staging")
    client.force_login(world.account("stager", "operations_owner", ("staging", "*")))
    answer = client.post(reverse("window-declare"), typed())
    assert (answer.status_code, "operations.declare" in answer.content.decode()) == (403, True)
    assert client.post(reverse("window-declare"), typed(environment="staging")).status_code == 303


def test_one_window_says_what_it_is_and_is_lifted_from_its_page(frozen, browser, django_assert_num_queries):
    window = frozen("<b>the final</b>")
    with django_assert_num_queries(DETAIL):
        page = browser.get(window.get_absolute_url()).content.decode()
    assert ("Freeze, now" in page, "&lt;b&gt;the final" in page, "Lift" in page) == (True, True, True)
    address = reverse("window-lift", args=[window.pk])
    assert "Ended" not in browser.get(address).content.decode()
    assert browser.post(address, {"reason": "It is over."}).status_code == 303
    window.refresh_from_db()
    assert window.state == "lifted"
    assert "It is over." in browser.get(window.get_absolute_url()).content.decode()


def test_who_waits_reads_why_and_until_when(at, frozen, browser):
    frozen("the final of the cup")
    operation = at("queued")
    assert engine.advance(operation.pk) is False
    page = browser.get(operation.get_absolute_url()).content.decode()
    assert ("the final of the cup" in page, "Run in spite of the freeze" in page) == (True, True)
    assert Operation.objects.get(pk=operation.pk).state == "queued"


def test_screens_need_the_right_to_see_operations(frozen, client):
    window = frozen()
    client.force_login(world.account("nobody"))
    for address in (reverse("window-list"), window.get_absolute_url(), reverse("window-lift", args=[window.pk])):
        assert client.get(address).status_code == 403


# -- REST


def test_the_api_declares_lists_and_lifts(browser, as_account, owner, django_assert_num_queries):
    client = as_account(owner)
    span = {"starts_at": "2031-01-01T00:00:00Z", "ends_at": "2031-01-02T00:00:00Z"}
    given = {"kind": "maintenance", "environment": "production", "service": "api", "reason": "Index", **span}
    made = client.post(API, given, format="json")
    assert (made.status_code, made.json()["phase"], made.json()["declared_label"]) == (201, "to come", "Owner")
    client.get(API)
    with django_assert_num_queries(3):
        assert [row["reason"] for row in client.get(API).json()["results"]] == ["Index"]
    address = f"{API}{made.json()['id']}/"
    assert client.post(f"{address}lift/", {"reason": "no need"}, format="json").json()["state"] == "lifted"
    assert client.post(f"{address}lift/", {}, format="json").status_code == 409
    assert client.get(address).json()["phase"] == "lifted"


def test_the_api_names_every_field_that_is_wrong(browser, as_account, owner):
    given = {"kind": "freeze", "starts_at": "2031-01-02T00:00:00Z", "ends_at": "2031-01-01T00:00:00Z", "reason": " x "}
    answer = as_account(owner).post(API, given | {"environment": "production"}, format="json")
    assert (answer.status_code, list(answer.json()["fields"])) == (422, ["ends_at"])
    answer = as_account(owner).post(API, {"kind": "x"}, format="json")
    assert (answer.status_code, set(answer.json()["fields"])) == (400, {"kind", "starts_at", "ends_at", "reason"})


def test_the_api_refuses_whoever_may_not(frozen, as_account):
    window = frozen()
    viewer = as_account(world.account("viewer", "viewer"))
    assert viewer.get(API).json()["results"][0]["reason"] == "the final"
    assert viewer.post(f"{API}{window.pk}/lift/", {}, format="json").status_code == 403
    assert as_account(world.account("nobody")).get(API).status_code == 403
