"""The Celery application of the worker that is killed at every step: the portal's, with plans that are deadly.

Each file in the folder ``EDYE_TEST_DEATHS`` is one death, named after the operation's kind, the moment and the step:
``inventory.reload:before:3``. Whoever comes to that point takes the file away and kills its own process.
"""

import os
import signal
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import django

django.setup()

from operations import plan  # noqa: E402 (models exist only from here on)
from portal.celery import app  # noqa: E402

DEATHS = Path(os.environ["EDYE_TEST_DEATHS"])


def die(kind: str, moment: str, position: int) -> None:
    """SIGKILL for this process, if a death is due here."""
    try:
        (DEATHS / f"{kind}:{moment}:{position}").unlink()
    except FileNotFoundError:
        return
    os.kill(os.getpid(), signal.SIGKILL)


def deadly(kind: str, act: plan.Act) -> plan.Act:
    """The same act, around whose effect its worker may die: before the first look, and once the world shows it."""

    def done(ctx: plan.StepContext) -> bool:
        die(kind, "before", ctx.position)
        seen = act.done(ctx)
        if seen:
            die(kind, "after", ctx.position)
        return seen

    def around(undo: Callable[[plan.StepContext], Any]) -> Callable[[plan.StepContext], Any]:
        def undoing(ctx: plan.StepContext) -> Any:
            die(kind, "before-undo", ctx.position)
            output = undo(ctx)
            die(kind, "after-undo", ctx.position)
            return output

        return undoing

    undo = around(act.undo) if act.undo else None
    return replace(act, done=done, undo=undo, undo_title=act.taking_back if undo else "")


for (kind, _), known in plan.registry.items():
    known.acts = tuple(deadly(kind, act) for act in known.acts)
app.conf.beat_schedule = {"operations.sweep": app.conf.beat_schedule["operations.sweep"]}
