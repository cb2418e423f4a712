"""Signing in: password, then second factor; guesses slow down; nothing tells whether an account exists."""

from datetime import timedelta
from html import unescape

import pytest

from identity.middleware import METHODS, SECOND_FACTOR_AT
from identity.models import Account, FailedSignIns, Session
from portal import clock
from portal.models import Event
from tests import world
from tests.identity.door import PASSWORD, app_of, code, type_password

pytestmark = pytest.mark.django_db


def signed_in_as(client) -> str | None:
    return client.session.get("_auth_user_id")


def test_the_password_alone_signs_nobody_in_who_has_a_second_factor(client):
    owner = world.account("owner")
    app_of(owner)
    answer = type_password(client, "owner", next="/status/")
    assert (answer.status_code, answer["Location"]) == (303, "/sign-in/second-factor/?next=%2Fstatus%2F")
    assert signed_in_as(client) is None


def test_password_and_code_sign_in_and_count_as_a_fresh_second_factor(client):
    owner = world.account("owner")
    device = app_of(owner)
    type_password(client, "owner")
    before = client.session.session_key
    answer = client.post("/sign-in/second-factor/", {"code": code(device), "next": "/status/"})
    assert (answer.status_code, answer["Location"]) == (303, "/status/")
    assert signed_in_as(client) == str(owner.pk)
    assert client.session[METHODS] == ["pwd", "otp"]
    assert SECOND_FACTOR_AT in client.session
    assert client.session.session_key != before
    assert not Session.objects.filter(session_key=before).exists()
    assert Session.objects.get(session_key=client.session.session_key).account == owner
    event = Event.objects.get(verb="identity.sign_in")
    assert (event.actor, event.auth["methods"]) == (owner, ["pwd", "otp"])


def test_a_code_works_once(client):
    owner = world.account("owner")
    device = app_of(owner)
    shown = code(device)
    type_password(client, "owner")
    client.post("/sign-in/second-factor/", {"code": shown})
    client.post("/sign-out/")
    type_password(client, "owner")
    answer = client.post("/sign-in/second-factor/", {"code": shown})
    assert answer.status_code == 422
    assert signed_in_as(client) is None


def test_a_person_without_a_second_factor_is_led_to_add_one(client):
    world.account("newcomer")
    answer = type_password(client, "newcomer")
    assert answer["Location"].startswith("/profile/enrol/")
    assert client.session[METHODS] == ["pwd"]
    assert SECOND_FACTOR_AT not in client.session


def test_unknown_wrong_inactive_and_service_accounts_answer_alike(client):
    world.account("owner")
    off = world.account("gone")
    Account.objects.filter(pk=off.pk).update(is_active=False)
    world.account("robot", kind=Account.Kind.SERVICE)
    answers = [
        type_password(client, "owner", "wrong"),
        type_password(client, "nobody", "wrong"),
        type_password(client, "gone"),
        type_password(client, "robot"),
    ]
    texts = {
        text.replace(name, "")
        for answer, name in zip(answers, ("owner", "nobody", "gone", "robot"), strict=True)
        for text in [unescape(answer.content.decode()).split('role="alert">')[1].split("</p>")[0]]
    }
    assert [answer.status_code for answer in answers] == [422] * 4
    assert len(texts) == 1
    assert signed_in_as(client) is None


@pytest.mark.parametrize("name", ["owner", "nobody"])
def test_after_five_failures_even_the_right_password_waits_and_the_wait_ends(client, name):
    world.account("owner")
    for _ in range(5):
        type_password(client, name, "wrong")
    refused = type_password(client, name, PASSWORD)
    assert refused.status_code == 429
    assert "Too many attempts" in refused.content.decode()
    with clock.travel(timedelta(seconds=20)):
        assert type_password(client, name, PASSWORD).status_code == (303 if name == "owner" else 422)


def test_the_wait_doubles_and_is_forgotten_after_an_hour(client):
    world.account("owner")
    for _ in range(5):
        type_password(client, "owner", "wrong")
    first = FailedSignIns.objects.get(kind="name")
    with clock.travel(timedelta(seconds=20)):
        type_password(client, "owner", "wrong")
        second = FailedSignIns.objects.get(kind="name")
    assert (second.blocked_until - second.last_at) == 2 * (first.blocked_until - first.last_at)
    with clock.travel(timedelta(hours=2)):
        type_password(client, "owner", "wrong")
        assert FailedSignIns.objects.get(kind="name").failures == 1


def test_a_success_forgets_the_failures_of_the_name_but_not_of_the_address(client):
    world.account("owner")
    type_password(client, "owner", "wrong")
    type_password(client, "owner")
    assert list(FailedSignIns.objects.values_list("kind", "failures")) == [("address", 1)]


def test_many_names_from_one_address_are_slowed_down_too(client):
    for number in range(30):
        type_password(client, f"guess-{number}", "wrong")
    assert type_password(client, "another", "wrong").status_code == 429


def test_a_refusal_is_recorded_without_what_was_typed(client):
    owner = world.account("owner")
    type_password(client, "owner", "hunter2secret")
    type_password(client, "hunter2secret", "x")
    events = list(Event.objects.filter(verb="identity.refuse_sign_in").order_by("seq"))
    assert events[0].subject_id == str(owner.pk)
    assert [event.subject_label for event in events] == ["Owner", "failed sign-ins of one name"]
    assert "hunter2secret" not in str([vars(event) for event in events])


def test_the_password_stage_ends_after_five_minutes(client):
    device = app_of(world.account("owner"))
    type_password(client, "owner")
    with clock.travel(timedelta(minutes=6)):
        answer = client.post("/sign-in/second-factor/", {"code": code(device)})
    assert answer["Location"].startswith("/sign-in/?")
    assert signed_in_as(client) is None


def test_nobody_is_sent_to_another_site(client):
    world.account("owner")
    for there in ("https://evil.example/", "//evil.example/", "/\\evil.example", "javascript:alert(1)"):
        answer = client.get("/sign-in/", {"next": there})
        assert "evil" not in answer.content.decode()
        assert "javascript:" not in answer.content.decode()


def test_wrong_codes_slow_down_and_say_so(client):
    device = app_of(world.account("owner"))
    type_password(client, "owner")
    wrong = "000000" if code(device) != "000000" else "111111"
    assert client.post("/sign-in/second-factor/", {"code": wrong}).status_code == 422
    assert client.post("/sign-in/second-factor/", {"code": wrong}).status_code == 429
    assert client.post("/sign-in/second-factor/", {"code": "12345"}).status_code == 422


def test_a_form_without_fields_is_answered_with_the_form(client):
    assert client.post("/sign-in/", {}).status_code == 422


def test_signing_out_ends_the_session_on_the_server(client):
    owner = world.account("owner")
    type_password(client, "owner")
    key = client.session.session_key
    assert client.get("/sign-out/").status_code == 405
    assert client.post("/sign-out/")["Location"] == "/sign-in/"
    assert not Session.objects.filter(session_key=key).exists()
    assert Event.objects.get(verb="identity.sign_out").actor == owner
