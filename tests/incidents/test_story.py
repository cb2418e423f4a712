"""From a signal to the closed ticket, through REST, with nothing skipped."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest
from django.core import mail
from rest_framework.test import APIClient

from incidents import reconcile
from incidents.models import Episode, Escalation, Incident, Milestone, Notification
from portal import clock
from portal.models import Event
from tests import world
from tests.incidents.conftest import alert, payload

pytestmark = pytest.mark.django_db


def rest(account):
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {world.token(account)}")

    def verb(name: str, **data):
        answer = client.post(f"/api/v1/incidents/{Incident.objects.get().reference}/{name}/", data, format="json")
        assert answer.status_code == 200, answer.json()
        return answer.json()

    return verb


def test_from_signal_to_closed(estate, post):
    answer = post(payload()).json()
    incident = Incident.objects.get()
    assert answer["incidents"] == [incident.reference]
    assert (incident.state, incident.severity) == ("response_active", 1)
    assert incident.component == estate.component
    assert reconcile.deliver() == 1
    (message,) = mail.outbox
    assert message.to == ["first@example.org"]
    assert re.search(r"SEV1 INC-\d+ The API is down", message.subject)

    first, owner = rest(estate.first), rest(estate.owner)
    assert first("acknowledge", note="Looking")["acknowledged_by"] == "First"
    assert Escalation.objects.get().state == "acked"
    first("take-command")
    first("mitigate", mitigation="Took the bad instance out of the upstream")
    first("investigate", evidence="Error rate is 0 since 10:20")
    first("resolve", diagnosis="Memory leak", fix="permanent", validation="An hour of clean readings")
    assert post(payload(alert("resolved"), status="resolved")).status_code == 200
    due = (clock.now() + timedelta(days=7)).date().isoformat()
    first(
        "write-post-mortem",
        summary="The API leaked memory.",
        impact="Nobody could sign in for 20 minutes.",
        root_cause="A cache without an end.",
        went_well="The page came at once.",
        went_poorly="The dashboard was late.",
        actions=[{"title": "Bound the cache", "owner": "second", "due": due}],
    )
    owner("improve", note="Clear.")
    done = owner("close", runbooks="No change: the runbook was right.", ticket="OPS-7")
    assert done["state"] == "closed"
    assert done["post_mortem"]["actions"][0]["owner"] == "Second"
    kinds = list(Milestone.objects.values_list("kind", flat=True).order_by("recorded_at"))
    assert kinds == [
        "impact_started",
        "detected",
        "classified",
        "first_page",
        "acknowledged",
        "commander",
        "mitigation_started",
        "mitigated",
        "resolved",
        "post_mortem_begun",
        "post_mortem_approved",
        "improvements_recorded",
        "closed",
    ]
    assert Event.objects.filter(subject_type="incidents.incident").count() == 13
    assert Episode.objects.get().resolved_at is not None
    assert Notification.objects.get().state == "sent"
