"""The audit trail: append-only, chained, and honest about every kind of tampering."""

from __future__ import annotations

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, transaction

from portal import events
from portal.models import Event, StreamHead
from tests import world

pytestmark = pytest.mark.django_db


def three_events() -> list[Event]:
    subject = world.component()
    actor = world.account("ops")
    return [
        events.record("test.touch", subject, by=actor, reason=f"reason {n}", before={"n": n}, after={"n": n + 1})
        for n in range(3)
    ]


def tamper(statement: str, *values: object) -> None:
    """Change the trail as somebody who owns the database could."""
    with connection.cursor() as cursor:
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE portal_event DISABLE TRIGGER USER")
        cursor.execute(statement, values)
        cursor.execute("ALTER TABLE portal_event ENABLE TRIGGER USER")


def test_an_event_says_who_did_what_to_which_and_why():
    event = three_events()[0]
    event.refresh_from_db()
    assert (event.verb, event.actor_label, event.subject_type, event.reason, event.before, event.after) == (
        "test.touch",
        "Ops",
        "inventory.component",
        "reason 0",
        {"n": 0},
        {"n": 1},
    )


def test_the_chain_of_honest_events_is_unbroken():
    three_events()
    assert events.verify("test") == []


@pytest.mark.parametrize(
    "statement",
    ["UPDATE portal_event SET reason = 'x'", "DELETE FROM portal_event", "TRUNCATE portal_event CASCADE"],
)
def test_the_database_refuses_to_change_the_trail(statement, sql):
    three_events()
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    with pytest.raises(DatabaseError, match="Cannot"), transaction.atomic():
        sql(statement)


def test_a_changed_event_is_found():
    second = three_events()[1]
    tamper("UPDATE portal_event SET reason = 'harmless' WHERE id = %s", second.pk)
    assert events.verify("test") == ["test#2: its content was changed"]


def test_a_removed_event_is_found():
    second = three_events()[1]
    tamper("DELETE FROM portal_event WHERE id = %s", second.pk)
    assert events.verify("test") == [
        "test: events 2 to 2 are missing",
        "test#3: does not follow the event before it",
    ]


def test_a_cut_off_end_is_found():
    last = three_events()[2]
    tamper("DELETE FROM portal_event WHERE id = %s", last.pk)
    assert events.verify("test") == ["test: the end of the stream is missing"]


def test_the_command_fails_when_the_trail_is_broken():
    second = three_events()[1]
    call_command("audit", "verify")
    tamper("UPDATE portal_event SET verb = 'test.other' WHERE id = %s", second.pk)
    with pytest.raises(CommandError, match="its content was changed"):
        call_command("audit", "verify")


def test_two_streams_do_not_mix():
    subject = world.component()
    for verb in ("one.act", "two.act", "one.act"):
        events.record(verb, subject, by=events.SYSTEM)
    heads = dict(StreamHead.objects.values_list("stream", "seq"))
    assert (heads["one"], heads["two"]) == (2, 1)


def test_receivers_hear_their_verb_inside_the_transaction():
    heard = []
    events.subscribe("test.heard")(lambda event: heard.append((event.verb, connection.in_atomic_block)))
    events.record("test.heard", world.component(), by=events.SYSTEM)
    events.record("test.other", world.component(), by=events.SYSTEM)
    assert heard == [("test.heard", True)]


@pytest.mark.django_db(transaction=True)
def test_recording_outside_a_transaction_is_a_programming_error():
    subject = world.component()
    with pytest.raises(RuntimeError, match="inside the verb's transaction"):
        events.record("test.touch", subject, by=events.SYSTEM)


@pytest.mark.django_db(transaction=True)
def test_an_event_of_a_rolled_back_verb_leaves_no_gap():
    subject = world.component()
    with transaction.atomic():
        events.record("test.touch", subject, by=events.SYSTEM)
        transaction.set_rollback(True)
    with transaction.atomic():
        events.record("test.touch", subject, by=events.SYSTEM)
    assert events.verify("test") == []
    assert list(Event.objects.filter(stream="test").values_list("seq", flat=True)) == [1]
