"""What every request passes through: ids, origin, refusals, the policy of the page."""

import json

import pytest
from django.test import Client, RequestFactory
from django.urls import reverse

from portal import events
from portal.errors import Conflict, Denied, Refused, StepUpRequired
from portal.http import SameOriginMiddleware, go, refused
from tests import world

pytestmark = pytest.mark.django_db


@pytest.fixture
def reader(client: Client) -> Client:
    client.force_login(world.account("reader", "auditor", ("production", "*")))
    return client


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "http://testserver.evil.example"},
    ],
)
def test_what_another_site_sends_is_refused_before_any_view(headers, reader):
    reader.handler.enforce_csrf_checks = True
    answer = reader.post(reverse("event-list"), headers=headers)
    assert answer.status_code == 403
    assert "came from another site" in answer.content.decode()


@pytest.mark.parametrize(
    "headers", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}, {"Origin": "http://testserver"}]
)
def test_own_requests_and_clients_without_a_browser_pass(headers):
    request = RequestFactory().post("/", headers=headers)
    assert SameOriginMiddleware(lambda _: "reached")(request) == "reached"


def test_reading_from_another_site_is_let_through(reader):
    assert reader.get(reverse("event-list"), headers={"Sec-Fetch-Site": "cross-site"}).status_code == 200


def test_a_post_without_token_is_refused_in_our_own_page(reader):
    reader.handler.enforce_csrf_checks = True
    answer = reader.post(reverse("event-list"))
    assert answer.status_code == 403
    assert "This form is out of date" in answer.content.decode()


def test_every_answer_has_an_id_of_its_own(client):
    one, other = client.get(reverse("healthz")), client.get(reverse("healthz"))
    assert one["X-Request-ID"] != other["X-Request-ID"]
    assert events.context().request_id == ""


def test_pages_are_private_never_stored_and_bound_by_the_policy(client, reader):
    anonymous = Client().get(reverse("event-list"))
    assert anonymous.status_code == 302
    answer = reader.get(reverse("event-list"))
    policy = answer["Content-Security-Policy"]
    assert "script-src 'self'" in policy
    assert "unsafe" not in policy
    assert answer["Cache-Control"] == "no-store"


def test_the_error_pages_are_ours(reader):
    answer = reader.get("/nowhere/")
    assert answer.status_code == 404
    assert "There is nothing here that you may see." in answer.content.decode()


KEY = "01a216d7-686e-776d-957d-9f0145da611c"
ABOVE = {
    "/catalog/apply/": "/catalog/",
    f"/catalog/drafts/{KEY}/apply/": f"/catalog/drafts/{KEY}/",
    f"/views/{KEY}/remove/": f"/views/{KEY}/",
    "/estate/server/edit/": "/",
    "/views/save/": "/",
    "/watched/see/": "/watched/",
    "/search/visited/": "/search/",
    "/sign-out/": "/",
}


def test_the_address_of_a_form_leads_back_when_it_is_opened(reader):
    for path, back in ABOVE.items():
        answer = reader.get(path)
        assert (answer.status_code, answer["Allow"]) == (405, "POST"), path
        assert "it only takes what a form sends" in answer.text, path
        assert f'<a class="btn" href="{back}">' in answer.text, path
    sent = reader.post("/catalog/")
    assert (sent.status_code, sent["Allow"]) == (405, "GET")
    assert "it only shows something" in sent.text


def test_a_refusal_names_everything_that_is_missing_and_escapes_it(reader):
    request = RequestFactory().get("/")
    answer = refused(request, Conflict("Not yet.", ["No owner.", "<b>No</b> post-mortem."], {"note": ["Too short."]}))
    text = answer.content.decode()
    assert answer.status_code == 409
    assert all(part in text for part in ("Not yet.", "No owner.", "&lt;b&gt;No&lt;/b&gt; post-mortem.", "Too short."))


def test_a_refusal_to_htmx_is_told_as_a_message():
    request = RequestFactory().get("/")
    request.htmx = type("Htmx", (), {"target": "", "boosted": False})()
    answer = refused(request, Denied("You may not.", ["Ask “ops”."]))
    assert json.loads(answer["HX-Trigger"]) == {"refused": {"detail": "You may not. Ask “ops”."}}


def test_the_api_is_answered_with_a_problem_document():
    answer = refused(RequestFactory().get("/api/v1/x/"), Refused("No.", ["Why."]))
    assert answer["Content-Type"] == "application/problem+json"
    assert json.loads(answer.content) | {"request_id": ""} == {
        "title": "Refused", "status": 409, "detail": "No.", "problems": ["Why."], "request_id": "",
    }  # fmt: skip


def test_a_missing_second_factor_leads_to_the_step_up_and_back(reader, monkeypatch):
    monkeypatch.setattr("portal.http.reverse", lambda name: f"/{name}/")
    request = RequestFactory().post("/x/", headers={"Referer": "https://evil.example/incidents/7/close/?a=1"})
    request.user = world.account("reader")
    answer = refused(request, StepUpRequired("Again, please."))
    assert (answer.status_code, answer["Location"]) == (303, "/step-up/?next=%2Fincidents%2F7%2Fclose%2F%3Fa%3D1")


def test_after_a_verb_the_browser_goes_on():
    plain = RequestFactory().post("/")
    assert (go(plain, "/there/").status_code, go(plain, "/there/")["Location"]) == (303, "/there/")
    plain.htmx = object()
    assert go(plain, "/there/")["HX-Redirect"] == "/there/"


def test_the_trail_is_read_only_through_scopes(client, django_assert_max_num_queries):
    with_right = world.account("with-right", "auditor", ("production", "*"))
    here, elsewhere = world.component(), world.component("staging/us-central/api")
    for subject in (here, elsewhere):
        events.record("inventory.note", subject, by=events.SYSTEM)
    client.force_login(with_right)
    with django_assert_max_num_queries(6):
        text = client.get(reverse("event-list")).content.decode()
    assert "production/us-central/api" in text
    assert "staging/us-central/api" not in text
    client.force_login(world.account("without-right", "viewer"))
    assert "production/us-central/api" not in client.get(reverse("event-list")).content.decode()


def test_the_status_page_names_each_reconciler_and_how_late_it_is(reader, monkeypatch):
    from datetime import timedelta

    from portal import clock, views
    from portal.models import ReconcilerRun

    monkeypatch.setattr(views, "reconcilers", {"a.fine": 1.0, "b.late": 1.0, "c.never": 1.0})
    ReconcilerRun.objects.create(name="a.fine", succeeded_at=clock.now())
    ReconcilerRun.objects.create(name="b.late", succeeded_at=clock.now() - timedelta(minutes=5), error="boom")
    text = reader.get(reverse("status")).content.decode()
    assert [text.count(word) for word in (">On time<", ">Late<", ">Never ran<", "boom")] == [1, 1, 1, 1]


def test_health_and_readiness(client, monkeypatch):
    assert client.get(reverse("healthz")).json() == {"status": "ok"}
    assert client.get(reverse("readyz")).json() == {"status": "ready"}
    monkeypatch.setattr("portal.views._pending_migrations", lambda: 2)
    answer = client.get(reverse("readyz"))
    assert (answer.status_code, answer.json()["migrations"]) == (503, 2)
    assert b"python_info" in client.get(reverse("metrics")).content
