"""Badges, buttons, timelines, panels, navigation, instants: what the templates are made of."""

from datetime import timedelta
from types import SimpleNamespace

import pytest
from django.template import Context, Template
from django.test import RequestFactory

from portal import clock, events, ui
from portal.lifecycle import State, Tone
from portal.templatetags import ui as tags
from portal.ui import cells, navigation
from portal.ui import panels as panel_registry
from portal.ui.icons import icon
from portal.ui.timeline import past
from tests import world
from tests.portal.test_ui_act import DOOR, Door


def render(source: str, **context) -> str:
    return Template(source).render(Context(context))


def reading(account, path: str = "/", **query: str):
    request = RequestFactory().get(path, query)
    request.user = account
    return request


def test_a_badge_is_tone_and_word_and_escapes():
    state = State("x", "<Odd>", Tone.BAD, 'It "is"')
    assert render("{% badge state %}", state=state) == (
        '<span class="tone tone-bad" title="It &quot;is&quot;">&lt;Odd&gt;</span>'
    )
    assert render("{% badge label %}", label=ui.Label("Late", Tone.WARN)) == '<span class="tone tone-warn">Late</span>'
    assert render("{% badge nothing tone='muted' %}", nothing=None) == '<span class="tone tone-muted">Unknown</span>'


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(2, "just now"), (59, "59 s ago"), (61, "1 min ago"), (7300, "2 h ago"), (200000, "2 d ago"), (-95, "in 1 min")],
)
def test_how_long_ago(seconds, words, monkeypatch):
    now = clock.now()
    monkeypatch.setattr(cells.clock, "now", lambda: now)
    assert cells.ago(now - timedelta(seconds=seconds)) == words


def test_an_instant_gives_the_exact_time_with_its_zone():
    text = render("{% instant at %}|{% instant none %}", at=clock.now().replace(year=2020), none=None)
    assert text.endswith("|—")
    assert 'title="2020-' in text
    assert "UTC" in text


def test_a_sparkline_keeps_gaps_as_gaps():
    text = render("{% sparkline values label='Latency' %}", values=[1, 2, None, 3])
    assert text.count("<polyline") == 2
    assert "no readings" in render("{% sparkline values %}", values=[None, None])
    assert "22.0" not in render("{% sparkline values %}", values=[5, 5])


def test_progress_without_a_total_is_indeterminate():
    assert 'value="2" max="4"' in render("{% progress 2 4 'steps' %}")
    assert "value=" not in render("{% progress None None 'waiting' %}")


def test_an_icon_that_is_not_there_leaves_its_place_and_never_breaks_the_page():
    assert "<path" in icon("search")
    assert 'data-missing="../../secret"' in icon("../../secret")


@pytest.mark.django_db
def test_buttons_cost_one_query_and_say_why_not(monkeypatch, django_assert_num_queries):
    porter = world.account("porter", "viewer")
    monkeypatch.setattr(tags, "reverse", lambda name, args: f"/{name}/{args[0]}/")
    door, request = Door(), reading(porter)
    with django_assert_num_queries(1):
        text = render("{% actions door %}", door=door, request=request)
    assert 'href="/door-shut/7/"' in text
    assert "Needs the right “inventory.break” here." in text
    assert 'href="/door-break/7/"' not in text
    assert porter.has_perm("inventory.break", door) is False


def test_a_verb_of_no_lifecycle_is_told_in_the_past():
    verbs = ("change_health", "apply_catalog", "sign_in", "write_post_mortem")
    assert [past(verb) for verb in verbs] == ["changed health", "applied catalog", "signed in", "wrote post mortem"]


@pytest.mark.django_db
def test_the_timeline_words_events_newest_first_in_one_query(django_assert_num_queries, monkeypatch):
    here, actor = world.component(), world.account("porter", "viewer")
    monkeypatch.setattr(type(here), "lifecycle", DOOR, raising=False)
    events.record("tests.shut", here, by=actor, reason="<wind>", before={"a": 1}, after={"a": 2})
    events.record("tests.paint_blue", here, by=events.SYSTEM)
    with django_assert_num_queries(1):
        found = ui.timeline(here, actor)
    assert [(entry.past, entry.tone, entry.own) for entry in found.entries] == [
        ("painted blue", Tone.NEUTRAL, False),
        ("shut", Tone.GOOD, True),
    ]
    assert found.entries[1].changes == [("a", 1, 2)]
    text = render("{% timeline it %}", it=here, request=reading(actor, timeline="x"))
    assert "&lt;wind&gt;" in text
    assert "(you)" in text


@pytest.mark.django_db
def test_a_long_timeline_is_paged():
    here = world.component()
    for number in range(51):
        events.record("tests.note", here, by=events.SYSTEM, reason=str(number))
    first, second = ui.timeline(here), ui.timeline(here, page=2)
    assert (len(first.entries), first.more, len(second.entries), second.more) == (50, True, 1, False)


def test_panels_come_in_order_and_may_stay_away(monkeypatch):
    monkeypatch.setattr(panel_registry, "_registry", type(panel_registry._registry)(dict))
    body = "components/empty.html"

    @ui.panel("place", order=20)
    def later(request, obj):
        return ui.Panel("Later", body, {"text": f"about {obj}", "icon": "inbox"})

    @ui.panel("place", order=10)
    def sooner(request, obj):
        return ui.Panel("Sooner", body, {"text": "words", "icon": "inbox"}, slug="sooner", href="/all/")

    @ui.panel("place", order=1)
    def silent(request, obj):
        return None

    text = render("{% panels 'place' 'it' %}", request=RequestFactory().get("/"))
    assert text.index("Sooner") < text.index("Later")
    assert "about it" in text
    assert 'id="sooner"' in text


@pytest.fixture
def places(monkeypatch):
    monkeypatch.setattr(navigation, "entries", {})
    ui.nav("Events", "event-list", order=20, action="portal.view_events")
    ui.nav("Everything", "status", order=10)
    ui.nav("Nowhere", "no-such-place", order=30)


@pytest.mark.django_db
def test_navigation_shows_what_may_be_opened_and_marks_where_one_is(places, django_assert_num_queries):
    auditor, viewer = world.account("auditor", "auditor", ("production", "api")), world.account("viewer", "viewer")
    request = reading(auditor, "/events/")
    with django_assert_num_queries(1):
        shell = ui.shell(request)["shell"]
        shown = [(place["label"], place["current"], place["key"]) for place in shell["places"]]
        assert str(shell["account"]) == "Auditor"
    assert shown == [("Everything", False, "v"), ("Events", True, "e")]
    assert [place["label"] for place in ui.shell(reading(viewer))["shell"]["places"]] == ["Everything"]


def test_navigation_needs_no_account():
    assert "places" not in ui.shell(RequestFactory().get("/"))["shell"]


def test_a_live_element_names_its_topics_and_where_it_comes_from():
    thing = SimpleNamespace(_meta=SimpleNamespace(label_lower="incidents.incident"), pk=7)
    request = RequestFactory().get("/incidents/7/", {"a": '"'})
    text = render("<p {% live 'head' thing 'operations.operation' %}>", thing=thing, request=request)
    assert 'id="head" data-live="incidents.incident:7 operations.operation"' in text
    assert 'hx-get="/incidents/7/?a=%22"' in text
    assert 'hx-trigger="live consume"' in text
    assert 'hx-trigger="live consume, every 5s"' in render("<p {% live 'head' 'a' every=5 %}>", request=request)


def test_the_api_page_lists_methods_fields_and_answers():
    schema = {"type": "object", "required": ["note"], "properties": {
        "note": {"type": "string"}, "severity": {"$ref": "#/components/schemas/Severity"}}}  # fmt: skip
    spec = {
        "paths": {"/api/v1/incidents/{id}/close/": {"post": {
            "operationId": "close", "summary": "Close.", "responses": {"409": {}, "200": {}},
            "parameters": [{"name": "id", "in": "path", "required": True, "schema": {"type": "string"}}],
            "requestBody": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Close"}}}},
        }}},
        "components": {"schemas": {"Close": schema, "Severity": {"enum": ["sev1", "sev2"]}}},
    }  # fmt: skip
    (group,) = ui.api_operations(spec)
    (operation,) = group["operations"]
    assert (group["tag"], operation["method"], operation["answers"]) == ("incidents", "POST", ["200", "409"])
    assert operation["fields"] == [
        {"name": "note", "type": "string", "required": True},
        {"name": "severity", "type": "sev1 | sev2", "required": False},
    ]
