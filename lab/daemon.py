"""One daemon: start it unless it runs, know it again later, wait until it answers, stop it and only it.

A pid alone is no identity (numbers are used again), so the record of a daemon holds its start time as well.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from lab import files
from lab.errors import NotReady
from lab.layout import Lab

SUPERVISOR = "supervisor"
COMMAND = "command"

_PAUSE = threading.Event()  # never set: waiting on it is a pause between two looks
_CHILDREN: dict[int, subprocess.Popen[bytes]] = {}  # started by this process, to be reaped by it


def find(pid: int, started: float) -> psutil.Process | None:
    """The living process with this number that began at `started` (seconds since the epoch), else None."""
    child = _CHILDREN.get(pid)
    if child is not None and child.poll() is not None:
        _CHILDREN.pop(pid, None)
        return None
    try:
        process = psutil.Process(pid)
        # The start is counted from the boot time, which moves by a second when the clock is corrected.
        same = abs(process.create_time() - started) < 2 and process.status() != psutil.STATUS_ZOMBIE
    except psutil.Error:
        return None
    return process if same else None


def supervisor_pid(lab: Lab) -> int | None:
    """The process id of the `lab up --foreground` that keeps this lab up; None when there is none."""
    found = files.read_json(lab.supervisor, None)
    process = find(found["pid"], found["started"]) if found else None
    return process.pid if process else None


def until(check: Callable[[], str], seconds: float, what: str) -> str:
    """Repeat `check` until it stops raising, at most `seconds`; `NotReady` with its last complaint after that."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return check()
        except Exception as error:
            if time.monotonic() >= deadline:
                raise NotReady(f"{what} was not ready within {seconds:.0f} s: {str(error)[:300]}") from error
        _PAUSE.wait(0.05)


def clean_environment(lab: Lab, **extra: str) -> dict[str, str]:
    """What a daemon gets to see: nothing of the caller's environment, which may hold the portal's secrets."""
    return {
        "PATH": "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin",
        "HOME": str(lab.root),
        "LANG": "C.UTF-8",
        "TMPDIR": str(lab.runtime),
        **extra,
    }


def end(processes: Iterable[psutil.Process], grace: float = 0.0) -> None:
    """Wait at most `grace` seconds for these to end by themselves, then kill the rest and wait until they are gone."""
    processes = list(processes)
    for seconds in (grace, 5.0):
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline and any(_alive(one) for one in processes):
            _PAUSE.wait(0.02)
        for one in processes:
            with contextlib.suppress(psutil.Error):
                one.kill()


def _alive(process: psutil.Process) -> bool:
    try:
        return find(process.pid, process.create_time()) is not None
    except psutil.Error:
        return False


@dataclass
class Daemon:
    """A program that runs in the background under the key `name`.

    `argv` starts it in the foreground; `check` raises until it is ready and returns a word about its state; `prepare`
    runs before each start; `grace` is the time in seconds between the polite end and the certain one.
    """

    lab: Lab
    name: str
    argv: list[str]
    check: Callable[[], str]
    env: Mapping[str, str] = field(default_factory=dict)
    grace: float = 5.0
    leftovers: tuple[Path, ...] = ()  # sockets that a killed daemon leaves behind
    prepare: Callable[[], None] = lambda: None

    @property
    def record(self) -> Path:
        return self.lab.pids / f"{self.name.replace('/', '.')}.json"

    @property
    def log(self) -> Path:
        return self.lab.logs / f"{self.name.replace('/', '.')}.log"

    def process(self) -> psutil.Process | None:
        """Its process, None when it is not running."""
        found = files.read_json(self.record, None)
        return find(found["pid"], found["started"]) if found else None

    def owner(self) -> str:
        """Who stops it: `supervisor` (the foreground, when it ends) or `command` (`lab down`)."""
        return str(files.read_json(self.record, {}).get("owner", ""))

    def start(self, owner: str) -> bool:
        """Start it unless it runs already (then it is adopted and False is returned). Safe when two do it at once."""
        with files.locked(self.record.with_suffix(".lock")):
            if self.process() is not None:
                return False
            end(self.orphans())
            self.prepare()
            pid = self.spawn()
            try:
                started = psutil.Process(pid).create_time()
            except psutil.Error:
                raise NotReady(f"{self.name} ended at once: {self.last_words()}") from None
            files.write_json(self.record, {"pid": pid, "started": started, "owner": owner})
            return True

    def spawn(self) -> int:
        """Start the program and return its process id."""
        self.log.parent.mkdir(parents=True, exist_ok=True)
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                self.argv,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=clean_environment(self.lab, **self.env),
                cwd=self.lab.root,
                start_new_session=True,  # the terminal's Ctrl-C is the supervisor's to handle
            )
        _CHILDREN[child.pid] = child
        return child.pid

    def last_words(self) -> str:
        """The end of its log, for a person who wants to know why it is not there."""
        try:
            lines = self.log.read_text(errors="replace").strip().splitlines()
        except OSError:
            return "it has no log"
        return " | ".join(line.strip() for line in lines[-3:])[-400:] or "its log is empty"

    def wait(self, seconds: float) -> str:
        """Wait until it is ready; fails at once, with the end of its log, when it has ended instead."""
        deadline = time.monotonic() + seconds
        while True:
            if self.process() is None:
                raise NotReady(f"{self.name} ended while starting: {self.last_words()}")
            try:
                return until(self.check, min(0.5, seconds), self.name)
            except NotReady as error:
                if time.monotonic() >= deadline:
                    raise NotReady(f"{self.name} is not ready after {seconds:.0f} s: {error.__cause__}") from error

    def family(self) -> list[psutil.Process]:
        """Its process and all descendants; empty when it is not running."""
        process = self.process()
        if process is None:
            return []
        try:
            return [process, *process.children(recursive=True)]
        except psutil.Error:
            return []

    def orphans(self) -> list[psutil.Process]:
        """What a crash of its main process has left running, such as nginx workers that still hold the port.

        They share the session that `spawn` made, whose number is the pid of the dead main process; the kernel gives
        that number to nobody else while the session has a member.
        """
        session = files.read_json(self.record, {}).get("pid")
        if session is None or psutil.pid_exists(session):
            return []
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(OSError, psutil.Error):
                if os.getsid(process.pid) == session:
                    found.append(process)
        return found

    def kill(self) -> bool:
        """End it and its descendants at once, as a crash would; nothing is tidied up. False when it did not run."""
        family = self.family()
        for process in family:
            with contextlib.suppress(psutil.Error):
                process.kill()
        end(family)
        return bool(family)

    def stop(self) -> bool:
        """End it politely, after `grace` seconds certainly; False when it was not running."""
        with files.locked(self.record.with_suffix(".lock")):
            family = self.family()
            if family:
                with contextlib.suppress(psutil.Error):
                    family[0].terminate()
                end(family, self.grace)
            end(self.orphans())
            for path in (self.record, *self.leftovers):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(path)
            return bool(family)
