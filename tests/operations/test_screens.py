"""Screens: list, plan, live log, one page per verb; what they cost and who sees them."""

from __future__ import annotations

import pytest
from django.urls import reverse
from drf_spectacular.generators import SchemaGenerator

from operations import engine
from operations.models import Operation, StepLog
from portal import ui
from tests import world
from tests.operations.worlds import drive

pytestmark = pytest.mark.django_db
# Environments to choose from, and queues nobody serves: asked for by the first of many lists only.
REMEMBERED = 2
LIST, DETAIL = 7, 10


@pytest.fixture
def browser(client, owner):
    """The owner's browser."""
    client.force_login(owner)
    return client


def url(name: str, operation: Operation) -> str:
    return reverse(f"operation-{name}", args=[operation.number])


@pytest.mark.parametrize("many", [1, 3])
def test_the_list_costs_the_same_however_long_it_is(at, browser, django_assert_num_queries, many):
    operations = [at("done") for _ in range(many)]
    with django_assert_num_queries(LIST + REMEMBERED):
        browser.get(reverse("operation-list"))
    with django_assert_num_queries(LIST):
        page = browser.get(reverse("operation-list")).content.decode()
    assert [operation.label in page for operation in operations] == [True] * many
    assert len(page) < 60_000


def test_environments_can_be_chosen_also_after_the_api_was_described(at, browser):
    at("done")
    SchemaGenerator().get_schema(request=None, public=True)
    assert '<option value="production"' in browser.get(reverse("operation-list")).content.decode()


@pytest.mark.parametrize("many", [1, 3])
def test_the_detail_costs_the_same_however_much_was_logged(at, browser, django_assert_num_queries, many):
    operation = at("done")
    StepLog.objects.bulk_create(
        StepLog(step=step, text=f"line {n}") for step in operation.steps.all() for n in range(30 * many)
    )
    with django_assert_num_queries(DETAIL):
        page = browser.get(url("detail", operation)).content.decode()
    assert page.count("<time data-fixed datetime=") == 20 * operation.steps.count()
    assert len(page) < 60_000


def test_the_list_is_narrowed_by_state_kind_and_environment(at, browser):
    done, planned = at("done"), at("planned")
    address = reverse("operation-list")
    for query, seen in (
        ("?state=done", [done]),
        ("?kind=tests.counting", [done, planned]),
        ("?environment=production", [done, planned]),
        ("?open=true", [planned]),
        ("?open=false", [done]),
        ("?service=play", []),
        (f"?q={done.subject_label}", [done]),
    ):
        page = browser.get(address + query).content.decode()
        assert [it for it in (done, planned) if f">{it.label}<" in page] == seen, query


def test_only_what_the_reader_may_see_is_listed_and_found(at, client):
    operation = at("done")
    world.component("staging/us-central/api")
    client.force_login(world.account("stranger", "operations_owner", ("staging", "*")))
    assert operation.label not in client.get(reverse("operation-list")).content.decode()
    names = ("detail", "log", "confirm", "approve", "cancel", "stop", "retry", "settle")
    assert {client.get(url(name, operation)).status_code for name in names} == {404}
    assert client.get(reverse("operation-list") + "?environment=production").status_code == 200


def test_the_plan_is_readable_before_it_runs(at, browser):
    page = browser.get(url("detail", at("planned", reason="it leaks"))).content.decode()
    assert page.count('class="plan-step ') == 4
    assert ("Takes the count back." in page, "It does nothing." in page, "it leaks" in page) == (True, True, True)
    assert "Run it" in page


def test_confirming_from_the_page_runs_it(at, browser):
    operation = at("planned")
    assert "Count 2" in browser.get(url("confirm", operation)).content.decode()
    answer = browser.post(url("confirm", operation), {"expected_version": operation.row_version})
    assert (answer.status_code, answer["Location"]) == (303, operation.get_absolute_url())
    assert drive(operation).state == "done"


def test_approving_from_the_page_sends_what_was_read(at, browser):
    operation = at("awaiting_approval")
    page = browser.get(url("approve", operation)).content.decode()
    assert operation.plan_digest in page
    assert browser.post(url("approve", operation), {"digest": "0" * 64}).status_code == 409
    assert browser.post(url("approve", operation), {"digest": operation.plan_digest}).status_code == 303
    operation.refresh_from_db()
    assert operation.state == "queued"


def test_an_outdated_page_is_refused(at, browser):
    operation = at("planned")
    answer = browser.post(url("cancel", operation), {"expected_version": operation.row_version - 1})
    assert (answer.status_code, "changed since you looked" in answer.content.decode()) == (409, True)


def test_a_viewer_sees_the_reason_instead_of_a_button(at, client):
    operation = at("planned")
    client.force_login(world.account("viewer", "viewer", ("production", "*")))
    page = client.get(url("detail", operation)).content.decode()
    assert "Needs the right “operations.cancel” here." in page
    assert client.post(url("cancel", operation)).status_code == 403


def test_settling_sends_the_reader_to_the_second_factor_first(at, browser):
    answer = browser.post(url("settle", at("stuck")), {"reason": "by hand"})
    assert (answer.status_code, answer["Location"].startswith(reverse("step-up"))) == (303, True)


def test_a_stuck_operation_says_what_is_wrong(at, browser):
    page = browser.get(url("detail", at("stuck"))).content.decode()
    assert "it cannot be taken back" in page
    assert "Try to undo again" in page


def test_the_live_part_is_fetched_alone(at, browser):
    operation = at("running")
    engine.advance(operation.pk)
    page = browser.get(url("detail", operation)).content.decode()
    assert f'data-live="operations.operation:{operation.pk}"' in page
    part = browser.get(
        url("detail", operation), HTTP_HX_REQUEST="true", HTTP_HX_TARGET="operation-live"
    ).content.decode()
    assert part.strip().startswith('<div class="operation" id="operation-live"')
    assert ("<html" in part, "counting" in part, "1 of 2" in part) == (False, True, True)


def test_the_whole_log_is_plain_text(at, browser):
    operation = at("done")
    answer = browser.get(url("log", operation))
    assert answer["Content-Type"] == "text/plain; charset=utf-8"
    assert [line.split(" ", 1)[1] for line in answer.content.decode().splitlines()[1:]] == [
        *(f"{n} counting" for n in (1, 2, 3)),
        "4 It is so already; nothing to do.",
    ]


def test_what_a_driver_says_is_text_and_never_markup(at, browser):
    operation = at("done")
    StepLog.objects.create(step=operation.steps.first(), text="<script>alert(1)</script>")
    page = browser.get(url("detail", operation)).content.decode()
    assert "<script>alert(1)" not in page
    assert "&lt;script&gt;alert(1)" in page


def test_operations_show_up_where_their_subject_does(at, rf, owner):
    subject = world.component()
    operation = at("done", subject=subject)
    request = rf.get("/")
    request.user = owner
    for place, obj in (
        ("component-detail", subject),
        ("service-detail", subject.service),
        ("incident-detail", subject),
    ):
        panel = next(found for found in ui.panels_for(request, place, obj) if found.slug == "operations")
        assert panel.context["operations"] == [operation]
    request.user = world.account("stranger", "viewer", ("staging", "*"))
    assert [found for found in ui.panels_for(request, "component-detail", subject) if found.slug == "operations"] == []


def test_the_cause_is_linked_for_those_who_may_see_it(at, browser):
    cause = world.component("production/us-central/play")
    page = browser.get(url("detail", at("done", cause=cause))).content.decode()
    assert f'href="{cause.get_absolute_url()}"' in page


def test_a_subject_that_is_gone_is_named_without_a_link(at, browser):
    operation = at("done")
    for subject_type in ("inventory.gone", "identity.team", "inventory.component"):
        Operation.objects.filter(pk=operation.pk).update(subject_type=subject_type, subject_id=str(operation.pk))
        page = browser.get(url("detail", operation))
        assert (page.status_code, operation.subject_label in page.content.decode()) == (200, True)
