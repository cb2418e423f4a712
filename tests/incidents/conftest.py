"""A small estate with people on call, and a source of signals."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import date, time
from typing import Any

import pytest
from django.test import Client

from incidents.models import (
    ContactMethod,
    EscalationPolicy,
    EscalationStep,
    Incident,
    Schedule,
    ScheduleMember,
    SignalSource,
)
from tests import world

KEY = "edyesig_test"


class Estate:
    """production/us-central/api, its team, two people on call in turn, an owner, and the source "lab"."""

    def __init__(self) -> None:
        self.component = world.component()
        self.first = world.account("first", "on_call", ("production", "*"))
        self.second = world.account("second", "on_call", ("production", "*"))
        self.owner = world.account("owner", "operations_owner", ("production", "*"))
        self.viewer = world.account("viewer", "viewer", ("production", "*"))
        self.stranger = world.account("stranger", "operations_owner", ("staging", "*"))
        self.team = world.team("api-team", self.first, self.second)
        self.component.service.owner = self.team
        self.component.service.save()
        self.schedule = Schedule.objects.create(
            slug="primary", name="Primary", team=self.team, time_zone="UTC", handoff=time(9), anchor=date(2020, 1, 6)
        )
        ScheduleMember.objects.create(schedule=self.schedule, person=self.first.person, position=0)
        self.policy = EscalationPolicy.objects.create(slug="default", name="Default", repeat=1)
        EscalationStep.objects.create(policy=self.policy, position=0, delay_seconds=300, schedule=self.schedule)
        EscalationStep.objects.create(policy=self.policy, position=1, delay_seconds=300, person=self.second.person)
        self.source = SignalSource.objects.create(
            slug="lab",
            kind=SignalSource.Kind.ALERTMANAGER,
            key_digest=SignalSource.hashed(KEY),
            environment=self.component.environment,
        )

    def reach(self, account: Any, *kinds: tuple[str, str]) -> None:
        """Replace how the account's person is reached: (kind, address) in order."""
        ContactMethod.objects.filter(person=account.person).delete()
        for position, (kind, address) in enumerate(kinds):
            ContactMethod.objects.create(person=account.person, kind=kind, address=address, position=position)


@pytest.fixture(scope="module")
def _estate(standing) -> Estate:
    return standing(Estate)


@pytest.fixture
def estate(_estate, db) -> Estate:
    return deepcopy(_estate)


def alert(status: str = "firing", **changes: Any) -> dict[str, Any]:
    """One alert as Alertmanager sends it; ``labels`` and ``annotations`` are merged into the usual ones."""
    labels = {"alertname": "ApiDown", "severity": "critical", "component": "production/us-central/api"}
    labels |= changes.pop("labels", {})
    found = {
        "status": status,
        "labels": {name: value for name, value in labels.items() if value is not None},
        "annotations": {"summary": "The API is down", "description": "No answer for a minute."},
        "startsAt": "2026-03-01T10:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus.example/graph",
        "fingerprint": "c0ffee",
    }
    return {**found, **changes}


def payload(*alerts: dict[str, Any], **changes: Any) -> dict[str, Any]:
    """A version 4 body around ``alerts`` (one firing alert when none is given)."""
    return {
        "version": "4",
        "groupKey": '{}:{alertname="ApiDown"}',
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "portal",
        "groupLabels": {"alertname": "ApiDown"},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager.example",
        "alerts": list(alerts or [alert()]),
        **changes,
    }


@pytest.fixture
def post(client: Client):
    """Post a body to the intake with the source's key."""

    def send(body: Any, *, source: str = "lab", key: str = KEY, **extra: Any) -> Any:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        return client.post(
            f"/api/v1/signals/alertmanager/{source}/",
            data,
            content_type="application/json",
            headers={"Authorization": f"Bearer {key}"},
            **extra,
        )

    return send


@pytest.fixture
def paged(estate: Estate, post) -> Incident:
    """An incident from a signal, with the first person's page due."""
    assert post(payload()).status_code == 200
    return Incident.objects.get()
