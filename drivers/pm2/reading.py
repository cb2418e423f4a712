"""Reading one PM2: its daemon, its processes, and whether they answer."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from drivers import names
from drivers.base import Driver, Observation
from drivers.discovery import Listing
from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.pm2 import discovery
from drivers.pm2.daemon import Daemon
from drivers.pm2.processes import Process, parse

CRASH = "uncaught: "
"""What `last_words.js` writes before the reason of a crash."""
_SOCKET_ROOM = 90


class Reader(Driver):
    """What is known of one PM2 daemon, identified by its home folder.

    Facts: `home` (PM2_HOME), `node` (the interpreter), `pm2` (`…/pm2/bin/pm2`), all absolute paths. Optionally
    `probes`: {"<process>": {"port": …, "path": …}}, where a process answers whether it can serve. Without one it is
    asked for `/healthz` on the `PORT` that PM2 started it with.
    """

    kind: ClassVar[str] = "pm2"
    required: ClassVar[tuple[str, ...]] = ("home", "node", "pm2")
    health_seconds: float = 10.0
    """How long a process may take to answer its probe well after it has come online."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.home = names.path(self.facts["home"])
        self.node = names.path(self.facts["node"])
        self.pm2 = names.path(self.facts["pm2"])
        if len(str(self.home)) > _SOCKET_ROOM:
            raise InvalidInput(f"PM2_HOME must be at most {_SOCKET_ROOM} characters: its sockets live there")
        self.daemon = Daemon(self.home, self.node, self.pm2)
        self.probes = _probes(self.facts.get("probes", {}))

    def daemon_pid(self) -> int | None:
        """The process id of this home's daemon; None when it does not run. Starts nothing."""
        return self.daemon.pid()

    def processes(self, name: str | None = None) -> list[Process]:
        """All processes, or those called `name`. Empty when the daemon does not run (asking would start it)."""
        if name is not None:
            names.name(name, "process name")
        if self.daemon_pid() is None:
            return []
        listed = self.daemon.call("getMonitorData", {}, seconds=20.0)
        return [process for process in parse(listed) if name is None or process.name == name]

    def known(self, name: str) -> list[Process]:
        """The processes called `name`; `TransientError` without a daemon, `PermanentError` when there are none."""
        self.needs_daemon()
        found = self.processes(name)
        if not found:
            raise PermanentError(f"pm2 knows no process {name}")
        return found

    def process(self, pm_id: int) -> Process:
        """The process with this id; `PermanentError` when there is none."""
        names.whole(pm_id, 0, 10**6, "pm2 id")
        for process in self.processes():
            if process.pm_id == pm_id:
                return process
        raise PermanentError(f"pm2 has no process {pm_id}")

    def version(self) -> str | None:
        """PM2's version, from the package next to the program; None when that cannot be read."""
        try:
            return str(json.loads((self.pm2.parent.parent / "package.json").read_text())["version"])
        except (OSError, ValueError, KeyError):
            return None

    def observe(self) -> Observation:
        """The daemon and its processes. Healthy means that it runs and that every process is online."""
        daemon = self.daemon_pid()
        if daemon is None:
            return self.down(f"no pm2 daemon runs in {self.home}")
        try:
            found = self.processes()
        except TransientError as error:
            return self.down(error)
        facts = {"daemon_pid": daemon, "processes": [self._shown(process) for process in found]}
        readings = {
            "processes": float(len(found)),
            "online": float(sum(process.online for process in found)),
            "restarts": float(sum(process.restarts for process in found)),
            "memory_bytes": float(sum(process.memory_bytes for process in found)),
            "cpu_percent": sum(process.cpu_percent for process in found),
        }
        healthy = all(process.online for process in found) if found else None
        return self.seen(healthy, facts, readings, self.version())

    def discover(self) -> list[Listing]:
        """The daemon, and each name under which it runs processes. A daemon that is away says nothing of them."""
        self.needs_daemon()
        return discovery.discover(self)

    @staticmethod
    def _shown(process: Process) -> dict[str, Any]:
        kept = ("name", "pm_id", "pid", "status", "restarts", "uptime_seconds", "memory_bytes", "cpu_percent")
        return {field: getattr(process, field) for field in (*kept, "version", "port")}

    def probe(self, found: Sequence[Process]) -> str | None:
        """The address at which these processes of one name say whether they can serve; None when none is known."""
        name, port = found[0].name, found[0].port
        if name in self.probes:
            return self.probes[name]
        return f"http://127.0.0.1:{port}/healthz" if port else None

    def unwell(self, found: Sequence[Process]) -> str | None:
        """Why these processes cannot serve, or None when they can: "online" says only that PM2 has started them."""
        lost = [process for process in found if not process.online]
        if lost or not found:
            return f"process {lost[0].pm_id} is {lost[0].status}" if lost else "no process is there"
        address = self.probe(found)
        if address is None:
            return None
        try:
            status = self.daemon.status(address, 5.0)
        except TransientError as error:
            return str(error)
        return None if status == 200 else f"{address} answered {status}"

    def becomes_well(self, name: str) -> str | None:
        """None as soon as `name` answers its probe well once per process and once more in a row, else the reason.

        The daemon hands new connections to its workers in turn, so that each of them is asked.
        """
        deadline = time.monotonic() + self.health_seconds
        in_a_row = 0
        while True:
            found = self.processes(name)
            reason = self.unwell(found)
            in_a_row = 0 if reason else in_a_row + 1
            if in_a_row > len(found) or (in_a_row and self.probe(found) is None):
                return None
            if reason and time.monotonic() >= deadline:
                return reason
            if reason:
                time.sleep(0.1)

    def needs_daemon(self) -> None:
        """Raise `TransientError` unless the daemon runs."""
        if self.daemon_pid() is None:
            raise TransientError(f"no pm2 daemon runs in {self.home}")

    # -- means -----------------------------------------------------------------------------------------------------

    @staticmethod
    def _until[T](probe: Callable[[], T | None], seconds: float, otherwise: str) -> T:
        """Poll `probe` until it gives something; `PermanentError` with the sentence `otherwise` when time is up."""
        deadline = time.monotonic() + seconds
        while True:
            found = probe()
            if found is not None:
                return found
            if time.monotonic() >= deadline:
                raise PermanentError(f"{otherwise} within {seconds:g} seconds")
            time.sleep(0.05)

    def _log_tail(self, name: str) -> str:
        """The last crash in a process's error log, from its first line, or the log's end; at most 500 characters."""
        for process in self.processes(name):
            try:
                with Path(process.error_log).open("rb") as log:
                    log.seek(max(0, log.seek(0, os.SEEK_END) - 8000))
                    text = log.read().decode(errors="replace").strip()
            except OSError:
                break
            crash = text.rfind(CRASH)
            return (text[crash + len(CRASH) :][:500] if crash >= 0 else text[-500:]).strip() or "its error log is empty"
        return "it left no error log"


def _probes(given: object) -> dict[str, str]:
    """The address per process name of the fact `probes`."""
    if not isinstance(given, Mapping) or not all(isinstance(one, Mapping) for one in given.values()):
        raise InvalidInput('probes must look like {"<process>": {"port": 3000, "path": "/healthz"}}')
    return {
        names.name(name, "process name"): (
            f"http://127.0.0.1:{names.port(one.get('port'))}{names.url_path(one.get('path', '/healthz'))}"
        )
        for name, one in given.items()
    }
