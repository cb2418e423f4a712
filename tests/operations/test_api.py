"""REST: list, detail, log and one route per verb; every refusal is a problem document with a sentence."""

from __future__ import annotations

import uuid

import pytest

from tests import world
from tests.operations.counting import STEPS
from tests.operations.worlds import drive

pytestmark = pytest.mark.django_db
BASE = "/api/v1/operations/"


@pytest.fixture
def client(as_account, owner):
    return as_account(owner)


def of(operation, verb: str = "") -> str:
    return f"{BASE}{operation.pk}/{verb + '/' if verb else ''}"


@pytest.mark.parametrize("many", [1, 3])
def test_the_list_costs_the_same_however_long_it_is(at, client, django_assert_num_queries, many):
    operations = [at("done") for _ in range(many)]
    client.get(BASE)
    with django_assert_num_queries(2):
        answer = client.get(BASE).json()
    assert [row["label"] for row in answer["results"]] == [it.label for it in reversed(operations)]
    assert "steps" not in answer["results"][0]


def test_the_detail_has_the_steps_and_who_agreed(at, client, owner, django_assert_num_queries):
    operation = at("awaiting_approval", approvals=2)
    client.post(of(operation, "approve"))
    drive(operation)
    with django_assert_num_queries(4):
        answer = client.get(of(operation)).json()
    assert (answer["state"], answer["environment"], answer["service"]) == ("awaiting_approval", "production", "api")
    assert [step["title"] for step in answer["steps"]] == ["Count 1", "Count 2", "Count 3", "End"]
    assert [(vote["person"], vote["digest"]) for vote in answer["approvals"]] == [("Owner", operation.plan_digest)]


def test_the_log_is_read_on_from_a_line(at, client):
    operation = at("done")
    lines = client.get(of(operation, "log")).json()
    assert [(line["step"], line["text"]) for line in lines] == [
        *((place, "counting") for place in range(1, STEPS + 1)),
        (STEPS + 1, "It is so already; nothing to do."),
    ]
    assert client.get(of(operation, "log") + f"?after={lines[1]['seq']}").json() == lines[2:]


@pytest.mark.parametrize("after", ["x", "-1", "²", "9" * 30])
def test_a_log_position_that_is_none_is_refused(at, client, after):
    answer = client.get(of(at("done"), "log"), {"after": after})
    assert (answer.status_code, answer.json()["fields"]) == (422, {"after": ["A whole number is expected."]})


def test_it_runs_to_its_end_through_the_api(at, client, owner):
    operation = at("planned", approvals=1)
    assert client.post(of(operation, "confirm")).json()["state"] == "awaiting_approval"
    answer = client.post(of(operation, "approve"), {"digest": operation.plan_digest}, format="json").json()
    assert (answer["state"], len(answer["approvals"])) == ("queued", 1)
    assert drive(operation).state == "done"


def test_verbs_with_words(at, client):
    cancelled = client.post(of(at("queued"), "cancel"), {"reason": "not today"}, format="json").json()
    assert (cancelled["state"], cancelled["failure"]) == ("cancelled", "not today")
    assert {step["state"] for step in cancelled["steps"]} == {"skipped"}
    stopped = client.post(of(at("running"), "stop"), {"reason": "wrong one"}, format="json").json()
    assert (stopped["state"], stopped["cancel_requested"]) == ("running", True)
    assert client.post(of(at("stuck"), "retry")).json()["state"] == "undoing"


def problem(answer) -> tuple[int, str]:
    assert answer["Content-Type"] == "application/problem+json"
    return answer.status_code, answer.json()["detail"]


def test_refusals_are_problem_documents(at, client, as_account):
    stuck, planned, done = at("stuck"), at("planned"), at("done")
    assert problem(client.post(of(stuck, "settle"), {"reason": "x"}, format="json"))[0] == 401
    assert problem(client.post(of(stuck, "settle"), {}, format="json"))[0] == 400
    assert problem(client.post(of(done, "cancel"))) == (409, "“Cancel” is not possible while done.")
    stale = {"expected_version": planned.row_version - 1} if planned.row_version > 1 else {"expected_version": 99}
    assert problem(client.post(of(planned, "confirm"), stale, format="json")) == (
        409,
        "It was changed since you looked. Load it again, then decide.",
    )
    unknown = client.post(of(planned, "confirm"), {"colour": "red"}, format="json")
    assert (unknown.status_code, unknown.json()["fields"]) == (400, {"colour": ["There is no such field."]})
    assert problem(client.get(f"{BASE}{uuid.uuid4()}/"))[0] == 404
    assert problem(client.get(f"{BASE}not-an-id/"))[0] == 404
    assert problem(client.get(BASE, {"state": "nonsense"}))[0] == 400
    assert problem(client.get(BASE, {"environment": "elsewhere"}))[0] == 400


def test_whoever_may_not_see_it_gets_404_and_whoever_may_not_do_it_403(at, as_account):
    operation = at("planned")
    stranger = as_account(world.account("stranger", "operations_owner", ("staging", "*")))
    verbs = ("", "log", "confirm", "approve", "cancel", "stop", "retry", "settle")
    answers = [
        stranger.get(of(operation, verb)) if verb in ("", "log") else stranger.post(of(operation, verb))
        for verb in verbs
    ]
    assert {problem(answer)[0] for answer in answers} == {404}
    assert stranger.get(BASE).json()["results"] == []
    viewer = as_account(world.account("viewer", "viewer", ("production", "*")))
    assert problem(viewer.post(of(operation, "cancel"))) == (403, "You do not hold the right “operations.cancel” here.")


def test_nobody_gets_in_without_a_credential(at, api):
    assert problem(api.get(BASE))[0] == 401


def test_reloading_through_the_api_answers_with_the_operation(as_account, owner, monkeypatch):
    from operations import plan
    from tests.inventory.worlds import ReloadWorld

    simulated = ReloadWorld()
    monkeypatch.setitem(plan.registry, ("inventory.reload", 1), simulated.plan())
    component = simulated.subject()
    client = as_account(owner)
    address = f"/api/v1/components/{component.pk}/reload/"
    answer = client.post(address, {"reason": "leaks", "draft": True}, format="json")
    assert (answer.status_code, answer.json()["state"], answer.json()["kind"]) == (202, "planned", "inventory.reload")
    again = [client.post(address, {"key": "once"}, format="json").json()["id"] for _ in range(2)]
    assert again[0] == again[1]
