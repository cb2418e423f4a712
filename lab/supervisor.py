"""`lab up --foreground`: keep the lab up until told to stop, then stop what was started and nothing else."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Collection
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import psutil

from lab import broken, estate, files, heal
from lab.daemon import SUPERVISOR, supervisor_pid, until
from lab.errors import LabError
from lab.estate import Estate, Say
from lab.layout import Lab
from lab.unit import Unit, require

_LOOK_SECONDS = 1.0
_RESTART_SECONDS = 30.0
_LONGEST_BACK_OFF = 30.0


def run(lab: Lab, environments: Collection[str], base: int, say: Say) -> int:
    """Start, watch, restart what dies; on SIGTERM, SIGINT or the end of the parent stop everything it started.

    What an earlier `lab up` has started is adopted and left running at the end; what a supervisor that was killed has
    left behind is taken over. Returns 0 after a stop that was asked for.
    """
    lab.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with files.locked(lab.root / ".supervisor.lock", wait=False) as ours:
        if not ours:
            raise LabError(
                f"process {supervisor_pid(lab)} keeps this lab up already; `lab status` shows it, `lab down` ends it"
            )
        me = psutil.Process()
        files.write_json(lab.supervisor, {"pid": me.pid, "started": me.create_time()})
        stop = threading.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stop.set())
        try:
            here = estate.prepare(lab, environments, base)
            _Watch(here, say).until_stopped(stop)
        finally:
            lab.supervisor.unlink(missing_ok=True)
    return 0


class _Watch:
    def __init__(self, here: Estate, say: Say) -> None:
        self.here = here
        self.say = say
        self.pool = ThreadPoolExecutor(4)
        self.repairs: dict[str, Future[str]] = {}
        self.failures: dict[str, int] = {}
        self.next_try: dict[str, float] = {}

    def until_stopped(self, stop: threading.Event) -> None:
        parent = os.getppid()
        first = self.pool.submit(self._first)
        while not stop.wait(_LOOK_SECONDS):
            if first.done():
                for unit in self.here.units:
                    self._look(unit)
            if parent != 1 and os.getppid() != parent:
                self.say("lab: whoever started this is gone")
                break
        self._end()

    def _first(self) -> None:
        outcomes = self.here.up(SUPERVISOR, self.say)
        failed = [outcome.name for outcome in outcomes if outcome.problem]
        self.say(f"lab: {'not ready: ' + ', '.join(failed) if failed else 'ready'}")

    def _look(self, unit: Unit) -> None:
        """Start `unit` again, in the background, when a daemon of it died that nobody broke on purpose."""
        repair = self.repairs.get(unit.name)
        if repair is not None:
            if not repair.done():
                return
            self._report(unit, self.repairs.pop(unit.name))
        skip = broken.daemons(self.here.lab)
        dead = [daemon.name for daemon in unit.daemons if daemon.name not in skip and daemon.process() is None]
        if dead and time.monotonic() >= self.next_try.get(unit.name, 0.0):
            self.say(f"lab: {', '.join(dead)} died; starting again")
            self.repairs[unit.name] = self.pool.submit(unit.up, SUPERVISOR, _RESTART_SECONDS, skip)

    def _report(self, unit: Unit, repair: Future[Any]) -> None:
        error = repair.exception()
        count = self.failures[unit.name] = self.failures.get(unit.name, 0) + 1 if error else 0
        back_off = min(2.0**count, _LONGEST_BACK_OFF) if error else 0.0
        self.next_try[unit.name] = time.monotonic() + back_off
        self.say(f"lab: {unit.name} {f'failed, next try in {back_off:.0f} s: {error}' if error else 'is up again'}")

    def _end(self) -> None:
        self.say("lab: stopping")
        for unit in self.here.units:
            unit.stopping.set()
        heal.forget(self.here.lab)
        stopped = self.here.down({SUPERVISOR})
        self.pool.shutdown(wait=True, cancel_futures=True)
        stopped += self.here.down({SUPERVISOR})  # what was just being started when the first round passed it
        left = self._left()
        files.write_json(self.here.lab.selection, sorted(left))
        if not left:
            self.here.lab.discard_runtime()
        self.say(f"lab: stopped {len(stopped)} daemons")

    def _left(self) -> set[str]:
        """The environments of which something still runs: what `lab up` had started before."""
        running = [unit for unit in self.here.units if any(daemon.process() for daemon in unit.daemons)]
        return {name for unit in running for name in unit.environments}


def end(lab: Lab, say: Say) -> None:
    """Ask a running supervisor to stop, and wait until it has; nothing when there is none."""
    number = supervisor_pid(lab)
    if number is None:
        return
    say(f"asking the supervisor (process {number}) to stop")
    os.kill(number, signal.SIGTERM)

    def gone() -> str:
        require(supervisor_pid(lab) is None, "it still runs")
        return "gone"

    until(gone, 20, f"the end of the supervisor (process {number})")
