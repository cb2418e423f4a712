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


@pytest.mark.parametrize(
    ("state", "change", "constraint"),
    [
        ("response_active", "state = 'nonsense'", "incidents_incident_state"),
        ("detected", "state = 'classified'", "incident_classified_iff_past_detected"),
        ("detected", "severity = 1", "incident_classified_whole"),
        ("detected", "severity=1, impact=1, urgency=1, classified_at=now()", "incident_classified_iff_past_detected"),
        ("response_active", "severity = NULL", "incident_classified_whole"),
        ("response_active", "severity = 5", "incident_severity_within_cap"),
        ("response_active", "severity_cap = 3", "incident_severity_within_cap"),
        ("response_active", "state = 'mitigating'", "incident_mitigation_iff_begun"),
        ("response_active", "mitigation_started_at = clock_timestamp()", "incident_mitigation_iff_begun"),
        ("response_active", "mitigated_at = clock_timestamp()", "incident_mitigated_only_after_mitigating"),
        ("response_active", "acknowledged_at = clock_timestamp()", "incident_acknowledged_whole"),
        ("mitigating", "mitigation_started_at = NULL", "incident_mitigation_iff_begun"),
        ("mitigating", "mitigated_at = clock_timestamp()", "incident_mitigated_only_after_mitigating"),
        ("investigating", "state = 'resolved'", "incident_resolved_iff_restored"),
        ("investigating", "resolved_at = clock_timestamp()", "incident_resolved_iff_restored"),
        ("investigating", "mitigated_at = impact_started_at - interval '1 h'", "incident_mitigated_after_impact"),
        ("resolved", "resolved_at = NULL", "incident_resolved_iff_restored"),
        ("resolved", "watch_until = NULL", "incident_resolved_iff_restored"),
        ("resolved", "mitigated_at = NULL", "incident_resolved_after_mitigated"),
        ("resolved", "resolved_at = mitigated_at - interval '1 s'", "incident_resolved_after_mitigated"),
        ("post_mortem", "state = 'improving'", "incident_approved_iff_improving"),
        ("post_mortem", "approved_at = clock_timestamp()", "incident_approved_iff_improving"),
        ("improving", "approved_by_id = NULL", "incident_approved_iff_improving"),
        ("improving", "state = 'closed'", "incident_closed_iff_closed_at"),
        ("closing", "closed_at = clock_timestamp()", "incident_closed_iff_closed_at"),
        ("closed", "closed_at = NULL", "incident_closed_iff_closed_at"),
        ("closed", "closed_at = resolved_at - interval '1 s'", "incident_closed_after_resolved"),
        ("cancelled", "set_aside_reason = ''", "incident_set_aside_with_reason"),
        ("cancelled", "set_aside_at = NULL", "incident_set_aside_with_reason"),
        ("cancelled", "state = 'merged'", "incident_merged_iff_target"),
        ("detected", "set_aside_at = clock_timestamp()", "incident_set_aside_with_reason"),
        ("merged", "merged_into_id = NULL", "incident_merged_iff_target"),
        ("merged", "merged_into_id = id", "incident_not_merged_into_itself"),
        ("detected", "unknown_reason = 'but it is known'", "incident_component_or_reason"),
        ("detected", "component_id = NULL", "incident_component_or_reason"),
        ("detected", "detected_at = impact_started_at - interval '1 s'", "incident_detected_after_impact"),
    ],
)
def test_an_incident_that_cannot_be(estate, sql, state, change, constraint):
    incident = states.REACH[state](estate)
    statement = f"UPDATE incidents_incident SET {change} WHERE id = %s"
    assert f'"{constraint}"' in refused(sql, statement, incident.pk)


def test_one_root_has_one_open_incident(estate, sql):
    first = states.opened(estate)
    second = states.opened(estate, component=world.component("production/us-central/play"))
    statement = "UPDATE incidents_incident SET dedupe_key = %s WHERE id = %s"
    assert "incident_one_open_per_root" in refused(sql, statement, first.dedupe_key, second.pk)
    states.actions.cancel(first, by=estate.first, reason="Not one")
    sql(statement, first.dedupe_key, second.pk)
    assert Incident.objects.filter(dedupe_key=first.dedupe_key).count() == 2


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("state = 'sent'", "notification_sent_iff_sent_at"),
        ("sent_at = clock_timestamp()", "notification_sent_iff_sent_at"),
        ("lease_until = clock_timestamp()", "notification_lease_whole"),
        (
            "state = 'failed', lease_until = clock_timestamp(), lease_token = gen_random_uuid()",
            "notification_lease_whole",
        ),
        ("kind = 'webhook'", "notification_has_recipient"),
        ("person_id = NULL", "notification_has_recipient"),
    ],
)
def test_a_message_that_cannot_be(estate, paged, sql, change, constraint):
    assert f'"{constraint}"' in refused(sql, f"UPDATE incidents_notification SET {change}")


@pytest.mark.parametrize(
    ("change", "constraint"),
    [
        ("next_step_at = NULL", "escalation_timer_iff_live"),
        ("state = 'exhausted'", "escalation_timer_iff_live"),
        ("ended_at = clock_timestamp()", "escalation_timer_iff_live"),
    ],
)
def test_a_timer_that_cannot_be(estate, paged, sql, change, constraint):
    assert f'"{constraint}"' in refused(sql, f"UPDATE incidents_escalation SET {change}")


def test_one_live_escalation_per_incident(estate, paged, sql):
    statement = (
        "INSERT INTO incidents_escalation (id, incident_id, state, policy, step, round, next_step_at, started_at)"
        " VALUES (gen_random_uuid(), %s, 'running', '{}', 0, 0, now(), now())"
    )
    assert "escalation_one_live_per_incident" in refused(sql, statement, paged.pk)


@pytest.mark.parametrize("table", ["milestone", "note", "rawsignal"])
def test_what_is_written_stays(estate, paged, sql, table):
    states.actions.comment(paged, by=estate.first, text="Seen")
    for statement in (f"UPDATE incidents_{table} SET id = gen_random_uuid()", f"DELETE FROM incidents_{table}"):
        assert "Cannot" in refused(sql, statement)


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
