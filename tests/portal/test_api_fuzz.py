"""Schemathesis over the whole API: whatever is sent, the answer is never a 5xx, and a refusal says what is wrong."""

from __future__ import annotations

import contextlib
import os
from datetime import timedelta
from typing import Any

import pytest
import schemathesis
from django.conf import settings as django_settings
from django.core.handlers.wsgi import WSGIHandler
from django.core.signals import request_finished, request_started
from django.db import close_old_connections, transaction
from drf_spectacular.generators import SchemaGenerator
from hypothesis import HealthCheck, Phase, given, settings, strategies
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode

from access import actions as access
from deployments import actions as deployments
from identity.models import Account, ApiToken
from incidents import actions as incidents
from operations import actions as operations
from operations.actions import asking
from portal import clock, events
from tests import world
from tests.operations.conftest import At, at, counting

__all__ = ["at", "counting"]
EXAMPLES = 5 if os.environ.get("CI") == "true" else 2
"""Requests per route and mode."""
SETTINGS = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
# What is there for all of them takes longer to make than most of them to answer, so many share it.
PARTS = 6
pytestmark = [pytest.mark.django_db, pytest.mark.timeout(300)]


@pytest.fixture(scope="module")
def schema() -> Any:
    loaded = schemathesis.openapi.from_dict(SchemaGenerator().get_schema(request=None, public=True))
    loaded.app = WSGIHandler()
    # Its own server closes connections between requests, and with them the test's transaction.
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield loaded
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture
def everybody(monkeypatch) -> str:
    """A bearer token of somebody who may do everything and showed a second factor just now."""
    monkeypatch.setattr(events, "stepped_up", lambda: True)
    # The transaction around each request is the test's own.
    monkeypatch.setattr(asking, "in_transaction", lambda: False)
    account = world.account("owner", "operations_owner")
    for role in ("security_officer", "administrator", "developer", "on_call"):
        world.account("owner", role)
    return world.token(account)


@pytest.fixture
def present(everybody, at: At) -> dict[str, str]:
    """One of each noun that is there, by the first word of its address: what makes a request go beyond a 404."""
    component = world.component()
    dependency = world.dependency(component, world.component("production/us-central/cache", kind="cache"))
    world.dependency(component, world.component("production/us-central/database", kind="database"))
    account = Account.objects.get(username="owner")
    asker = world.account("asker", "developer")
    request = access.request_access(component.scope, by=asker, minutes=60, reason="A look at the logs.")
    elsewhere = world.component("production/us-central/play").scope
    granted = access.approve(
        access.request_access(elsewhere, by=asker, minutes=30, reason="A look at the logs."), by=account
    )
    location = f"{django_settings.ARTIFACT_SOURCES[0]}api-2.0.0.tar.gz"
    artifact = deployments.announce(
        component.service, by=world.account("ci", "ci", kind=Account.Kind.SERVICE),
        version="2.0.0", digest="sha256:" + "0" * 64, location=location,
    )  # fmt: skip
    world.component("staging/us-central/api")
    deployment = deployments.request(artifact, by=account, environment=world.environment("staging"))
    incident = incidents.open(component.environment, by=account, title="Something is wrong", component=component)
    soon = {"starts_at": clock.now(), "ends_at": clock.now() + timedelta(hours=1)}
    window = operations.declare(by=account, kind="maintenance", reason="Kernel update.", **soon)
    nightly = {"plan": "inventory.reload", "cron": "30 4 * * *", "reason": "Memory grows."}
    return {
        "plans": "inventory.reload",
        "windows": str(window.pk),
        "schedules": str(operations.schedule(component, by=account, **nightly).pk),
        "components": str(component.pk),
        "dependencies": str(dependency.pk),
        "data-centers": component.data_center.slug,
        "environments": component.environment.slug,
        "services": component.service.slug,
        "incidents": incident.reference,
        "operations": str(at("planned").pk),
        "access-requests": request.key,
        "grants": granted.grant.key,
        "artifacts": str(artifact.pk),
        "deployments": str(deployment.pk),
        "tokens": str(ApiToken.objects.first().pk),
    }


def check(answer: Any) -> None:
    """No 5xx; and whoever is refused is told why, as a problem document (RFC 9457)."""
    assert answer.status_code < 500, (answer.status_code, answer.text[:2000])
    if answer.status_code >= 400:
        document = answer.json()
        assert document["status"] == answer.status_code
        assert document["detail"].strip()


def ask(operation: Any, mode: GenerationMode, token: str, key: str) -> None:
    """Send what the schema says of one route: made up, and half of it about something that is there."""

    @SETTINGS
    @given(data=strategies.data())
    def send(data: Any) -> None:
        case = data.draw(operation.as_strategy(generation_mode=mode))
        if key and case.path_parameters and data.draw(strategies.booleans()):
            case.path_parameters = dict.fromkeys(case.path_parameters, key)
        with transaction.atomic():
            check(case.call(headers={"Authorization": f"Bearer {token}", "Accept-Encoding": "identity"}))
            transaction.set_rollback(True)  # the next one finds the same things

    with contextlib.suppress(Unsatisfiable):  # a route without any input cannot be asked in a wrong way
        send()


# A third of the routes is asked each time. How bad input of each noun is answered has tests of its own.
@pytest.mark.parametrize("part", [pytest.param(one, marks=pytest.mark.long if one > 1 else ()) for one in range(PARTS)])
def test_whatever_is_sent_is_answered(schema, everybody, present, subtests, part):
    routes = [(path, verb) for path, verbs in schema.raw_schema["paths"].items() for verb in verbs]
    for path, verb in routes[part::PARTS]:
        key = present.get(path.split("/")[3], "")
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            with subtests.test(f"{mode.value} {verb} {path}"):
                ask(schema[path][verb], mode, everybody, key)
