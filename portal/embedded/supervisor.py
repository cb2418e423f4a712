"""The processes of `make up` under honcho: logs into files, restarts, and an orderly end."""

import logging
import logging.handlers
import multiprocessing
import os
import shlex
import signal
import sys
import threading
import time
from collections import defaultdict, deque
from collections.abc import Callable, Mapping, Sequence
from multiprocessing.synchronize import Event
from pathlib import Path
from typing import Any

import honcho.manager
from honcho.compat import ProcessManager
from honcho.printer import Message
from honcho.process import Popen, Process

from portal.embedded import process

RESTARTS = 3
WITHIN = 60.0
PATIENCE = 20.0


class _Notice(str):
    """A line about a program rather than of it; shown on the terminal."""


class _Child(Popen):
    def __init__(self, cmd: str, **options: Any) -> None:
        # Without a shell between, a signal reaches the program itself.
        super().__init__(shlex.split(cmd), shell=False, preexec_fn=process.child(signal.SIGTERM), **options)


class _Program(Process):
    """A program that is started again when it ends by itself, up to RESTARTS times within a minute.

    One that keeps ending brings the others down, unless it is optional: then it is left out.
    """

    def __init__(self, *args: Any, run: Path, go: Event, stopping: Event, optional: bool, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._child_ctor = _Child
        self._run, self._go, self._stopping, self._optional = run, go, stopping, optional
        self._ends: deque[float] = deque(maxlen=RESTARTS + 1)
        self._again = False

    def run(self, events: Any = None, ignore_signals: bool = False) -> None:
        # This forked helper ends when its program has ended, and must not outlive the supervisor.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        process.follow_parent(signal.SIGKILL)
        self._events = events
        self._again = self._turn_comes()
        while self._again:
            super().run(events, ignore_signals)
            if self._again and self._stopping.wait(1):
                self._again = False
                super()._send_message({"returncode": 0}, type="stop")

    def _turn_comes(self) -> bool:
        """Wait for the start signal; False when the end came first, which honcho is told as a start and a stop."""
        deadline = time.monotonic() + PATIENCE
        while not self._go.wait(0.1) and time.monotonic() < deadline:
            if self._stopping.is_set():
                super()._send_message({"pid": os.getpid()}, type="start")
                super()._send_message({"returncode": 0}, type="stop")
                return False
        return True

    def _send_message(self, data: Any, type: str = "line") -> None:
        if type == "start":
            process.record(self._run, self.name, data["pid"])
            if self._stopping.is_set():  # asked to end between the two
                os.kill(data["pid"], signal.SIGTERM)
        elif type == "stop" and not self._stopping.is_set():
            self._ends.append(time.monotonic())
            often = len(self._ends) > RESTARTS and self._ends[-1] - self._ends[0] < WITHIN
            self._again = not often
            outcome = "left out after several attempts" if self._optional else "given up after several attempts"
            text = f"ended with code {data['returncode']}; {outcome if often else 'starting it again'}"
            super()._send_message(_Notice(text))
            if often and self._optional:
                self._stopping.wait()
            elif not often:
                return
        elif type == "stop":
            self._again = False
        super()._send_message(data, type)


class _Leaders(ProcessManager):
    """Stops leaders only: a Celery worker or the lab ends its own children in order. kill() takes the whole group."""

    def terminate(self, pid: int) -> None:
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return


class _Logs:
    """honcho's printer: each program's lines go to its own rotating file, and the last ones are kept for a notice."""

    width = 0

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._files: dict[str, logging.Handler] = {}
        self._tails: dict[str, deque[str]] = defaultdict(lambda: deque(maxlen=12))

    def write(self, message: Message) -> None:
        if isinstance(message.data, _Notice):
            self._show(message.name, message.data)
        text = message.data.decode(errors="replace") if isinstance(message.data, bytes) else message.data
        for line in text.splitlines():
            self._tails[message.name].append(line)
            self._file(message.name).emit(logging.makeLogRecord({"msg": line}))

    def _show(self, name: str, text: str) -> None:
        print(f"{name} {text}. Its last lines ({self._folder / name}.log):", file=sys.stderr)
        print(*(f"    {line}" for line in self._tails[name]), sep="\n", file=sys.stderr, flush=True)

    def _file(self, name: str) -> logging.Handler:
        if name not in self._files:
            path = self._folder / f"{name}.log"
            self._files[name] = logging.handlers.RotatingFileHandler(path, maxBytes=10_000_000, backupCount=1)
        return self._files[name]


class Supervisor(honcho.manager.Manager):
    """Programs in `add()` order; `loop()` returns when all have ended, after SIGINT, SIGTERM or a failure.

    `ready` runs beside the loop; `servers` are started elsewhere, and their end ends all. Programs that are not
    `first` wait for `release()`, at most PATIENCE seconds, so that the first ones have the processors to themselves.
    """

    def __init__(self, state: Path, *, ready: Callable[[], None], servers: Sequence[Callable[[], bool]]) -> None:
        self._logs = _Logs(state / "log")
        super().__init__(self._logs)
        self._run = state / "run"
        self._ready, self._servers = ready, servers
        self._procmgr = _Leaders()
        self.stopping, self._go, self._at_once = (
            multiprocessing.Event(),
            multiprocessing.Event(),
            multiprocessing.Event(),
        )
        self._at_once.set()
        # honcho kills after 5 s; the lab's object storage and a running task need longer to end well
        honcho.manager.KILL_WAIT = 25

    def add(
        self, name: str, command: Sequence[str], *, env: Mapping[str, str], first: bool = False, optional: bool = False
    ) -> None:
        """Register a program, given as an argument list."""
        program = _Program(
            shlex.join(command),
            name=name,
            env=dict(env),
            run=self._run,
            go=self._at_once if first else self._go,
            stopping=self.stopping,
            optional=optional,
        )
        self._processes[name] = {"obj": program}

    def release(self) -> None:
        """Start what is not first."""
        self._go.set()

    def terminate(self) -> None:
        """Ask every program to end; none is started again."""
        self.stopping.set()
        super().terminate()

    def _killall(self, force: bool = False) -> None:
        waiting = {name: facts for name, facts in self._processes.items() if "pid" not in facts}
        for name in waiting:  # honcho would look for the pid of a program that has none yet
            self._processes[name] = {**waiting[name], "returncode": None}
        super()._killall(force)
        self._processes.update(waiting)

    def _start(self) -> None:
        super()._start()
        threading.Thread(target=self._ready, daemon=True).start()  # after the forks, which threads would disturb

    def _any_stopped(self) -> bool:
        return bool(super()._any_stopped()) or not all(alive() for alive in self._servers)
