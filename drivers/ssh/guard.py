"""Commands that change something run under a guard on the host itself: one at a time, the highest fence, once.

What the portal checks before it sends can be outdated when it arrives: a worker that was stopped in between goes on
minutes later. So the host keeps the highest fence in its fence folder and refuses a lower one under the same lock under
which the command runs. The guard also keeps, for each run, that it began, how it ended and what it said, so that a
worker which takes over learns of a command whose caller died.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from drivers import names
from drivers.acts import Call
from drivers.commands import Finished
from drivers.errors import PermanentError, StaleFence, TransientError

GUARD = Path(__file__).with_name("guard.sh").read_text()
_SAID = re.compile(r"portal (locked|stale \d+|damaged|unknown|ended (\d+))\n(.*)", re.DOTALL)
_RUN = re.compile(r"[0-9a-f]{32}(-[a-z]+)?")
Mode = Literal["once", "again", "always"]


class Runs(Protocol):
    """What the guard needs of a connection."""

    def run(self, argv: Sequence[str], *, seconds: float = ..., given: bytes = ...) -> Finished: ...


@dataclass(frozen=True, slots=True)
class Ended:
    """Exit status, and the last 4,000 bytes of what it said."""

    status: int
    output: str


def run(host: Runs, folder: str, argv: Sequence[str], call: Call, *, run: str, mode: Mode, seconds: float) -> Ended:
    """Run `argv` on the host under the guard of `folder`.

    `run` names it for good. With `once` a command whose end is unknown is a `PermanentError`, with `again` it is begun
    again, with `always` former runs do not count. `StaleFence` when another caller has taken over, `TransientError`
    while another command is running.
    """
    if not _RUN.fullmatch(run):
        raise PermanentError("the plan names no run")
    fence = "-" if call.fence is None else str(names.whole(call.fence, 0, 10**18 - 1, "fence"))
    call.check()
    done = host.run(["sh", "-c", GUARD, "guard", folder, fence, run, mode, *argv], seconds=seconds + 15)
    said = _SAID.fullmatch(done.output)
    if said is None and done.status < 0:
        raise TransientError("the guard was ended by a signal")
    if said is None:
        raise PermanentError(f"the guard in {folder} did not run: {done.tail or f'exit status {done.status}'}"[:500])
    word = said.group(1).split()[0]
    if word == "stale":
        raise StaleFence(f"fence {fence} is older than {said.group(1)[6:]} on this host: another caller took over")
    if word == "locked":
        raise TransientError("another command of the portal is running on this host")
    if word == "damaged":
        raise PermanentError(f"the fence file in {folder} is damaged; repair it before anything is changed")
    if word == "unknown":
        raise PermanentError("it was begun before, and nobody knows whether it ended; look at the host")
    return Ended(int(said.group(2)), said.group(3))


def succeeded(host: Runs, folder: str, run: str) -> bool:
    """Whether a run has ended with status 0."""
    return host.run(["cat", "--", f"{folder}/runs/{run}.ended"]).output.strip() == "0"


def begun(host: Runs, folder: str, run: str) -> bool:
    """Whether a run was ever begun."""
    return host.run(["cat", "--", f"{folder}/runs/{run}.begun"]).status == 0
