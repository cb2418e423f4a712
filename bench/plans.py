"""Plans that are only there to be measured. Real drivers' plans are measured beside them, see ``bench.chaos``."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from drivers.errors import PermanentError, StaleFence, TransientError
from operations.plan import Act, Plan, StepContext, StepDraft, register

Report = dict[str, Any]
TALLY = "bench.tally"
IDLE = "bench.idle"


class _Measured(Plan):
    permission = "inventory.reload"

    def target(self, subject: Any) -> str:
        return str(subject.slug)

    def queue(self, subject: Any) -> str:
        return str(subject.data_center.slug)


class Tally(_Measured):
    """Each step tells the counting daemon once; looks first, as every driver does, and asks for its claim last."""

    kind = TALLY
    title = "Tell {subject}"
    params_schema = {
        "type": "object",
        "properties": {"thing": {"type": "string"}, "steps": {"type": "integer", "minimum": 1, "maximum": 9}},
        "required": ["thing", "steps"],
        "additionalProperties": False,
    }

    def __init__(self) -> None:
        self.acts = (Act("tell", "Tell it", self.do, self.undo, self.done, timeout_seconds=30),)

    def draft(self, subject: Any, params: Report) -> Sequence[StepDraft]:
        return [StepDraft("tell", f"Tell it step {place}") for place in range(1, params["steps"] + 1)]

    def done(self, ctx: StepContext) -> bool:
        return self._ask("GET", ctx) > 0

    def do(self, ctx: StepContext) -> Report:
        self._claimed(ctx)
        return {"count": self._ask("POST", ctx)}

    def undo(self, ctx: StepContext) -> Report:
        """Takes back what was told, if it was."""
        if not self.done(ctx):
            return {}
        self._claimed(ctx)
        return {"count": self._ask("DELETE", ctx)}

    @staticmethod
    def _claimed(ctx: StepContext) -> None:
        if not ctx.alive():
            raise StaleFence("the claim on this step is over: another worker may be at it")

    @staticmethod
    def _ask(method: str, ctx: StepContext) -> int:
        url = f"{os.environ['BENCH_TALLY']}/{ctx.params['thing']}/{ctx.position}"
        headers = {"X-Token": ctx.token, "X-Fence": str(ctx.fence), "Connection": "close"}
        try:
            with httpx.Client(timeout=5, trust_env=False, verify=False) as client:
                answer = client.request(method, url, headers=headers)
        except httpx.HTTPError as error:
            raise TransientError(f"no answer: {error or type(error).__name__}") from None
        if answer.status_code == 503:
            raise TransientError("it is busy")
        if answer.status_code != 200:
            raise PermanentError(f"it refuses with {answer.status_code}")
        return int(answer.json()["count"])


class Idle(_Measured):
    """Steps that cost next to nothing, so that what is left is the engine's. Each says how long its own part took."""

    kind = IDLE
    title = "Do next to nothing to {subject}"
    params_schema = {
        "type": "object",
        "properties": {"folder": {"type": "string"}, "steps": {"type": "integer"}, "seconds": {"type": "number"}},
        "required": ["folder", "steps"],
        "additionalProperties": False,
    }

    def __init__(self) -> None:
        self.acts = (Act("idle", "Idle", self.do, self.undo, self.done),)

    def draft(self, subject: Any, params: Report) -> Sequence[StepDraft]:
        return [StepDraft("idle", f"Idle {place}") for place in range(1, params["steps"] + 1)]

    def _path(self, ctx: StepContext) -> Path:
        return Path(ctx.params["folder"]) / str(ctx.position)

    def done(self, ctx: StepContext) -> bool:
        return self._path(ctx).exists()

    def do(self, ctx: StepContext) -> Report:
        begun = time.perf_counter()
        time.sleep(ctx.params.get("seconds", 0))
        self._path(ctx).touch()
        return {"own": time.perf_counter() - begun}

    def undo(self, ctx: StepContext) -> Report:
        """Removes the mark."""
        self._path(ctx).unlink(missing_ok=True)
        return {}


def register_all() -> None:
    """Make both known to this process."""
    register(Tally())
    register(Idle())
