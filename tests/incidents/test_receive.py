"""What machines may send, and what becomes of it."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction
from django.test import Client

from identity import rights
from incidents import actions, payload
from incidents.actions import intake
from incidents.models import Episode, Escalation, Incident, Notification, RawSignal, SignalSource
from portal import clock
from portal.models import Event
from tests import world
from tests.incidents import states
from tests.incidents.conftest import KEY, alert
from tests.incidents.conftest import payload as body

pytestmark = pytest.mark.django_db


def test_a_firing_alert_is_stored_whole(estate, post):
    raw_body = json.dumps(body()).encode()
    answer = post(raw_body)
    incident, raw, episode = Incident.objects.get(), RawSignal.objects.get(), Episode.objects.get()
    assert answer.json() == {
        "signal": str(raw.pk),
        "duplicate": False,
        "incidents": [incident.reference],
        "problems": [],
    }
    assert bytes(raw.body) == raw_body
    assert raw.digest == hashlib.sha256(raw_body).hexdigest()
    assert (episode.incident, episode.component, episode.firing) == (incident, estate.component, True)
    assert episode.starts_at == datetime(2026, 3, 1, 10, 0, 0, 123456, tzinfo=UTC)
    assert incident.impact_started_at == episode.starts_at
    assert (incident.impact, incident.urgency, incident.severity) == (1, 1, 1)
    assert Escalation.objects.get().state == "running"
    assert Notification.objects.get().person == estate.first.person
    verbs = list(Event.objects.filter(subject_id=incident.pk).order_by("seq").values_list("verb", flat=True))
    assert verbs == ["incidents.open", "incidents.classify", "incidents.activate", "incidents.page"]


def test_the_same_delivery_twice_changes_nothing(estate, post):
    first = post(body()).json()
    again = post(body()).json()
    assert again == {**first, "duplicate": True}
    assert (RawSignal.objects.count(), Incident.objects.count(), Notification.objects.count()) == (1, 1, 1)


def test_another_body_about_the_same_episode_only_says_it_still_fires(estate, post):
    post(body())
    with clock.travel(timedelta(minutes=5)):
        post(body(receiver="other"))
    episode = Episode.objects.get()
    assert episode.last_seen_at - episode.first_seen_at >= timedelta(minutes=5)
    assert (RawSignal.objects.count(), Incident.objects.count(), Notification.objects.count()) == (2, 1, 1)


def test_resolved_ends_the_episode_and_not_the_incident(estate, post):
    post(body())
    post(body(alert("resolved", endsAt="2026-03-01T11:00:00Z")))
    assert Episode.objects.get().firing is False
    assert Incident.objects.get().state == "response_active"


def test_a_late_firing_of_an_ended_episode_is_an_old_message(estate, post):
    post(body(alert("resolved")))
    assert post(body()).json()["incidents"] == []
    assert Episode.objects.get().firing is False
    assert Incident.objects.count() == 0


def test_alerts_of_one_component_are_one_incident(estate, post):
    post(body(alert(), alert(fingerprint="beef", labels={"alertname": "Slow", "severity": "warning"})))
    post(body(alert(fingerprint="cafe", labels={"alertname": "Errors"})))
    assert Incident.objects.count() == 1
    assert Episode.objects.filter(incident=Incident.objects.get()).count() == 3


def test_a_worse_signal_raises_the_severity_and_calls_the_response_team(estate, post):
    post(body(alert(labels={"severity": "warning"})))
    assert (Incident.objects.get().severity, Incident.objects.get().state) == (3, "support_handling")
    post(body(alert(fingerprint="beef")))
    assert (Incident.objects.get().severity, Incident.objects.get().state) == (1, "response_active")


def test_a_milder_signal_lowers_nothing(estate, post):
    post(body())
    post(body(alert(fingerprint="beef", labels={"severity": "info"})))
    assert Incident.objects.get().severity == 1


def test_a_return_within_the_watch_is_the_same_incident(estate, post):
    incident = states.resolved(estate)
    post(body())
    incident.refresh_from_db()
    assert (incident.state, Incident.objects.count()) == ("mitigating", 1)
    assert incident.escalations.filter(state="running").count() == 1


def test_a_return_after_the_watch_is_a_new_incident_linked_to_the_old(estate, post):
    old = states.resolved(estate)
    with clock.travel(timedelta(hours=2)):
        post(body())
    new = Incident.objects.exclude(pk=old.pk).get()
    assert new.recurrence_of == old


def test_a_signal_joins_and_classifies_what_a_person_opened(estate, post):
    incident = states.opened(estate)
    post(body())
    incident.refresh_from_db()
    assert (incident.state, incident.severity, Incident.objects.count()) == ("response_active", 1, 1)


@pytest.mark.parametrize(
    ("labels", "component", "words"),
    [
        ({"component": None, "service": "api", "environment": "production"}, True, ""),
        ({"component": None, "service": "api", "env": "production", "data_center": "us-central"}, True, ""),
        ({"component": None, "service": "api", "data_center": "us-east"}, False, "No component of api in production"),
        ({"component": "production/us-central/nothing"}, False, "component=production/us-central/nothing"),
        ({"component": None}, False, "no label"),
        ({"component": None, "service": "api", "environment": "moon"}, True, ""),
    ],
)
def test_labels_lead_to_a_component_or_to_a_reason(estate, post, labels, component, words):
    assert post(body(alert(labels=labels))).status_code == 200
    incident = Incident.objects.get()
    assert (incident.component == estate.component) is component
    assert words in incident.unknown_reason


def test_several_components_that_fit_are_none(estate, post):
    world.component("production/us-east/api")
    post(body(alert(labels={"component": None, "service": "api"})))
    incident = Incident.objects.get()
    assert incident.component is None
    assert incident.unknown_reason == "Several components of api in production fit the labels."
    assert (incident.scope.environment, incident.scope.service) == ("production", "api")


def test_one_of_several_that_has_the_services_name_is_meant(estate, post):
    world.component("production/us-central/api-cache", service="api")
    post(body(alert(labels={"component": None, "service": "api"})))
    assert Incident.objects.get().component == estate.component


def test_without_any_label_the_scope_of_the_source_counts(estate, post):
    post(body(alert(labels={"component": None})))
    assert str(Incident.objects.get().scope) == "production × platform"
    estate.source.scope = rights.scope_for("production", "edge")
    estate.source.save()
    post(body(alert(labels={"component": None, "alertname": "Other"}, fingerprint="b", annotations={})))
    assert str(Incident.objects.first().scope) == "production × edge"
    assert Incident.objects.first().title == "Other (production)"


def test_outside_production_nothing_passes_sev3(estate, post):
    world.component("staging/us-central/api")
    post(body(alert(labels={"component": "staging/us-central/api"})))
    assert (Incident.objects.get().severity, Incident.objects.get().impact) == (3, 1)


UNUSABLE = [
    (b"", 400, "not JSON"),
    (json.dumps(body()).encode()[:-40], 400, "not JSON"),
    (b"\xff\xfe", 400, "not JSON"),
    (b"[" * 100_000, 400, "not JSON"),
    (b'{"version": ' + b"9" * 5000 + b"}", 400, "not JSON"),
    (b"[]", 422, "Expected a dictionary"),
    (b"null", 422, "No data provided"),
    (b'"text"', 422, "Expected a dictionary"),
    (json.dumps(body(version="3")).encode(), 422, "Only version 4"),
    (json.dumps({"version": "4"}).encode(), 422, "alerts: This field is required"),
    (json.dumps({"version": "4", "alerts": []}).encode(), 422, "alerts"),
    (json.dumps(body(alerts={"a": 1})).encode(), 422, "alerts"),
    (json.dumps(body(alerts=[None])).encode(), 422, "may not be null"),
    (json.dumps(body(alert("melting"))).encode(), 422, "melting"),
    (json.dumps(body(alert(startsAt="yesterday"))).encode(), 422, "startsAt"),
    (json.dumps(body(alert(startsAt=None))).encode(), 422, "startsAt"),
    (json.dumps(body(alert(fingerprint=["x"]))).encode(), 422, "fingerprint"),
    (json.dumps(body(alert(fingerprint="x" * 300))).encode(), 422, "fingerprint"),
    (json.dumps({**body(), "alerts": [{**alert(), "labels": {"a": {"b": 1}}}]}).encode(), 422, "labels"),
    (
        json.dumps({**body(), "alerts": [{**alert(), "labels": {str(n): "" for n in range(200)}}]}).encode(),
        422,
        "100",
    ),
    (json.dumps({**body(), "alerts": [alert()] * 1001}).encode(), 422, "alerts"),
]


def test_what_cannot_be_used_is_kept_and_answered_in_words(estate, post):
    for number, (sent, status, words) in enumerate(UNUSABLE, start=1):
        answer = post(sent)
        assert (answer.status_code, answer["Content-Type"]) == (status, "application/problem+json"), sent[:200]
        assert words in " ".join(answer.json()["problems"])
        raw = RawSignal.objects.get(digest=hashlib.sha256(sent).hexdigest())
        assert (bytes(raw.body), raw.outcome, raw.status) == (sent, "refused", status)
        assert post(sent).status_code == status
        assert RawSignal.objects.count() == number
    assert Incident.objects.count() == 0


def test_two_megabytes_are_refused_and_their_beginning_is_kept(estate, post):
    answer = post(b"x" * 2_000_000)
    assert answer.status_code == 413
    raw = RawSignal.objects.get()
    assert (len(bytes(raw.body)), raw.truncated) == (64 * 1024, True)


def test_the_good_alerts_of_a_half_bad_body_count(estate, post):
    answer = post(body(alert(), alert("melting", fingerprint="b")))
    assert answer.status_code == 200
    assert answer.json()["problems"] == ['alert 2: status: "melting" is not a valid choice.']
    assert RawSignal.objects.get().outcome == "partly"
    assert Incident.objects.count() == 1


@pytest.mark.parametrize("text", ["naïve 日本語 🔥", "nul\0byte", "lone \ud800 surrogate", "‮right to left", "x" * 5000])
def test_any_text_is_taken(estate, post, text):
    assert post(body(alert(annotations={"summary": text, "description": text}))).status_code == 200
    title = Incident.objects.get().title
    assert "\0" not in title
    assert len(title) <= 200


@pytest.mark.parametrize(
    ("source", "key"), [("lab", "wrong"), ("lab", ""), ("nobody", KEY), ("observability", ""), ("lab", "é\udc80")]
)
def test_an_unknown_source_and_a_wrong_key_get_the_same_answer(estate, post, client, source, key):
    SignalSource.objects.create(slug="observability", kind="internal")
    header = f"Bearer {key}".encode("utf-8", "surrogateescape").decode("latin-1")
    answer = client.post(
        f"/api/v1/signals/alertmanager/{source}/", b"{}", "application/json", HTTP_AUTHORIZATION=header
    )
    assert answer.status_code == 401
    assert answer.json()["detail"] == "There is no source of this name with this key."
    assert answer["WWW-Authenticate"].startswith("Bearer")
    assert RawSignal.objects.count() == 0


def test_only_post_is_answered(estate, client):
    answer = client.get("/api/v1/signals/alertmanager/lab/")
    assert answer.status_code == 405


def test_two_keys_are_valid_while_one_is_replaced(estate, post, capsys):
    call_command("signal_source", "lab", "--rotate")
    new = capsys.readouterr().out.strip()
    assert new.startswith("edyesig_")
    assert post(body(), key=KEY).status_code == 200
    assert post(body(), key=new).status_code == 200
    call_command("signal_source", "lab", "--rotate")
    assert post(body(), key=KEY).status_code == 401
    assert new not in str(SignalSource.objects.filter(slug="lab").values())


def test_the_command_makes_a_source_and_says_what_is_wrong(estate, post, capsys):
    call_command("signal_source", "other")
    assert post(body(), source="other", key=capsys.readouterr().out.strip()).status_code == 200
    for arguments in (["other"], ["third", "--environment", "moon"], ["fourth", "--rotate"]):
        with pytest.raises(CommandError):
            call_command("signal_source", *arguments)


def writes(estate) -> int:
    """How many writing statements one intake of a firing alert makes."""
    seen = []

    def count(execute, sql, params, many, context):
        if sql.startswith(("INSERT", "UPDATE", "DELETE")):
            seen.append(sql)
        return execute(sql, params, many, context)

    with connection.execute_wrapper(count), transaction.atomic():
        intake.receive(estate.source, json.dumps(body()).encode(), by=states.RULES)
        transaction.set_rollback(True)
    return len(seen)


@pytest.mark.parametrize("error", [DatabaseError, RuntimeError])
def test_a_fault_at_any_write_leaves_nothing(estate, error):
    """One transaction: wherever it breaks, the sender is told 5xx and sends again, and nothing is half there."""
    total = writes(estate)
    assert total >= 15
    client = Client(raise_request_exception=False)
    for place in range(1, total + 1):
        number = 0

        def fail(execute, sql, params, many, context, place=place):
            nonlocal number
            if sql.startswith(("INSERT", "UPDATE", "DELETE")):
                number += 1
                if number == place:
                    raise error("broken")
            return execute(sql, params, many, context)

        with connection.execute_wrapper(fail):
            answer = client.post(
                "/api/v1/signals/alertmanager/lab/",
                json.dumps(body()),
                "application/json",
                headers={"Authorization": f"Bearer {KEY}"},
            )
        assert answer.status_code == (503 if error is DatabaseError else 500), place
        tables = (RawSignal, Episode, Incident, Escalation, Notification, Event)
        assert [table.objects.count() for table in tables] == [0] * 6, place
    assert (
        client.post(
            "/api/v1/signals/alertmanager/lab/",
            json.dumps(body()),
            "application/json",
            headers={"Authorization": f"Bearer {KEY}"},
        ).status_code
        == 200
    )


def test_a_raw_signal_is_never_changed(estate, post, sql):
    post(body())
    for statement in ("UPDATE incidents_rawsignal SET status = 1", "DELETE FROM incidents_rawsignal"):
        with pytest.raises(DatabaseError), transaction.atomic():
            sql(statement)


def test_the_future_and_the_deep_past_are_no_reason_to_fail(estate, post):
    for place, at in enumerate(("2999-01-01T00:00:00Z", "1970-01-01T00:00:00Z", "2026-01-01T00:00:00")):
        sent = alert(startsAt=at, fingerprint=str(place))
        assert post(body(sent)).status_code == 200
    assert Incident.objects.get().impact_started_at <= clock.now()


def test_year_zero_is_refused_in_words(estate, post):
    assert post(body(alert(startsAt="0000-01-01T00:00:00Z"))).status_code == 422


def test_nothing_storable_is_left_in_deep_json():
    assert payload.storable({"a\0": ["\ud800", {"b": 1}]}) == {"a\ufffd": ["?", {"b": 1}]}


def test_merged_alerts_follow_their_incident(estate, post):
    post(body())
    incident = Incident.objects.get()
    other = states.opened(estate, component=world.component("production/us-central/play"))
    actions.merge(incident, by=estate.first, into=other, reason="One cause")
    assert Episode.objects.get().incident == other
