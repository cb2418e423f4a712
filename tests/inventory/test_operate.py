"""Acting on a component with any plan that fits: the offer, the form made of the plan's schema, the draft, the API."""

from __future__ import annotations

import json
from types import SimpleNamespace
from typing import Annotated, Any, Literal

import pytest
from django.urls import reverse
from msgspec import Meta

from drivers.acts import Act, Condition, Parameters, Risk
from drivers.base import Driver
from drivers.errors import InvalidInput, TransientError
from inventory.plans import DriverPlan, connect
from operations import plan
from operations.models import Operation
from operations.schema_form import PlanForm
from tests import world
from tests.operations.worlds import drive

pytestmark = pytest.mark.django_db
PLANS, FORM = 5, 6
API_PLANS = 3
KIND, RISKY = "knob.turn", "knob.smash"


class Everything(Parameters):
    """One parameter of each kind that a form can ask for."""

    name: Annotated[str, Meta(title="Name", description="As it is called.", pattern="^[a-z]+$", max_length=8)]
    level: Annotated[int, Meta(title="Level", ge=1, le=9)]
    mode: Annotated[Literal["fast", "safe"], Meta(title="Mode")]
    ratio: Annotated[float, Meta(title="Ratio", ge=0, le=1)] = 0.5
    size: Annotated[Literal[1, 2, 3], Meta(title="Size")] = 2
    loud: Annotated[bool, Meta(title="Loud")] = False
    tags: Annotated[list[Annotated[str, Meta(max_length=5)]], Meta(title="Tags", max_length=3)] = []
    text: Annotated[str, Meta(title="Text", max_length=200, extra_json_schema={"format": "text"})] = ""
    seconds: Annotated[int, Meta(title="Seconds", ge=0)] | None = None


class Knob(Driver):
    kind = "knob"
    simulated = "It is made up."


class Turn(Act[Knob, Everything]):
    name, title, risk = "turn", "Turn {name} to {level}", Risk.MEDIUM
    summary = "The knob turns."
    Parameters = Everything
    undo_title = "Turn it back"

    def __init__(self) -> None:
        self.world: dict[str, Any] = {"level": 0}
        self.away = self.held = False

    def check(self, params: Everything) -> None:
        if params.name == "root":
            raise InvalidInput("root is not turned by anybody")

    def conditions(self, driver: Knob, params: Everything) -> list[Condition]:
        if self.away:
            raise TransientError("nobody answers")
        return [Condition("The knob is free", not self.held, "somebody holds it" if self.held else "nobody holds it")]

    def before(self, driver: Knob, params: Everything) -> dict[str, Any]:
        return dict(self.world)

    def sends(self, driver: Knob, params: Everything, before: Any) -> list[str]:
        return [f"TURN {params.name} {params.level}", f"MODE {params.mode} <{params.size}>"]

    def done(self, driver: Knob, params: Everything, before: Any) -> bool:
        return bool(self.world["level"] == params.level)

    def do(self, driver: Knob, params: Everything, before: Any, call: Any) -> dict[str, Any]:
        self.world["level"] = params.level
        return {"level": params.level}

    def undo(self, driver: Knob, params: Everything, before: Any, call: Any) -> dict[str, Any]:
        self.world["level"] = before["level"]
        return {}


class Smash(Turn):
    name, title, risk = "smash", "Smash {name}", Risk.HIGH


class KnobPlan(DriverPlan):
    """It fits what has a connection; where that leads is not looked up."""

    def fits(self, subject: Any) -> bool:
        return bool(getattr(subject, "connection", ""))

    def target(self, subject: Any) -> str:
        return str(subject.slug)


@pytest.fixture
def turn(monkeypatch) -> Turn:
    it = Turn()
    for act in (it, Smash()):
        made = KnobPlan(Knob, act, driver=lambda key: Knob({}, None))
        monkeypatch.setitem(plan.registry, (made.kind, 1), made)
    return it


@pytest.fixture
def component(turn):
    return world.component()


@pytest.fixture
def owner(component):
    return world.account("owner", "operations_owner", ("production", "*"))


@pytest.fixture
def browser(client, owner):
    client.force_login(owner)
    return client


def offer(component) -> str:
    return reverse("component-plans", args=[component.slug])


def form(component, kind: str = KIND) -> str:
    return reverse("component-operate", args=[component.slug, kind])


def typed(**changed: Any) -> dict[str, Any]:
    given = {"param_name": "volume", "param_level": "3", "param_mode": "safe", "param_size": "2", "param_ratio": "0.5"}
    return given | {"priority": "5", "on_failure": "undo", "draft": "on", "reason": "too quiet"} | changed


def planned() -> Operation:
    return Operation.objects.get()


def beside(page: str, name: str) -> str:
    """What stands between one field and the next."""
    return page.partition(f'name="{name}"')[2].partition('class="field"')[0]


# -- the offer


@pytest.mark.parametrize("many", [1, 3])
def test_the_offer_costs_the_same_however_many_plans_fit(
    monkeypatch, component, browser, django_assert_num_queries, many
):
    for number in range(many):
        made = KnobPlan(Knob, Turn(), driver=lambda key: Knob({}, None))
        made.kind = f"knob.turn-{number}"
        monkeypatch.setitem(plan.registry, (made.kind, 1), made)
    with django_assert_num_queries(PLANS):
        page = browser.get(offer(component)).content.decode()
    assert [form(component, f"knob.turn-{number}") in page for number in range(many)] == [True] * many


def test_the_offer_says_what_each_does_and_how_risky_it_is(component, browser):
    page = browser.get(offer(component)).content.decode()
    assert [words in page for words in ("Turn … to …", "The knob turns.", "Medium risk", "High risk")] == [True] * 4
    assert 'data-environment="production"' in page


def test_what_the_reader_may_not_do_is_shown_with_the_right_it_needs(component, client):
    client.force_login(world.account("on-call", "on_call"))
    page = client.get(offer(component)).content.decode()
    assert (form(component) in page, form(component, RISKY) in page) == (True, False)
    assert "Needs the right “inventory.operate_risky” here." in page
    assert client.get(form(component, RISKY)).status_code == 403
    assert client.post(form(component, RISKY), typed()).status_code == 403
    assert Operation.objects.count() == 0


@pytest.mark.parametrize(
    ("facts", "says"), [({"connection": ""}, "names no connection"), ({"kind": "cache"}, "not in the connections file")]
)
def test_a_component_that_nothing_fits_says_why(monkeypatch, db, client, facts, says):
    client.force_login(world.account("owner", "operations_owner"))
    page = client.get(offer(world.component("production/us-central/play", **facts))).content.decode()
    assert says in page


def test_the_component_leads_to_the_offer_and_so_does_its_service(component, browser):
    for page in (component, component.service):
        assert f'href="{offer(component)}"' in browser.get(page.get_absolute_url()).content.decode()


# -- the form


@pytest.mark.parametrize("many", [1, 3])
def test_the_form_costs_the_same_however_many_plans_fit(
    monkeypatch, component, browser, django_assert_num_queries, many
):
    for number in range(many):
        made = KnobPlan(Knob, Turn(), driver=lambda key: Knob({}, None))
        made.kind = f"knob.turn-{number}"
        monkeypatch.setitem(plan.registry, (made.kind, 1), made)
    with django_assert_num_queries(FORM):
        page = browser.get(form(component)).content.decode()
    assert 'name="param_level"' in page


def test_every_kind_of_parameter_has_its_field(component, browser):
    page = browser.get(form(component)).content.decode()
    for fragment in (
        *('type="text" name="param_name" maxlength="8"', 'type="number" name="param_level" min="1" max="9"'),
        *('type="number" name="param_ratio" value="0.5" min="0" max="1" step="any"', '<select name="param_mode"'),
        *('<option value="2" selected>2</option>', 'type="checkbox" name="param_loud"', '<textarea name="param_tags"'),
        *('<textarea name="param_text"', 'type="number" name="param_seconds" min="0"', "As it is called."),
        "One on each line.",
    ):
        assert fragment in page, fragment
    assert ("Medium risk" in page, "Turn it back" in page, "It is made up." in page) == (True, True, True)
    assert reverse("schedule-create", args=[f"inventory.component:{component.pk}", KIND]) in page


def test_everything_that_is_typed_arrives_as_what_the_schema_means(component, browser):
    more = {"param_size": "3", "param_loud": "on", "param_tags": " a \r\n\r\nb ", "param_text": " x\r\ny\r\n"}
    answer = browser.post(form(component), typed(**more, param_ratio="0.25", param_seconds="0"))
    operation = planned()
    assert (answer.status_code, answer["Location"]) == (303, operation.get_absolute_url())
    expected = {"name": "volume", "level": 3, "mode": "safe", "ratio": 0.25, "size": 3, "loud": True}
    assert operation.params == expected | {"tags": ["a", "b"], "text": " x\ny\n", "seconds": 0}


def test_what_is_left_empty_is_left_out_so_that_defaults_hold(component, browser):
    assert browser.post(form(component), typed(param_ratio="", param_tags="", param_text="")).status_code == 303
    assert planned().params == {"name": "volume", "level": 3, "mode": "safe", "size": 2, "loud": False}


def test_how_it_is_to_run_is_asked_too(component, browser):
    how = {"priority": "9", "on_failure": "halt", "in_window": "on", "draft": ""}
    assert browser.post(form(component), typed(**how)).status_code == 303
    it = planned()
    assert (it.state, it.priority, it.on_failure, it.in_window, it.reason) == ("queued", 9, "halt", True, "too quiet")


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("param_name", "", "This field is required."),
        ("param_name", "Not Lower", "It has to match ^[a-z]+$"),
        ("param_name", "a" * 9, "at most 8 characters"),
        ("param_name", "a\x00", "Null characters are not allowed."),
        ("param_name", "'; drop table x; --", "at most 8 characters"),
        ("param_name", "a\nb", "It has to match"),
        ("param_name", "\u202ea", "It has to match"),
        ("param_level", "ten", "Enter a whole number."),
        ("param_level", "10", "less than or equal to 9"),
        ("param_level", "1e400", "Enter a whole number."),
        ("param_level", "9" * 5000, "whole number"),
        ("param_ratio", "nan", "Enter a number."),
        ("param_ratio", "inf", "Enter a number."),
        ("param_mode", "reckless", "not one of the available choices"),
        ("param_size", "4", "not one of the available choices"),
        ("param_tags", "a\nb\nc\nd", "is too long"),
        ("param_tags", "longer", "is too long"),
        ("param_text", "x" * 201, "at most 200 characters"),
        ("param_seconds", "-1", "greater than or equal to 0"),
        ("priority", "7", "not one of the available choices"),
        ("on_failure", "explode", "not one of the available choices"),
        ("reason", "x" * 1001, "at most 1000 characters"),
    ],
)
def test_what_is_wrong_stands_beside_its_field_and_nothing_is_planned(component, browser, name, value, says):
    answer = browser.post(form(component), typed(**{name: value}))
    assert answer.status_code == 422
    assert says in beside(answer.content.decode(), name)
    assert Operation.objects.count() == 0


@pytest.mark.parametrize("value", ["<script>alert(1)</script>", '" onfocus="x', "{{7*7}}", "%s%n", "../../etc/passwd"])
def test_what_was_typed_comes_back_as_text(component, browser, value):
    page = browser.post(form(component), typed(param_name=value)).content.decode()
    assert ("<script>alert" in page, '" onfocus="x' in page, ">49<" in page) == (False, False, False)


def test_what_only_the_act_can_refuse_is_said_above(component, browser):
    answer = browser.post(form(component), typed(param_name="root"))
    assert (answer.status_code, "root is not turned by anybody" in answer.content.decode()) == (422, True)


def test_a_secret_among_the_parameters_is_refused_and_not_kept(component, browser, as_account, owner):
    given = typed(param_text="password=hunter2")
    answer = browser.post(form(component), given)
    assert (answer.status_code, "looks like a secret" in answer.content.decode()) == (422, True)
    params = {"name": "volume", "level": 3, "mode": "safe", "text": "Authorization: Bearer abcdefgh12345678"}
    told = as_account(owner).post(rest(component), {"plan": KIND, "params": params}, format="json")
    assert (told.status_code, "looks like a secret" in told.json()["detail"]) == (422, True)
    assert Operation.objects.count() == 0


@pytest.mark.parametrize(
    ("trouble", "says"),
    [("away", "cannot be looked at now: nobody answers"), ("held", "The knob is free (somebody holds it)")],
)
def test_what_cannot_be_done_now_is_said_and_nothing_is_planned(turn, component, browser, trouble, says):
    setattr(turn, trouble, True)
    answer = browser.post(form(component), typed())
    assert (answer.status_code, says in answer.content.decode()) == (409, True)
    assert Operation.objects.count() == 0


def test_what_is_so_already_is_not_planned(turn, component, browser):
    turn.world["level"] = 3
    answer = browser.post(form(component), typed())
    assert (answer.status_code, "there is nothing to do" in answer.content.decode()) == (409, True)


@pytest.mark.parametrize("kind", ["nginx.reload", "no.such", "deployments.direct", "x" * 200, "knob"])
def test_a_plan_that_does_not_fit_has_no_form(component, browser, kind):
    assert browser.get(form(component, kind)).status_code == 404
    assert browser.post(form(component, kind), typed()).status_code == 404


def test_a_component_of_others_is_not_there(component, client, as_account):
    world.scope("staging")
    stranger = world.account("stranger", "operations_owner", ("staging", "*"))
    client.force_login(stranger)
    assert {client.get(path).status_code for path in (offer(component), form(component))} == {404}
    assert client.post(form(component), typed()).status_code == 404
    machine = as_account(stranger)
    assert machine.get(rest(component, "plans")).status_code == 404
    assert machine.post(rest(component), {"plan": KIND}, format="json").status_code == 404


# -- the draft


def test_the_draft_shows_what_is_sent_what_holds_and_what_is_there_before(component, browser):
    browser.post(form(component), typed())
    page = browser.get(planned().get_absolute_url()).content.decode()
    assert "TURN volume 3\nMODE safe &lt;2&gt;\n" in page
    assert "The knob is free" in page
    assert "What is there before" in page
    assert "<dt>level</dt><dd><code>0</code>" in page
    assert ("To undo: Turn it back" in page, "too quiet" in page, "Run it" in page) == (True, True, True)


def test_confirming_carries_it_out(turn, component, browser):
    browser.post(form(component), typed())
    assert browser.post(reverse("operation-confirm", args=[planned().number])).status_code == 303
    assert (drive(planned()).state, turn.world) == ("done", {"level": 3})


def test_what_is_risky_in_production_needs_somebody_else(component, browser):
    browser.post(form(component, RISKY), typed(draft=""))
    assert (planned().state, planned().approvals_needed) == ("awaiting_approval", 1)


def test_what_it_is_because_of_is_kept_on_the_way(component, browser):
    cause = world.component("production/us-central/play")
    query = f"?cause=inventory.component:{cause.pk}"
    assert (
        f"{form(component)}?cause=inventory.component%3A{cause.pk}"
        in browser.get(offer(component) + query).content.decode()
    )
    page = browser.get(form(component) + query).content.decode()
    assert f'href="{cause.get_absolute_url()}"' in page
    browser.post(form(component) + query, typed())
    assert (planned().cause_type, planned().cause_id) == ("inventory.component", str(cause.pk))


@pytest.mark.parametrize("cause", ["x", "inventory.component:x", "identity.account:1", '"><script>', "a.b:\x00"])
def test_a_cause_that_is_none_is_left_out(component, browser, cause):
    page = browser.get(form(component), {"cause": cause})
    assert (page.status_code, "Because of" in page.content.decode()) == (200, False)
    shown = browser.get(offer(component), {"cause": cause})
    assert (shown.status_code, "<script>" in shown.content.decode().partition("<main")[2]) == (200, False)


# -- REST


def rest(component, verb: str = "operate") -> str:
    return f"/api/v1/components/{component.pk}/{verb}/"


def test_the_api_offers_what_the_screen_offers(component, as_account, owner, django_assert_num_queries):
    client = as_account(owner)
    client.get(rest(component, "plans"))
    with django_assert_num_queries(API_PLANS):
        found = client.get(rest(component, "plans")).json()
    offered = [("inventory.reload", "low"), (RISKY, "high"), (KIND, "medium")]
    assert [(each["kind"], each["risk"]) for each in found] == offered
    shape = found[-1]["params_schema"]["properties"]["level"]
    assert (shape["minimum"], shape["maximum"], shape["title"]) == (1, 9, "Level")


def test_the_api_plans_exactly_what_the_screen_plans(component, browser, as_account, owner):
    browser.post(form(component), typed(param_ratio=""))
    params = {"name": "volume", "level": 3, "mode": "safe", "size": 2, "loud": False}
    given = {"plan": KIND, "params": params, "reason": "too quiet", "draft": True}
    told = as_account(owner).post(rest(component), given, format="json")
    assert told.status_code == 202
    screen, machine = Operation.objects.order_by("number")
    assert (screen.params, screen.plan_digest, screen.title) == (machine.params, machine.plan_digest, machine.title)
    shown = told.json()
    assert (shown["state"], shown["steps"][0]["sends"]) == ("planned", ["TURN volume 3", "MODE safe <2>"])
    assert shown["steps"][0]["conditions"] == ["The knob is free"]
    assert shown["steps"][0]["arguments"]["before"] == {"level": 0}


def test_the_api_takes_a_key_a_priority_and_a_cause(component, as_account, owner):
    client, cause = as_account(owner), world.component("production/us-central/play")
    given = {"plan": KIND, "params": {"name": "a", "level": 1, "mode": "fast"}, "key": "once", "priority": 0}
    given |= {"on_failure": "halt", "cause": f"inventory.component:{cause.pk}"}
    first, second = (client.post(rest(component), given, format="json").json() for _ in range(2))
    assert (first["id"], first["priority"], first["cause_id"]) == (second["id"], 0, str(cause.pk))
    refused = client.post(rest(component), given | {"key": "other", "cause": "x:y"}, format="json")
    assert (refused.status_code, list(refused.json()["fields"])) == (422, ["cause"])


@pytest.mark.parametrize(
    ("changed", "status", "fields"),
    [
        ({"plan": "no.such"}, 422, ["plan"]),
        ({"plan": "nginx.reload"}, 422, ["plan"]),
        ({"plan": "deployments.direct"}, 422, ["plan"]),
        ({"plan": ""}, 400, ["plan"]),
        ({"params": {"name": "a", "level": 99, "mode": "x"}}, 422, ["level", "mode"]),
        ({"params": {"name": "a", "level": 1, "mode": "fast", "colour": "red"}}, 422, ["params"]),
        ({"params": {"name": "a", "level": "1", "mode": "fast"}}, 422, ["level"]),
        ({"params": {"name": "a", "level": 1, "mode": "fast", "tags": ["a", 7]}}, 422, ["tags.1"]),
        ({"params": "text"}, 400, ["params"]),
        ({"priority": 3}, 400, ["priority"]),
        ({"colour": "red"}, 400, ["colour"]),
    ],
)
def test_the_api_names_everything_that_is_wrong(component, as_account, owner, changed, status, fields):
    given = {"plan": KIND, "params": {"name": "a", "level": 1, "mode": "fast"}} | changed
    answer = as_account(owner).post(rest(component), given, format="json")
    assert (answer.status_code, sorted(answer.json()["fields"])) == (status, fields)
    assert Operation.objects.count() == 0


def test_the_api_refuses_whoever_may_not(component, as_account):
    given = {"plan": RISKY, "params": {"name": "a", "level": 1, "mode": "fast"}}
    answer = as_account(world.account("on-call", "on_call")).post(rest(component), given, format="json")
    assert (answer.status_code, "inventory.operate_risky" in answer.json()["detail"]) == (403, True)


# -- every schema there is


def test_every_registered_plan_has_a_form_that_its_own_schema_accepts():
    """A parameter that no field can express would make a plan that only machines can ask for."""
    for known in plan.newest():
        made = PlanForm(schema=known.params_schema)
        for name, shape in known.params_schema.get("properties", {}).items():
            wanted = next((one for one in shape.get("anyOf", ()) if one.get("type") != "null"), shape)
            kinds = {"integer": "IntegerField", "number": "FloatField", "boolean": "BooleanField", "array": "Lines"}
            found = type(made.fields[f"param_{name}"]).__name__
            lines = "Text" if wanted.get("format") == "text" else "CharField"
            expected = "TypedChoiceField" if "enum" in wanted else kinds.get(wanted["type"], lines)
            assert found == expected, f"{known.kind}.{name}: {json.dumps(shape)}"


def test_only_named_peers_are_changed_together(tmp_path, settings):
    file = tmp_path / "connections.json"
    database = {"driver": "mariadb", "host": "10.0.0.1", "user": "portal", "password": "env:PASSWORD"}
    edge = {"driver": "nginx", "prefix": "/edge", "binary": "/nginx", "url": "http://127.0.0.1:1", "access_log": "/log"}
    known = {
        "one": {**database, "port": 1, "peers": ["10.0.0.1:2"]},
        "two": {**database, "port": 2},  # named by the other alone
        "other": {**database, "port": 3},
        "edge-a": edge,
        "edge-b": edge,
    }
    file.write_text(json.dumps({"version": 1, "connections": known}))
    settings.CONNECTIONS_FILE = file
    assert [connect.cluster(key) for key in known] == [
        ["one", "two"],
        ["one", "two"],
        ["other"],
        ["edge-a"],
        ["edge-b"],
    ]
    targets = [connect.changed_together(SimpleNamespace(connection=key, slug=f"slug of {key}")) for key in known]
    assert targets == ["the cluster of one"] * 2 + ["slug of other", "slug of edge-a", "slug of edge-b"]
