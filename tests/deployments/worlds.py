"""Simulated worlds of the deployment plans, in which every act is repeated, broken and taken back."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from deployments import plans
from inventory.models import Component
from operations.plan import Plan
from tests import world
from tests.deployments.simulated import SimulatedApp, facts
from tests.deployments.test_releases import artifact
from tests.operations.worlds import World


class _Slots(World):
    """1.0.0 serves from slot a; artifact 2.0.0 lies ready."""

    kind: type[plans.OnOneHost]

    def __init__(self) -> None:
        folder = Path(tempfile.mkdtemp(prefix="edye-test-slots-"))
        self.app = SimulatedApp(folder / "releases")
        location, digest = artifact(folder / "artifact.tar.gz")
        self.params: dict[str, Any] = {"version": "2.0.0", "digest": digest, "location": location}

    def plan(self) -> Plan:
        return self.kind(lambda _: self.app)

    def subject(self) -> Component:
        return world.component()

    def picture(self) -> Any:
        return facts(self.app)

    def reached(self, before: Any) -> bool:
        return self.picture() == {"share": {"a": 0, "b": 100}, "versions": {"a": "1.0.0", "b": "2.0.0"}}


class CanarySlots(_Slots):
    kind = plans.Canary


class DirectSlots(_Slots):
    kind = plans.Direct


class SwitchBackSlots(_Slots):
    """2.0.0 has all traffic, 1.0.0 is warm."""

    kind = plans.SwitchBack

    def __init__(self) -> None:
        super().__init__()
        self.app.start_slot("b", "2.0.0")
        self.app.share = {"a": 0, "b": 100}
        self.params = {"from_slot": "a", "to_slot": "b", "from_version": "1.0.0"}

    def reached(self, before: Any) -> bool:
        return self.app.weights() == {"a": 100, "b": 0}


WORLDS = {world.kind.kind: world for world in (CanarySlots, DirectSlots, SwitchBackSlots)}
