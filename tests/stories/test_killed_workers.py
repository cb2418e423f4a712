"""Workers killed with SIGKILL at every step of real reloads and canaries, under load: done or undone, never twice."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from deployments.plans.acts import connect
from drivers.app import App
from lab import releases
from operations import actions
from operations.models import Operation
from portal import events
from tests import world
from tests.drivers.load import Load
from tests.operations import test_sigkill as harness
from tests.operations.test_sigkill import broker

__all__ = ["broker"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(360), pytest.mark.long]
RELOAD, CANARY = "inventory.reload", "deployments.canary"
RATE = 20.0
"""Requests a second on each service; what 50 do is measured where no worker dies."""


class Mortal(harness.Worker):
    """A worker whose plans kill it."""

    package = "tests.stories"
    queues = "default,us-central"
    patience = 240

    @property
    def deaths(self) -> Path:
        return self.folder / "deaths"

    def condemn(self, operation: Operation, *moments: str) -> int:
        """It is to die at each of these moments of every step; how many deaths that is."""
        points = [f"{operation.kind}:{moment}:{at.position}" for at in operation.steps.all() for moment in moments]
        for point in points:
            (self.deaths / point).touch()
        return len(points)

    def left(self) -> list[str]:
        """Deaths that were not died."""
        return sorted(path.name for path in self.deaths.iterdir())


@pytest.fixture
def mortal(broker, staging, settings, tmp_path: Path) -> Iterator[Mortal]:
    settings.CONNECTIONS_FILE = staging.lab.connections
    folder = tmp_path / "worker"
    (folder / "deaths").mkdir(parents=True)
    it = Mortal(
        broker,
        folder,
        EDYE_TEST_DEATHS=str(folder / "deaths"),
        PORTAL_CONNECTIONS=str(staging.lab.connections),
        PORTAL_ARTIFACT_SOURCES=f"file://{staging.lab.root}/",
    )
    yield it
    it.kill()
    harness._drop_other_sessions()


def canary(staging, service: str, version: str, **faults: float) -> Operation:
    """Ask for a canary of a version that CI has just published."""
    component = world.component(f"staging/us-central/{service}")
    published = releases.publish(staging.lab, service, version, **faults)
    params = {name: published[name] for name in ("version", "digest", "location")}
    return actions.request(CANARY, component, by=events.SYSTEM, params=params)


def pids(app: App, slot: str) -> dict[int, int]:
    return {worker.pm_id: worker.pid for worker in app.workers(slot)}


def shifts(app: App) -> int:
    """How many configurations the edge has served so far."""
    return int(app.nginx.generation().partition("-")[0])


def test_a_good_canary_and_a_reload_survive_a_death_at_every_step(mortal, staging):
    """Both at once, each on its own service: everything happens exactly once, and nobody's request fails."""
    play, cloud = connect("staging/us-central/play"), connect("staging/us-central/cloud")
    serving, before, generation = play.serving(), pids(cloud, cloud.serving()), shifts(play)
    reload = actions.request(RELOAD, world.component("staging/us-central/cloud"), by=events.SYSTEM)
    bring = canary(staging, "play", "5.0.0")
    deaths = mortal.condemn(reload, "before", "after") + mortal.condemn(bring, "before", "after")
    with (
        Load(f"{play.nginx.url}/play/", RATE, repeats=True) as users,
        Load(f"{play.nginx.url}/cloud/", RATE, repeats=True) as others,
    ):
        mortal.start()
        states = harness.until_ended([reload, bring], mortal)
    assert states == {"cloud": "done", "play": "done"}
    assert (mortal.left(), deaths) == ([], 2 * (reload.steps.count() + bring.steps.count()))
    assert users.failures + others.failures == []
    # Once each: three switches of the edge, and each worker replaced by its direct successor.
    assert shifts(play) == generation + 3
    assert (play.serving() != serving, play.version(play.serving())) == (True, "5.0.0")
    replaced = {at.output["pm_id"]: at.output for at in reload.steps.filter(act="reload_worker")}
    assert {pm_id: output["replaced"] for pm_id, output in replaced.items()} == before
    assert pids(cloud, cloud.serving()) == {pm_id: output["pid"] for pm_id, output in replaced.items()}


def test_a_bad_canary_is_taken_back_although_its_worker_dies_at_every_step(mortal, staging):
    app = connect("staging/us-central/billing")
    serving, running, generation = app.serving(), app.version(app.serving()), shifts(app)
    bring = canary(staging, "billing", "5.1.0", error_rate=0.2)
    taken_back = bring.steps.filter(act__in=["start", "shift"], position__lte=4)
    mortal.condemn(bring, "before-undo", "after-undo")
    with Load(f"{app.nginx.url}/billing/", RATE):
        mortal.start()
        states = harness.until_ended([bring], mortal)
    assert states == {"billing": "undone"}
    due = {f"{CANARY}:{moment}:{at.position}" for at in taken_back for moment in ("before-undo", "after-undo")}
    assert due.isdisjoint(mortal.left())
    assert len(due) == 4
    assert (app.serving(), app.version(serving), app.weights()[serving]) == (serving, running, 100)
    assert shifts(app) == generation + 2
    assert app.workers("b" if serving == "a" else "a") == []
