"""Reports over deployments."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from deployments.models import Deployment, Wave
from operations.models import Step


@dataclass(frozen=True)
class WaveView:
    """A wave as people look at it: its steps, how far they are, and the share of traffic the new version has now."""

    wave: Wave
    steps: list[Step]
    share: int
    done: int

    @property
    def total(self) -> int:
        return len(self.steps)

    @property
    def verdicts(self) -> list[str]:
        return [step.output["sentence"] for step in self.steps if step.output.get("sentence")]


def waves(deployment: Deployment) -> list[WaveView]:
    """The waves of ``deployment`` in order, with the steps of their operations (two queries)."""
    rows = deployment.waves.select_related("component__data_center", "operation", "back").prefetch_related(
        "operation__steps"
    )
    return [_view(wave) for wave in rows]


def topics(views: list[WaveView]) -> str:
    """What a browser listens to beside the deployment itself: the operations of its waves."""
    ids = [pk for view in views for pk in (view.wave.operation_id, view.wave.back_id) if pk]
    return " ".join(f"operations.operation:{pk}" for pk in ids)


def _view(wave: Wave) -> WaveView:
    steps = list(wave.operation.steps.all()) if wave.operation else []
    done = [step for step in steps if step.state == "done"]
    gone_back = wave.back is not None and wave.back.state == "done"
    share = 0 if gone_back else max((_weight(step) for step in done if step.act == "shift"), default=0)
    return WaveView(wave, steps, share, len(done))


def _weight(step: Step) -> int:
    arguments: dict[str, Any] = step.arguments
    return int(arguments.get("weight", 0))
