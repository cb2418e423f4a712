"""The database's own refusals, by plain SQL past every model: the second wall."""

from __future__ import annotations

import pytest
from django.db import DatabaseError, transaction

from incidents.models import Incident
from tests import world
from tests.incidents import states

pytestmark = pytest.mark.django_db


def refused(sql, statement, *values) -> str:
    with pytest.raises(DatabaseError) as error, transaction.atomic():
        sql(statement, *values)
    return str(error.value)


# What is refused, by the state in which it is tried.
IMPOSSIBLE = {
    "response_active": [
        ("state = 'nonsense'", "incidents_incident_state"),
        ("severity = NULL", "incident_classified_whole"),
        ("severity = 5", "incident_severity_within_cap"),
        ("severity_cap = 3", "incident_severity_within_cap"),
        ("state = 'mitigating'", "incident_mitigation_iff_begun"),
        ("mitigation_started_at = clock_timestamp()", "incident_mitigation_iff_begun"),
        ("mitigated_at = clock_timestamp()", "incident_mitigated_only_after_mitigating"),
        ("acknowledged_at = clock_timestamp()", "incident_acknowledged_whole"),
    ],
    "detected": [
        ("state = 'classified'", "incident_classified_iff_past_detected"),
        ("severity = 1", "incident_classified_whole"),
        ("severity=1, impact=1, urgency=1, classified_at=now()", "incident_classified_iff_past_detected"),
        ("set_aside_at = clock_timestamp()", "incident_set_aside_with_reason"),
        ("unknown_reason = 'but it is known'", "incident_component_or_reason"),
        ("component_id = NULL", "incident_component_or_reason"),
        ("detected_at = impact_started_at - interval '1 s'", "incident_detected_after_impact"),
    ],
    "mitigating": [
        ("mitigation_started_at = NULL", "incident_mitigation_iff_begun"),
        ("mitigated_at = clock_timestamp()", "incident_mitigated_only_after_mitigating"),
    ],
    "investigating": [
        ("state = 'resolved'", "incident_resolved_iff_restored"),
        ("resolved_at = clock_timestamp()", "incident_resolved_iff_restored"),
        ("mitigated_at = impact_started_at - interval '1 h'", "incident_mitigated_after_impact"),
    ],
    "resolved": [
        ("resolved_at = NULL", "incident_resolved_iff_restored"),
        ("watch_until = NULL", "incident_resolved_iff_restored"),
        ("mitigated_at = NULL", "incident_resolved_after_mitigated"),
        ("resolved_at = mitigated_at - interval '1 s'", "incident_resolved_after_mitigated"),
    ],
    "post_mortem": [
        ("state = 'improving'", "incident_approved_iff_improving"),
        ("approved_at = clock_timestamp()", "incident_approved_iff_improving"),
    ],
    "improving": [
        ("approved_by_id = NULL", "incident_approved_iff_improving"),
        ("state = 'closed'", "incident_closed_iff_closed_at"),
    ],
    "closing": [
        ("closed_at = clock_timestamp()", "incident_closed_iff_closed_at"),
    ],
    "closed": [
        ("closed_at = NULL", "incident_closed_iff_closed_at"),
        ("closed_at = resolved_at - interval '1 s'", "incident_closed_after_resolved"),
    ],
    "cancelled": [
        ("set_aside_reason = ''", "incident_set_aside_with_reason"),
        ("set_aside_at = NULL", "incident_set_aside_with_reason"),
        ("state = 'merged'", "incident_merged_iff_target"),
    ],
    "merged": [
        ("merged_into_id = NULL", "incident_merged_iff_target"),
        ("merged_into_id = id", "incident_not_merged_into_itself"),
    ],
}


@pytest.mark.parametrize("state", IMPOSSIBLE)
def test_an_incident_that_cannot_be(estate, sql, state):
    incident = states.REACH[state](estate)
    for change, constraint in IMPOSSIBLE[state]:
        told = refused(sql, f"UPDATE incidents_incident SET {change} WHERE id = %s", incident.pk)
        assert f'"{constraint}"' in told, change


def test_one_root_has_one_open_incident(estate, sql):
    first = states.opened(estate)
    second = states.opened(estate, component=world.component("production/us-central/play"))
    statement = "UPDATE incidents_incident SET dedupe_key = %s WHERE id = %s"
    assert "incident_one_open_per_root" in refused(sql, statement, first.dedupe_key, second.pk)
    states.actions.cancel(first, by=estate.first, reason="Not one")
    sql(statement, first.dedupe_key, second.pk)
    assert Incident.objects.filter(dedupe_key=first.dedupe_key).count() == 2


def test_a_message_that_cannot_be(estate, paged, sql):
    lease = "lease_until = clock_timestamp(), lease_token = gen_random_uuid()"
    for change, constraint in (
        ("state = 'sent'", "notification_sent_iff_sent_at"),
        ("sent_at = clock_timestamp()", "notification_sent_iff_sent_at"),
        ("lease_until = clock_timestamp()", "notification_lease_whole"),
        (f"state = 'failed', {lease}", "notification_lease_whole"),
        ("kind = 'webhook'", "notification_has_recipient"),
        ("person_id = NULL", "notification_has_recipient"),
    ):
        assert f'"{constraint}"' in refused(sql, f"UPDATE incidents_notification SET {change}"), change


def test_a_timer_that_cannot_be(estate, paged, sql):
    for change in ("next_step_at = NULL", "state = 'exhausted'", "ended_at = clock_timestamp()"):
        assert '"escalation_timer_iff_live"' in refused(sql, f"UPDATE incidents_escalation SET {change}"), change


def test_one_live_escalation_per_incident(estate, paged, sql):
    statement = (
        "INSERT INTO incidents_escalation (id, incident_id, state, policy, step, round, next_step_at, started_at)"
        " VALUES (gen_random_uuid(), %s, 'running', '{}', 0, 0, now(), now())"
    )
    assert "escalation_one_live_per_incident" in refused(sql, statement, paged.pk)


def test_what_is_written_stays(estate, paged, sql):
    states.actions.comment(paged, by=estate.first, text="Seen")
    for table in ("milestone", "note", "rawsignal"):
        for statement in (f"UPDATE incidents_{table} SET id = gen_random_uuid()", f"DELETE FROM incidents_{table}"):
            assert "Cannot" in refused(sql, statement), statement


def test_stand_ins_never_overlap_and_have_a_shape(estate, sql):
    statement = (
        "INSERT INTO incidents_override (id, schedule_id, person_id, during, reason)"
        " VALUES (gen_random_uuid(), %s, %s, %s::tstzrange, '')"
    )
    who = (estate.schedule.pk, estate.first.person_id)
    sql(statement, *who, "[2026-01-01, 2026-01-02)")
    sql(statement, *who, "[2026-01-02, 2026-01-03)")
    assert "override_one_at_a_time" in refused(sql, statement, *who, "[2026-01-02, 2026-01-04)")
    for during in ("empty", "[2027-01-01,)", "(2027-01-01, 2027-01-02)", "[2027-01-01, 2027-01-02]"):
        assert "override_shape" in refused(sql, statement, *who, during)


@pytest.mark.parametrize(
    ("kind", "address"), [("email", "nobody"), ("webhook", "ftp://x"), ("apprise", "json://user:secret@host")]
)
def test_an_address_that_cannot_be(estate, sql, kind, address):
    statement = (
        "INSERT INTO incidents_contactmethod (id, person_id, kind, address, position)"
        " VALUES (gen_random_uuid(), %s, %s, %s, 0)"
    )
    assert "contact_method_shape" in refused(sql, statement, estate.first.person_id, kind, address)


def test_a_source_outside_has_a_key(estate, sql):
    assert "signal_source_key_iff_external" in refused(sql, "UPDATE incidents_signalsource SET key_digest = ''")
    assert "signal_source_has_environment" in refused(sql, "UPDATE incidents_signalsource SET environment_id = NULL")


def test_one_default_policy(estate, sql):
    statement = (
        "INSERT INTO incidents_escalationpolicy (id, slug, name, repeat) VALUES (gen_random_uuid(), 'b', 'B', 1)"
    )
    assert "escalation_policy_one_default" in refused(sql, statement)
    assert "escalation_step_one_target" in refused(sql, "UPDATE incidents_escalationstep SET schedule_id = NULL")
