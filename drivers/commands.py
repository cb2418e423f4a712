"""Running a program: an argument list, a clean environment, a time limit, bounded output. Never a shell."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import PermanentError, TransientError

_SYSTEM_PATH = "/usr/local/bin:/usr/bin:/bin"


@dataclass(frozen=True, slots=True)
class Finished:
    """A program that ended by itself: exit status and both streams, decoded leniently."""

    status: int
    output: str
    error: str

    @property
    def tail(self) -> str:
        """The last 1,000 characters of what it said, the error stream first: what an operator needs to read."""
        return (self.error.strip() or self.output.strip())[-1000:]


def run(argv: Sequence[str | Path], *, seconds: float, env: Mapping[str, str], cwd: Path | None = None) -> Finished:
    """Run `argv` and wait at most `seconds`.

    The child gets only `env` and a fixed PATH, so nothing of the portal's own environment (keys, addresses) reaches
    it. When time is up its whole process group is killed and `TransientError` is raised; a program that cannot be
    started is a `PermanentError`. The exit status is the caller's to judge.
    """
    words = [os.fspath(word) for word in argv]
    label = Path(words[0]).name
    if any("\0" in word for word in (*words, *env.values())):
        raise PermanentError(f"{label} was not run: an argument holds a NUL character")
    try:
        child = subprocess.Popen(
            words,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={"PATH": _SYSTEM_PATH, "LANG": "C.UTF-8", **env},
            cwd=cwd,
            start_new_session=True,
        )
    except OSError as error:
        raise PermanentError(f"{label} cannot be started: {error.strerror}") from None
    try:
        output, error_output = child.communicate(timeout=seconds)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, signal.SIGKILL)
        child.communicate()
        raise TransientError(f"{label} did not finish within {seconds:g} seconds") from None
    return Finished(child.returncode, output.decode(errors="replace"), error_output.decode(errors="replace"))
