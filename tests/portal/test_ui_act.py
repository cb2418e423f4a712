"""The page of one verb: asks, refuses with everything that is missing, keeps what was typed."""

from types import SimpleNamespace

import pytest
from django import forms
from django.contrib.messages.storage.base import BaseStorage
from django.test import RequestFactory

from inventory.models import Component
from portal import lifecycle, ui
from portal.errors import Conflict, Denied, StepUpRequired
from portal.lifecycle import Lifecycle, State, Tone, Transition
from tests import world

pytestmark = pytest.mark.django_db

DOOR = Lifecycle(
    "tests.door",
    (State("open", "Open", Tone.WARN, "Anybody can pass."), State("shut", "Shut", Tone.GOOD, "Nobody can pass.")),
    (
        Transition("make", (), "open", "inventory.view", "Make", "made"),
        Transition("shut", ("open",), "shut", "inventory.view", "Shut", "shut"),
        Transition("open", ("shut",), "open", "inventory.view", "Open", "opened"),
        Transition("break", ("open",), "shut", "inventory.break", "Break", "broken", tone=Tone.BAD),
    ),
)
lifecycle.registry.pop("tests.door")


class Door:
    """As much of a noun as the page of a verb looks at."""

    lifecycle = DOOR
    _meta = Component._meta
    row_version = 3

    def __init__(self, state: str = "open") -> None:
        self.state, self.scope_id, self.pk, self.against = state, world.scope().pk, "7", ""

    @property
    def state_info(self) -> State:
        return DOOR.state(self.state)

    def reason_against(self, transition, actor) -> str:
        return self.against

    def refresh_from_db(self) -> None:
        self.row_version = 4

    def get_absolute_url(self) -> str:
        return "/doors/7/"

    def __str__(self) -> str:
        return "Front door"


class Note(forms.Form):
    note = forms.CharField(min_length=3)


class Messages(BaseStorage):
    def _get(self):
        return [], True

    def _store(self, messages, response):
        return []


def ask(account=None, **post: str):
    request = RequestFactory().post("/doors/7/shut/", post) if post else RequestFactory().get("/doors/7/shut/")
    request.user = account or world.account("porter", "viewer")
    request.session, request._messages = {}, Messages(request)
    return request


def shut(door, *, by, note=""):
    door.state, door.note = "shut", note
    return door


def test_the_page_says_what_will_be_and_asks():
    text = ui.act(ask(), Door(), "shut", shut, Note).content.decode()
    assert "Nobody can pass." in text
    assert 'name="expected_version" value="3"' in text
    assert 'name="note"' in text
    assert '<form method="post"' in text


def test_a_good_answer_does_it_and_goes_there():
    door, request = Door(), ask(note="for the night", expected_version="3")
    answer = ui.act(request, door, "shut", shut, Note)
    assert (answer.status_code, answer["Location"]) == (303, "/doors/7/")
    assert (door.state, door.note) == ("shut", "for the night")
    assert [str(message) for message in request._messages._queued_messages] == ["Front door: shut."]


def test_bad_input_shows_the_form_again_with_what_was_typed():
    door = Door()
    answer = ui.act(ask(note="ab"), door, "shut", shut, Note)
    assert answer.status_code == 422
    assert 'value="ab"' in answer.content.decode()
    assert door.state == "open"


def test_a_refusal_shows_every_problem_and_keeps_the_input():
    def refuse(door, *, by, note):
        raise Conflict("Not now.", ["Somebody stands in it.", "It rains."], {"note": ["Say who."]})

    answer = ui.act(ask(note="because"), Door(), "shut", refuse, Note)
    text = answer.content.decode()
    assert answer.status_code == 409
    assert all(
        part in text for part in ("Not now.", "Somebody stands in it.", "It rains.", "Say who.", 'value="because"')
    )
    assert 'name="expected_version" value="4"' in text


@pytest.mark.parametrize(("version", "status"), [("2", 409), ("x", 422), ("-1", 422)])
def test_a_decision_on_an_outdated_view_is_refused(version, status):
    door = Door()
    assert ui.act(ask(note="late", expected_version=version), door, "shut", shut, Note).status_code == status
    assert door.state == "open"


def test_a_move_of_another_state_is_shown_as_impossible():
    answer = ui.act(ask(), Door("shut"), "shut", shut, Note)
    assert answer.status_code == 409
    assert "Not possible while shut." in answer.content.decode()
    assert "disabled" in answer.content.decode()


def test_the_models_own_reason_is_shown():
    door = Door()
    door.against = "The hinge is off."
    assert "The hinge is off." in ui.act(ask(), door, "shut", shut, Note).content.decode()


@pytest.mark.parametrize("post", [{}, {"note": "anyway"}])
def test_who_does_not_hold_the_right_sees_no_form(post):
    with pytest.raises(Denied):
        ui.act(ask(world.account("stranger"), **post), Door(), "shut", shut, Note)


def test_a_second_factor_is_asked_for_and_the_input_comes_back():
    def strict(door, *, by, note):
        raise StepUpRequired("A fresh second factor, please.")

    request = ask(note="typed before", csrfmiddlewaretoken="secret")
    with pytest.raises(StepUpRequired):
        ui.act(request, Door(), "shut", strict, Note)
    back = ask(request.user)
    back.session = request.session
    assert "secret" not in str(request.session)
    assert 'value="typed before"' in ui.act(back, Door(), "shut", strict, Note).content.decode()
    assert back.session == {}


def test_a_verb_without_a_state_of_its_own_has_a_page_too():
    def reload(component, *, by):
        return SimpleNamespace(get_absolute_url=lambda: "/operations/1/")

    move = Transition("reload", (), "", "inventory.view", "Reload", "reload requested")
    request = ask(confirm="yes")
    answer = ui.act(request, world.component(), move, reload)
    assert answer["Location"] == "/operations/1/"
