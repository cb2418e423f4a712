"""Acts whose worker is stopped by SIGSTOP on the way to the effect, and a plan on a file that a host's fence guards.

The environment variable ``STOPS`` names a folder. The first process that comes to a place named there stops itself, for
as long as the test lets it: ``STOPS/<place>`` then holds its process id.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from drivers.acts import Call
from drivers.errors import StaleFence
from drivers.locks import Ledger, exclusive
from operations.plan import Act, Plan, StepContext, StepDraft

KIND = "tests.fenced"


def stop_once(place: str) -> None:
    """SIGSTOP for this process and all its threads, if nobody has been stopped at ``place`` yet."""
    try:
        handle = os.open(Path(os.environ["STOPS"]) / place, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        return
    os.write(handle, str(os.getpid()).encode())
    os.close(handle)
    os.kill(os.getpid(), signal.SIGSTOP)


def stopping_before_its_check(check: Any) -> Any:
    """``Call.check`` of a driver, with the stop between the look and this last question before the effect."""

    def stopped(call: Call) -> None:
        stop_once("asking")
        check(call)

    return stopped


class Fenced(Plan):
    """Append a line to a file. Its worker is stopped when the claim has just been found to hold."""

    kind = KIND
    title = "Write to {subject}"
    permission = "inventory.operate"
    params_schema = {"type": "object", "properties": {"folder": {"type": "string"}}, "required": ["folder"]}

    def __init__(self) -> None:
        self.acts = (Act("write", "Write", self.do, None, self.done, "A line is not taken back."),)

    def target(self, subject: Any) -> str:
        return str(subject.slug)

    def draft(self, subject: Any, params: dict[str, Any]) -> Sequence[StepDraft]:
        return [StepDraft("write", "Write")]

    def _page(self, ctx: StepContext) -> Path:
        return Path(ctx.params["folder"]) / "page"

    def done(self, ctx: StepContext) -> bool:
        return self._page(ctx).exists()

    def do(self, ctx: StepContext) -> dict[str, Any]:
        folder = Path(ctx.params["folder"])
        if not ctx.alive():
            raise StaleFence("another worker is at it")
        stop_once("fence")
        with exclusive(folder / "lock"):
            Ledger(folder / "fences.json").raise_fence(["page"], ctx.fence)
            with self._page(ctx).open("a") as page:
                page.write(f"try {ctx.attempt}\n")
        return {"by": ctx.fence}
