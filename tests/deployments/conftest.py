"""An estate with one service in staging and in both data centers of production, on simulated hosts."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from copy import deepcopy
from dataclasses import dataclass

import pytest

from deployments import plans, reconcile
from deployments.models import Artifact, Deployment
from identity.models import Account
from operations import engine
from operations.models import Operation
from tests import world
from tests.deployments.simulated import SimulatedApp
from tests.deployments.test_releases import artifact as bytes_of
from tests.operations.worlds import registered

PLACES = ("staging/us-central/api", "production/us-central/api", "production/us-east/api")


@dataclass
class Estate:
    """The hosts by component slug, the cast, and ways to let time do its work."""

    apps: dict[str, SimulatedApp]
    ci: Account
    owner: Account
    author: Account
    location: str
    digest: str

    def announce(self, version: str = "2.0.0") -> Artifact:
        from deployments import actions

        return actions.announce(
            world.service("api"),
            by=self.ci,
            version=version,
            digest=self.digest,
            location=self.location,
            author=self.author.person.email,
        )

    def run(self, rounds: int = 60) -> None:
        """Let the driver and the engine work until nothing moves any more; waits do not wait."""
        for _ in range(rounds):
            moved = reconcile.drive()
            for operation in Operation.objects.filter(state__in=["queued", "running", "undoing"]):
                Operation.objects.filter(pk=operation.pk).update(not_before=None)
                moved += engine.advance(operation.pk)
            if not moved:
                return

    def deployment(self, environment: str) -> Deployment:
        return Deployment.objects.select_related("artifact", "environment").get(environment__slug=environment)


def _people() -> dict[str, Account]:
    for place in PLACES:
        world.component(place)
    return {
        "ci": world.account("ci", "ci", ("*", "*"), kind="service"),
        "owner": world.account("owner", "operations_owner"),
        "author": world.account("author", "operations_owner"),
    }


@pytest.fixture(scope="module")
def _cast(standing) -> dict[str, Account]:
    return standing(_people)


@pytest.fixture
def estate(_cast, db, tmp_path, settings) -> Iterator[Estate]:
    """Everything runs 1.0.0 in slot a; artifact 2.0.0 lies ready."""
    location, digest = bytes_of(tmp_path / "artifact.tar.gz")
    settings.ARTIFACT_SOURCES = [f"file://{tmp_path}/"]
    apps = {place: SimulatedApp(tmp_path / place.replace("/", "-")) for place in PLACES}
    with ExitStack() as replaced:
        for kind in (plans.Canary, plans.Direct, plans.SwitchBack):
            replaced.enter_context(registered(kind(apps.__getitem__)))
        yield Estate(apps=apps, location=location, digest=digest, **deepcopy(_cast))
