"""A canary on real nginx and PM2 under constant open-loop load: nobody notices a good one, few notice a bad one."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments import actions, reconcile
from deployments.models import Deployment
from deployments.plans.acts import connect
from identity.models import Account
from lab import releases
from operations import engine
from operations.models import Operation
from portal import events
from tests import world
from tests.drivers.load import Load

pytestmark = [pytest.mark.django_db, pytest.mark.timeout(240), pytest.mark.long]
RATE = 50


@pytest.fixture
def app(staging, settings):
    """The driver of the service "play" on the lab's daemons."""
    settings.CONNECTIONS_FILE = staging.lab.connections
    settings.ARTIFACT_SOURCES = [f"file://{staging.lab.root}/"]
    return connect("staging/us-central/play")


@pytest.fixture
def load(app) -> Iterator[Load]:
    with Load(f"{app.nginx.url}/play/", rate=RATE) as running:
        yield running


def work(deployment: Deployment, seconds: float = 120) -> Deployment:
    """Be driver and worker, honouring every wait, until the deployment has ended."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        deployment.refresh_from_db()
        if deployment.state in deployment.lifecycle.terminal:
            return deployment
        moved = reconcile.drive()
        for operation in Operation.objects.filter(state__in=["queued", "running", "undoing"]):
            moved += engine.advance(operation.pk)
        if not moved:
            time.sleep(0.1)
    raise AssertionError(f"{deployment} never ended; it is {deployment.state}")


def deploy(staging, version: str, **faults: float) -> Deployment:
    """Publish, announce and approve ``version`` for a production that stands on the lab's daemons."""
    world.component("production/us-central/play", connection="staging/us-central/play")
    published = releases.publish(staging.lab, "play", version, **faults)
    ci = world.account("ci", "ci", kind=Account.Kind.SERVICE)
    artifact = actions.announce(
        world.service("play"), by=ci, version=version, digest=published["digest"], location=published["location"]
    )
    deployment = actions.request(artifact, by=events.SYSTEM, environment=world.environment("production"))
    reconcile.drive()
    deployment.refresh_from_db()
    with events.acting(second_factor_at=events.clock.now()):
        return actions.approve(deployment, by=world.account("owner", "operations_owner"))


def served_by(app, since: float) -> dict[str, int]:
    from datetime import UTC, datetime

    traffic = app.traffic(datetime.fromtimestamp(since, UTC))
    return {slot: seen.requests for slot, seen in traffic.items()}


def test_no_request_fails_during_a_good_canary(staging, app, load):
    before = app.serving()
    deployment = work(deploy(staging, "1.1.0"))
    time.sleep(1)
    assert (deployment.state, deployment.outcome) == ("succeeded", "The new version serves alone.")
    assert (app.serving() != before, app.version(app.serving())) == (True, "1.1.0")
    steps = deployment.waves.get().operation.steps.filter(act="shift")
    generations = [step.output["generation"] for step in steps.order_by("position")]
    assert generations == sorted(set(generations))
    assert len(generations) == 3
    load.__exit__()
    assert sum(load.results.values()) > RATE * 5
    assert load.failures == []


def test_a_bad_version_is_withdrawn_by_itself_at_its_first_weight(staging, app, load):
    serving, running = app.serving(), app.version(app.serving())
    begun = time.time()
    deployment = work(deploy(staging, "1.2.0", error_rate=0.2))
    assert deployment.state == "rolled_back"
    assert "withdrawn" in deployment.outcome
    assert (app.serving(), app.version(serving)) == (serving, running)
    assert app.weights()[serving] == 100
    shifts = deployment.waves.get().operation.steps.filter(act="shift", state="undone")
    assert [step.arguments["weight"] for step in shifts] == [10]
    other = "b" if serving == "a" else "a"
    seen = served_by(app, begun)
    assert seen[other] <= 0.15 * sum(seen.values()) + 10
    assert app.workers(other) == []


def test_a_version_that_crashes_at_start_never_gets_a_request(staging, app, load):
    serving = app.serving()
    begun = time.time()
    deployment = work(deploy(staging, "1.3.0", crash_at_start=True))
    assert deployment.state == "rolled_back"
    other = "b" if serving == "a" else "a"
    assert served_by(app, begun)[other] == 0
    load.__exit__()
    assert load.failures == []


def test_other_bytes_than_announced_never_run(staging, app):
    deployment = deploy(staging, "1.4.0")
    Path(deployment.artifact.location.removeprefix("file://")).write_bytes(b"something else")
    deployment = work(deployment)
    assert deployment.state == "rolled_back"
    assert "announced was" in deployment.outcome
