"""Calling people: who, when, in which order, and that nothing is lost."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import threading
import time
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from django.core import mail

from incidents import actions, reconcile
from incidents.actions import paging
from incidents.models import Escalation, EscalationPolicy, Incident, Notification, WebhookEndpoint
from incidents.reconcile import senders
from portal import clock
from portal.models import Event
from tests import world
from tests.incidents import states
from tests.incidents.conftest import alert, payload

pytestmark = pytest.mark.django_db


@pytest.fixture
def receiver():
    """A machine that takes webhooks; ``answers`` holds the next statuses, ``got`` what came."""

    class Receiver:
        answers: list[int] = []
        got: list[tuple[dict[str, str], bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self):
            body = self.rfile.read(int(self.headers["Content-Length"]))
            Receiver.got.append((dict(self.headers), body))
            self.send_response(Receiver.answers.pop(0) if Receiver.answers else 204)
            self.end_headers()

        def log_message(self, *args):
            pass

    Receiver.got, Receiver.answers = [], []
    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    Receiver.url = f"http://127.0.0.1:{server.server_port}/hook"
    yield Receiver
    server.shutdown()
    server.server_close()
    thread.join()


def pages():
    rows = Notification.objects.exclude(kind="webhook").order_by("created_at")
    return [(row.person.name, row.kind, row.state) for row in rows]


def test_the_page_says_what_one_needs_at_night(estate, paged):
    assert reconcile.deliver() == 1
    (message,) = mail.outbox
    notification = Notification.objects.get()
    html = message.alternatives[0].content
    for text in (message.body, html):
        for expected in ("SEV1", paged.reference, "production/us-central/api", notification.code, "/page/"):
            assert expected in text
    assert f"[{notification.code}]" in message.subject
    assert len(html) < 30_000
    assert (notification.state, notification.attempts) == ("sent", 1)
    paged.refresh_from_db()
    assert paged.first_page_at == notification.sent_at
    assert reconcile.deliver() == 0


def test_nobody_answers_and_the_next_person_is_called_until_everybody_was(estate, paged):
    assert pages() == [("First", "page", "due")]
    moments = [299, 2, 301, 301, 301, 301]
    called, passed = [], 0
    for seconds in moments:
        passed += seconds
        with clock.travel(timedelta(seconds=passed)):
            reconcile.escalate()
            called.append([name for name, _, _ in pages()])
    assert called == [
        ["First"],
        ["First", "Second"],
        ["First", "Second", "First"],
        ["First", "Second", "First", "Second"],
        ["First", "Second", "First", "Second", "Owner"],
        ["First", "Second", "First", "Second", "Owner"],
    ]
    escalation = Escalation.objects.get()
    assert (escalation.state, escalation.next_step_at) == ("exhausted", None)
    assert pages()[-1] == ("Owner", "alarm", "due")
    assert Event.objects.filter(verb="incidents.exhaust").get().after == {"called": ["Owner"]}
    with clock.travel(timedelta(seconds=passed)):
        reconcile.deliver()
    assert "NOBODY ANSWERED" in mail.outbox[-1].subject


def test_acknowledging_stops_the_calling(estate, paged):
    actions.acknowledge(paged, by=estate.second)
    with clock.travel(timedelta(minutes=20)):
        assert (reconcile.deliver(), reconcile.escalate()) == (0, 0)
    assert pages() == [("First", "page", "cancelled")]
    assert mail.outbox == []


def test_an_answer_that_no_work_follows_goes_stale(estate, paged):
    actions.acknowledge(paged, by=estate.first)
    with clock.travel(timedelta(minutes=31)):
        assert reconcile.escalate() == 1
        assert Escalation.objects.get().state == "running"
        assert pages()[-1] == ("First", "page", "due")
        paged.refresh_from_db()
        actions.acknowledge(paged, by=estate.second)
        actions.take_command(paged, by=estate.second)
        actions.mitigate(paged, by=estate.second, mitigation="Restart")
    assert Escalation.objects.get().state == "resolved"
    with clock.travel(timedelta(hours=5)):
        assert reconcile.escalate() == 0


def test_a_timer_left_behind_by_work_ends_quietly(estate, paged):
    actions.acknowledge(paged, by=estate.first)
    Incident.objects.filter(pk=paged.pk).update(state="mitigating", mitigation_started_at=clock.now())
    with clock.travel(timedelta(minutes=31)):
        assert reconcile.escalate() == 1
    assert Escalation.objects.get().state == "resolved"


def test_a_person_without_any_address_is_passed_over(estate, post):
    estate.first.person.email = ""
    estate.first.person.save()
    post(payload())
    assert pages() == [("Second", "page", "due")]


def test_without_any_policy_the_owners_are_called(estate, post):
    EscalationPolicy.objects.all().delete()
    post(payload())
    assert pages() == [("Owner", "alarm", "due")]
    assert Escalation.objects.get().state == "exhausted"


def test_an_empty_schedule_is_passed_over_and_a_team_is_called_whole(estate, post):
    estate.schedule.members.all().delete()
    step = estate.policy.steps.get(position=1)
    step.person, step.team = None, estate.team
    step.save()
    post(payload())
    assert sorted(pages()) == [("First", "page", "due"), ("Second", "page", "due")]


def test_the_policy_of_the_owning_team_wins(estate, post):
    own = EscalationPolicy.objects.create(slug="own", name="Own", team=estate.team, repeat=0)
    own.steps.create(position=0, person=estate.second.person)
    post(payload())
    assert pages() == [("Second", "page", "due")]
    with clock.travel(timedelta(minutes=6)):
        reconcile.escalate()
    assert pages()[-1] == ("Owner", "alarm", "due")


def test_a_running_escalation_keeps_the_policy_it_began_with(estate, paged):
    estate.policy.steps.all().delete()
    with clock.travel(timedelta(minutes=6)):
        reconcile.escalate()
    assert pages()[-1][0] == "Second"


def test_sev3_waits_longer_and_sev4_pages_nobody(estate, post):
    post(payload(alert(labels={"severity": "warning"})))
    escalation = Escalation.objects.get()
    assert timedelta(minutes=14) < escalation.next_step_at - clock.now() <= timedelta(minutes=15)
    other = world.component("production/us-central/play")
    post(payload(alert(fingerprint="b", labels={"severity": "info", "component": other.slug})))
    assert Incident.objects.get(component=other).severity == 4
    assert Escalation.objects.count() == 1


def test_a_failing_address_leads_to_the_next_one_at_once(estate, post, receiver):
    estate.reach(estate.first, ("webhook", receiver.url), ("email", "first@example.org"))
    receiver.answers = [500]
    post(payload())
    assert reconcile.deliver() == 2
    failed, taken = Notification.objects.order_by("created_at")
    assert (failed.state, failed.error, failed.attempts) == ("due", "The receiver answered 500.", 1)
    assert (taken.state, mail.outbox[0].to) == ("sent", ["first@example.org"])
    assert Event.objects.filter(verb="incidents.fail_page").count() == 1
    with clock.travel(timedelta(seconds=6)):
        assert reconcile.deliver() == 1
    failed.refresh_from_db()
    assert failed.state == "sent"
    got = json.loads(receiver.got[-1][1])
    assert (got["code"], got["incident"]) == (failed.code, failed.incident.reference)
    assert [headers["Idempotency-Key"] for headers, _ in receiver.got] == [str(failed.pk)] * 2


def test_the_last_failing_address_leads_to_the_next_person_without_waiting(estate, post, receiver):
    estate.reach(estate.first, ("webhook", receiver.url))
    receiver.answers = [503] * 20
    post(payload())
    reconcile.deliver()
    assert reconcile.escalate() == 1
    assert pages() == [("First", "page", "due"), ("Second", "page", "due")]
    with clock.travel(timedelta(seconds=6)):
        reconcile.deliver()
        assert reconcile.escalate() == 0


def test_an_address_that_never_works_is_given_up(estate, post, receiver):
    estate.reach(estate.first, ("webhook", receiver.url))
    receiver.answers = [503] * 50
    post(payload())
    waited = 0
    for wait in (0, *paging.BACK_OFF):
        waited += wait + 1
        with clock.travel(timedelta(seconds=waited)):
            reconcile.deliver()
    first = Notification.objects.filter(person=estate.first.person).order_by("created_at").first()
    assert (first.state, first.attempts) == ("failed", len(paging.BACK_OFF) + 1)


def test_a_dead_senders_message_is_sent_by_another(estate, paged):
    """Killed between claim and send: the lease lapses, the row is due again."""
    assert reconcile.claim(~reconcile.WEBHOOK) is not None
    assert reconcile.deliver() == 0
    with clock.travel(reconcile.LEASE + timedelta(seconds=1)):
        assert reconcile.deliver() == 1
    assert len(mail.outbox) == 1
    assert Notification.objects.get().attempts == 2


def test_who_comes_back_after_the_lease_has_nothing_to_say(estate, paged):
    slow, token = reconcile.claim(~reconcile.WEBHOOK)
    with clock.travel(reconcile.LEASE + timedelta(seconds=1)):
        reconcile.deliver()
    sent_at = Notification.objects.get().sent_at
    assert paging.mark_failed(slow, token, "too late") is False
    assert paging.mark_sent(slow, token) is False
    assert Notification.objects.get().sent_at == sent_at


def test_an_answer_during_the_sending_wins(estate, paged):
    notification, token = reconcile.claim(~reconcile.WEBHOOK)
    actions.acknowledge(paged, by=estate.second)
    assert reconcile.send(notification, token) is False
    assert Notification.objects.get().state == "cancelled"


def test_the_nudge_sends_one_and_only_once(estate, paged):
    notification = Notification.objects.get()
    assert reconcile.send_one(str(notification.pk)) is True
    assert reconcile.send_one(str(notification.pk)) is False
    assert len(mail.outbox) == 1


def test_signal_to_page_through_the_nudge_takes_less_than_two_seconds(estate, post, settled, settings):
    """The real web path and the nudge run in place; what Celery adds is measured where real workers are killed.

    Processor time counts, because the machine runs other tests beside this one.
    """
    settings.CELERY_TASK_ALWAYS_EAGER = True
    started = time.process_time()
    with settled():
        post(payload())
    assert len(mail.outbox) == 1
    assert time.process_time() - started < 2


@pytest.mark.parametrize(
    ("reference", "value", "error"),
    [
        ("env:PAGE_TARGET", "json://127.0.0.1:{port}/hook", ""),
        ("env:PAGE_TARGET", "nonsense", "The Apprise address is not one that Apprise understands."),
        ("env:PAGE_TARGET", "json://127.0.0.1:1/hook", "The Apprise service did not take it."),
        ("env:PAGE_MISSING", "", "missing or empty"),
    ],
)
def test_apprise_by_reference(estate, post, receiver, monkeypatch, reference, value, error):
    secret = value.format(port=receiver.url.split(":")[2].split("/")[0])
    monkeypatch.setenv("PAGE_TARGET", secret)
    estate.reach(estate.first, ("apprise", reference))
    post(payload())
    reconcile.deliver()
    page = Notification.objects.first()
    assert error in page.error
    assert (page.state == "sent") is (not error)
    assert bool(receiver.got) is (not error)
    if secret:
        assert secret not in page.error


def test_webhooks_are_signed_as_standard_webhooks_says(estate, receiver, monkeypatch):
    key = b"0123456789abcdef0123456789abcdef"
    monkeypatch.setenv("HOOK", "whsec_" + base64.b64encode(key).decode())
    WebhookEndpoint.objects.create(slug="chat", url=receiver.url, secret="env:HOOK")
    WebhookEndpoint.objects.create(slug="off", url=receiver.url, secret="env:HOOK", is_active=False)
    incident = states.opened(estate)
    assert reconcile.deliver() == 0
    assert reconcile.post() == 1
    ((headers, body),) = receiver.got
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(key, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    told = json.loads(body)
    assert (told["type"], told["data"]["incident"]) == ("incidents.open", incident.reference)


@pytest.mark.parametrize("secret", ["whsec_not base64!", ""])
def test_a_webhook_without_a_usable_secret_is_not_sent(estate, receiver, monkeypatch, secret):
    monkeypatch.setenv("HOOK", secret)
    WebhookEndpoint.objects.create(slug="chat", url=receiver.url, secret="env:HOOK")
    states.opened(estate)
    reconcile.post()
    notification = Notification.objects.get()
    assert (notification.state, bool(notification.error), receiver.got) == ("due", True, [])
    assert Event.objects.filter(verb="incidents.fail_page").count() == 0


def test_a_plain_secret_signs_too(monkeypatch):
    assert senders._key("plain") == b"plain"


def test_a_receiver_that_is_not_there_is_a_sentence(estate, post):
    estate.reach(estate.first, ("webhook", "http://127.0.0.1:1/"))
    post(payload())
    reconcile.deliver()
    assert Notification.objects.get().error == "The receiver could not be reached (ConnectError)."


def test_a_mail_server_that_takes_nothing_is_a_failure(estate, paged, monkeypatch):
    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", lambda *_: 0)
    reconcile.deliver()
    assert Notification.objects.get().error == "The mail server took nothing."


def test_a_library_that_breaks_gives_nothing_away(estate, paged, monkeypatch):
    def explode(*_):
        raise ValueError("smtp://user:secret@host")

    monkeypatch.setattr("django.core.mail.backends.locmem.EmailBackend.send_messages", explode)
    reconcile.deliver()
    assert Notification.objects.get().error == "The provider failed (ValueError)."


def test_more_people_on_request(estate, paged):
    actions.acknowledge(paged, by=estate.first)
    actions.escalate(paged, by=estate.first, reason="I need help")
    assert pages() == [("First", "page", "cancelled"), ("Second", "page", "due")]
    other = states.classified(estate, impact=4, urgency=3, component=world.component("production/us-central/play"))
    actions.escalate(other, by=estate.first, reason="It is worse than it looks")
    assert other.escalations.get().state == "running"


def test_an_incident_in_closing_finishes_by_itself(estate):
    incident = states.closing(estate)
    assert (incident.state, reconcile.finish()) == ("closing", 0)
    incident.episodes.update(resolved_at=clock.now())
    assert reconcile.finish() == 1
    incident.refresh_from_db()
    assert incident.state == "closed"


def test_two_that_finish_at_once_are_no_error(estate, monkeypatch):
    incident = states.closing(estate)
    incident.episodes.update(resolved_at=clock.now())
    real = reconcile.guards.before

    def meanwhile(name, one, by):
        Incident.objects.filter(pk=one.pk).update(row_version=one.row_version + 1)
        return real(name, one, by)

    monkeypatch.setattr(reconcile.guards, "before", meanwhile)
    assert reconcile.finish() == 0
