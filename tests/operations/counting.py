"""A world made of files that notices when anything happens twice, and a plan that kills its own worker on demand.

Each operation has a folder. Step 2 done is the file ``done-2``; taken back it becomes ``undone-2``. A second doing or
undoing leaves ``twice-…``, which no test forgives.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from operations.plan import Act, Plan, StepContext, StepDraft
from tests.operations.worlds import World

STEPS = 3
KIND = "tests.counting"


class Refusal(Exception):
    """What the last step answers when the plan is to unwind."""

    permanent = True


def _once(path: Path) -> bool:
    """Create ``path``; False when it was there."""
    try:
        os.close(os.open(path, os.O_CREAT | os.O_EXCL))
    except FileExistsError:
        return False
    return True


def _die(ctx: StepContext, moment: str) -> None:
    """SIGKILL for this process, the first time the operation comes to the point named in its parameters."""
    if ctx.params.get("die") == f"{moment} {ctx.position}" and _once(Path(ctx.params["folder"]) / "died"):
        os.kill(os.getpid(), signal.SIGKILL)


class Counting(Plan):
    kind = KIND
    title = "Count in {subject}"
    permission = "inventory.reload"
    params_schema = {
        "type": "object",
        "properties": {
            "folder": {"type": "string"},
            "die": {"type": "string"},
            "fails": {"type": "boolean"},
            "sticks": {"type": "boolean"},
        },
        "required": ["folder"],
        "additionalProperties": False,
    }

    def __init__(self) -> None:
        self.acts = (
            Act("count", "Count", self.do, self.undo, self.done),
            Act("end", "End", self.end, None, lambda ctx: not ctx.params.get("fails"), "It does nothing."),
        )

    def target(self, subject: Any) -> str:
        return str(subject.slug)

    def draft(self, subject: Any, params: dict[str, Any]) -> Sequence[StepDraft]:
        return [*(StepDraft("count", f"Count {place}") for place in range(1, STEPS + 1)), StepDraft("end", "End")]

    def _path(self, ctx: StepContext, word: str) -> Path:
        return Path(ctx.params["folder"]) / f"{word}-{ctx.position}"

    def done(self, ctx: StepContext) -> bool:
        return self._path(ctx, "done").exists()

    def do(self, ctx: StepContext) -> dict[str, Any]:
        _die(ctx, "before do")
        ctx.log("counting")
        ctx.progress(1, 2)
        time.sleep(0.02)
        if self._path(ctx, "undone").exists() or not _once(self._path(ctx, "done")):
            _once(self._path(ctx, "twice"))
        _die(ctx, "after do")
        return {"counted": ctx.position}

    def undo(self, ctx: StepContext) -> dict[str, Any]:
        """Takes the count back."""
        _die(ctx, "before undo")
        if ctx.params.get("sticks") and not (Path(ctx.params["folder"]) / "mended").exists():
            raise Refusal("it cannot be taken back")
        time.sleep(0.02)
        if self.done(ctx):
            if self._path(ctx, "undone").exists():
                _once(self._path(ctx, "twice-back"))
            self._path(ctx, "done").rename(self._path(ctx, "undone"))
        _die(ctx, "after undo")
        return {}

    def end(self, ctx: StepContext) -> dict[str, Any]:
        raise Refusal("it is to be taken back")


def found(folder: Path) -> list[str]:
    """What the world shows of an operation, except that somebody died."""
    return sorted(path.name for path in folder.iterdir() if path.name != "died")


DONE = [f"done-{place}" for place in range(1, STEPS + 1)]
UNDONE = [f"undone-{place}" for place in range(1, STEPS + 1)]


class CountingWorld(World):
    """The same, for proofs within the test's own process."""

    def __init__(self, folder: Path, subject: Any, **params: Any) -> None:
        self.folder = folder
        self._subject = subject
        self.params = {"folder": str(folder), **params}

    def plan(self) -> Plan:
        return Counting()

    def subject(self) -> Any:
        return self._subject

    def picture(self) -> list[str]:
        return found(self.folder)

    def reached(self, before: Any) -> bool:
        return self.picture() == DONE
