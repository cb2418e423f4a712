"""The record of an operation: one page to print or to keep, with everything that was agreed, sent and answered."""

from __future__ import annotations

import html
import re

import pytest
from django.urls import reverse

from operations import actions, plan
from operations.models import StepLog
from operations.plan import Act, Plan, StepDraft
from operations.views import stream
from tests import world
from tests.operations.worlds import drive

pytestmark = pytest.mark.django_db
RECORD = 8


class Telling(Plan):
    """One step with everything that a step can show."""

    kind, title, permission = "tests.telling", "Tell {subject}", "inventory.reload"
    summary = "It tells."
    params_schema = {"type": "object", "properties": {"words": {"type": "string"}}, "additionalProperties": False}

    def __init__(self):
        self.told = False
        self.acts = (Act("tell", "Tell", self.do, None, lambda ctx: self.told, "Said is said."),)

    def target(self, subject):
        return "the whole house"

    def draft(self, subject, params):
        arguments = {"before": {"level": 3, "tags": ["a", "b"], "note": "é <b>"}}
        held = ["It answers in 3 ms.", "It is free."]
        return [StepDraft("tell", "Tell them", arguments, ["SET level <4>", "GET level"], held)]

    def do(self, ctx):
        self.told = True
        ctx.log("told <them>")
        return {"level": 4, "ok": True, "nothing": None}


@pytest.fixture
def browser(client, owner):
    client.force_login(owner)
    return client


@pytest.fixture
def telling(monkeypatch, owner):
    monkeypatch.setitem(plan.registry, (Telling.kind, 1), Telling())
    cause = world.component("production/us-central/play")
    asked = {"params": {"words": "<i>"}, "reason": "They have to know.", "approvals": 1, "cause": cause}
    return actions.request(Telling.kind, world.component(), by=world.account("asker", "on_call"), **asked)


def record(browser, operation) -> str:
    answer = browser.get(reverse("operation-record", args=[operation.number]))
    assert answer.status_code == 200
    return answer.content.decode()


def text_of(page: str) -> str:
    """What people read of its main part."""
    main = page.partition("<main")[2].partition("</main>")[0]
    return html.unescape(re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", main)))


def test_it_holds_everything_about_one_operation(browser, telling, owner):
    actions.approve(telling, by=owner)
    page = text_of(record(browser, drive(telling)))
    for words in (
        *("Tell production/us-central/api", "the whole house", "They have to know.", "production/us-central/play"),
        *('{"words": "<i>"}', telling.plan_digest, "Owner,", "Tell them"),
        *("It answers in 3 ms.", "It is free.", "Sent SET level <4> GET level", "Said is said."),
        '{"level": 3, "note": "é <b>", "tags": ["a", "b"]}',
        *('{"level": 4, "nothing": null, "ok": true}', "told <them>", "1 try", "approved"),
    ):
        assert words in page, words


def test_instants_are_exact_because_paper_does_not_count(browser, telling, owner):
    actions.approve(telling, by=owner)
    operation = drive(telling)
    main = record(browser, operation).partition("<main")[2].partition("Log</h2>")[0]
    assert " ago" not in main
    assert f"{operation.started_at:%Y-%m-%d %H:%M:%S} UTC" in main


def test_what_was_not_sent_is_not_said_to_be(browser, telling):
    page = text_of(record(browser, telling))
    assert "Would have been sent SET level" in page
    assert "Nobody" not in page


def test_one_that_runs_goes_on_from_the_last_line_shown(at, browser):
    operation = at("running")
    line = StepLog.objects.create(step=operation.steps.first(), text="so far")
    page = record(browser, operation)
    assert f'data-log-stream="{reverse("operation-stream", args=[operation.number])}?after={line.seq}"' in page
    assert page.count("js/log.js") == 1


def test_one_that_has_ended_listens_to_nothing(at, browser):
    page = record(browser, at("done"))
    assert ("data-log-stream" in page, "js/log.js" in page) == (False, False)


def test_times_of_log_lines_stay_times_of_day(at, browser):
    operation = at("done")
    for name in ("record", "detail"):
        page = browser.get(reverse(f"operation-{name}", args=[operation.number])).content.decode()
        lines = re.findall(r"<li><time([^>]*)>", page)
        assert lines
        assert [each for each in lines if "data-fixed" not in each] == []


def test_a_log_too_long_for_a_page_is_cut_and_says_so(at, browser, monkeypatch):
    monkeypatch.setattr(stream, "MOST_LINES", 5)
    operation = at("done")
    StepLog.objects.bulk_create(StepLog(step=operation.steps.first(), text=f"line {n}") for n in range(9))
    page = record(browser, operation)
    assert page.count("<li><time data-fixed") == 5
    assert "Only the first lines are shown here" in page


@pytest.mark.parametrize("many", [1, 3])
def test_it_costs_the_same_however_much_was_said(at, browser, django_assert_num_queries, many):
    operation = at("done")
    StepLog.objects.bulk_create(
        StepLog(step=step, text=f"line {n}") for step in operation.steps.all() for n in range(30 * many)
    )
    with django_assert_num_queries(RECORD):
        record(browser, operation)


def test_a_plan_that_waits_for_people_shows_no_agreement_yet(browser, telling, owner):
    page = text_of(browser.get(telling.get_absolute_url()).content.decode())
    assert "0 of 1; still needed: Operations owner" in page
    actions.approve(telling, by=owner)
    page = text_of(browser.get(telling.get_absolute_url()).content.decode())
    assert "1 of 1" in page


def test_a_draft_that_will_need_agreement_does_not_claim_it(at, browser):
    page = text_of(browser.get(at("planned", approvals=2).get_absolute_url()).content.decode())
    assert "0 of 2; still needed: Operations owner, Operations owner" in page


def test_confirming_says_where_it_leads(at, browser):
    def leads_to(operation) -> str:
        return browser.get(reverse("operation-confirm", args=[operation.number])).content.decode()

    alone, agreed = leads_to(at("planned")), leads_to(at("planned", approvals=1))
    assert ("Somebody else has to agree" in alone, "Somebody else has to agree" in agreed) == (False, True)


def test_what_the_reader_may_not_see_has_no_record(at, client):
    operation = at("done")
    world.scope("staging")
    client.force_login(world.account("stranger", "operations_owner", ("staging", "*")))
    assert client.get(reverse("operation-record", args=[operation.number])).status_code == 404
    client.logout()
    assert client.get(reverse("operation-record", args=[operation.number])).status_code == 302
