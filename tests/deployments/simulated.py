"""A service in two slots that lives in memory: what ``drivers.app.App`` answers, without processes.

Simulated. It keeps the driver's contract (idempotent acts, slots, weights, traffic by first attempt) and counts what
it was told, so that a test can see that nothing happened twice.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from drivers.errors import PermanentError
from drivers.nginx import Switched, Traffic


@dataclass
class Running:
    pm_id: int
    version: str
    online: bool = True


@dataclass
class Health:
    ok: bool
    version: str | None
    error: str | None = None


@dataclass
class Edge:
    live: int = 1

    def generation(self) -> str:
        return str(self.live)

    served_generation = generation


@dataclass
class SimulatedApp:
    releases: Path
    instances: int = 2
    slots: dict[str, list[Running]] = field(default_factory=dict)
    share: dict[str, int] = field(default_factory=lambda: {"a": 100, "b": 0})
    error_rates: dict[str, float] = field(default_factory=dict)
    requests_per_look: int = 700
    nginx: Edge = field(default_factory=Edge)
    told: Counter[str] = field(default_factory=Counter)
    history: list[dict[str, int]] = field(default_factory=list)
    broken: str = ""
    seen: dict[str, list[int]] = field(default_factory=lambda: {"a": [0, 0], "b": [0, 0]})

    def __post_init__(self) -> None:
        if not self.slots:
            self.slots = {"a": [Running(place, "1.0.0") for place in range(self.instances)], "b": []}

    def weights(self) -> dict[str, int]:
        return dict(self.share)

    def workers(self, slot: str) -> list[Running]:
        return list(self.slots[slot])

    def version(self, slot: str) -> str | None:
        return self.slots[slot][0].version if self.slots[slot] else None

    def health(self, slot: str) -> Health:
        running = self.version(slot)
        return Health(running is not None, running, None if running else "nobody answers")

    def start_slot(self, slot: str, version: str) -> list[Running]:
        if self.version(slot) != version:
            if self.broken == "start":
                raise PermanentError(f"{version} never became healthy")
            self.told["start"] += 1
            self.slots[slot] = [Running(10 + place, version) for place in range(self.instances)]
        return self.slots[slot]

    def stop_slot(self, slot: str) -> bool:
        if self.share[slot]:
            raise PermanentError("takes traffic")
        there = bool(self.slots[slot])
        self.told["stop"] += there
        self.slots[slot] = []
        return there

    def shift(self, weights: dict[str, int], token: str, fence: int | None = None) -> Switched:
        assert token
        assert fence
        if self.broken == "shift back" and token.endswith(":back"):
            raise PermanentError("the edge is gone")
        if self.share != weights:
            self.told["shift"] += 1
            self.share = dict(weights)
            self.history.append(dict(weights))
            self.nginx.live += 1
            self.seen = {"a": [0, 0], "b": [0, 0]}
        return Switched(self.nginx.generation(), {"x": self.share}, True)

    def traffic(self, since: datetime) -> dict[str, Traffic]:
        """Each look finds ``requests_per_look`` more requests, split by weight, failing at the slots' rates."""
        for slot, share in self.share.items():
            more = self.requests_per_look * share // 100
            self.seen[slot][0] += more
            self.seen[slot][1] += round(more * self.error_rates.get(self.version(slot) or "", 0.0))
        return {slot: Traffic(slot, count, bad, 0.01, 0.02, True) for slot, (count, bad) in self.seen.items()}

    def probe_edge(self, requests: int) -> int:
        self.told["probe"] += requests
        serving = max(self.share, key=lambda slot: self.share[slot])
        return round(requests * self.error_rates.get(self.version(serving) or "", 0.0))


def facts(app: SimulatedApp) -> dict[str, Any]:
    """The app's present in one comparable value."""
    return {"share": app.weights(), "versions": {slot: app.version(slot) for slot in app.slots}}
