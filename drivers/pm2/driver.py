"""The PM2 driver.

Facts it rests on (PM2 7.0.4): any call without `PM2_HOME` starts a daemon in the caller's home, so it is always set;
its sockets live there, hence the limit on the path's length; the command hands its whole environment to the processes
it starts, so it runs with a clean one; a reload removes the *old* worker when the new one is not ready in time, so a
reload must never change the version.
"""

from __future__ import annotations

import json
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

import psutil

from drivers import commands, names
from drivers.base import Driver, Observation
from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.locks import exclusive
from drivers.pm2.processes import Process, parse

LISTEN_MILLISECONDS = 15_000
KILL_MILLISECONDS = 8_000
CRASH = "uncaught: "
"""What `last_words.js` writes before the reason of a crash."""
_SOCKET_ROOM = 90
_LAST_WORDS = Path(__file__).with_name("last_words.js")
_RELOAD = Path(__file__).with_name("reload.js")


class Pm2(Driver):
    """One PM2 daemon, identified by its home folder.

    Facts: `home` (PM2_HOME), `node` (the interpreter), `pm2` (`…/pm2/bin/pm2`), all absolute paths.
    """

    kind: ClassVar[str] = "pm2"
    required: ClassVar[tuple[str, ...]] = ("home", "node", "pm2")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.home = names.path(self.facts["home"])
        self.node = names.path(self.facts["node"])
        self.pm2 = names.path(self.facts["pm2"])
        if len(str(self.home)) > _SOCKET_ROOM:
            raise InvalidInput(f"PM2_HOME must be at most {_SOCKET_ROOM} characters: its sockets live there")

    # -- reading ---------------------------------------------------------------------------------------------------

    def daemon_pid(self) -> int | None:
        """The process id of this home's daemon; None when it does not run. Starts nothing."""
        try:
            pid = int((self.home / "pm2.pid").read_text())
            title = " ".join(psutil.Process(pid).cmdline())
        except (OSError, ValueError, psutil.Error):
            return None
        return pid if "God Daemon" in title and f"({self.home})" in title else None

    def processes(self, name: str | None = None) -> list[Process]:
        """All processes, or those called `name`. Empty when the daemon does not run (asking would start it)."""
        if name is not None:
            names.name(name, "process name")
        if self.daemon_pid() is None:
            return []
        with exclusive(self.home / "portal-read.lock"):
            listed = self._call("jlist", seconds=20.0)
        return [process for process in parse(listed.output) if name is None or process.name == name]

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
        found = self.processes()
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

    @staticmethod
    def _shown(process: Process) -> dict[str, Any]:
        kept = ("name", "pm_id", "pid", "status", "restarts", "uptime_seconds", "memory_bytes", "cpu_percent")
        return {field: getattr(process, field) for field in (*kept, "version", "port")}

    # -- acting ----------------------------------------------------------------------------------------------------

    def start(
        self, name: str, script: Path | str, cwd: Path | str, instances: int, env: Mapping[str, str], port: int
    ) -> list[Process]:
        """Start `instances` cluster workers of `script` and return them when all are ready.

        The process gets exactly `env` plus `PORT`. It must tell PM2 that it is ready (`process.send("ready")`) within
        15 s and end within 8 s of SIGINT. When the same thing already runs, nothing is changed. `PermanentError` when
        something else runs under the name, or when a worker crashes or is not ready in time: the attempt is then
        deleted, and the message ends with its error log.
        """
        wanted = self._checked(name, script, cwd, instances, env, port)
        self.home.mkdir(mode=0o700, parents=True, exist_ok=True)
        with exclusive(self.home / "portal-act.lock", seconds=90.0):
            running = self.processes(name)
            if running:
                if not self._same(running, wanted):
                    raise PermanentError(f"pm2 already runs something else as {name}; delete it first")
                return running
            self._start(wanted)
            try:
                return self._until(
                    lambda: self._all_ready(name, instances), LISTEN_MILLISECONDS / 1000, f"{name} was not ready"
                )
            except PermanentError as error:
                reason = f"{error}: {self._log_tail(name)}"
                self._delete(name)
                raise PermanentError(reason) from None

    def _checked(
        self, name: str, script: Path | str, cwd: Path | str, instances: int, env: Mapping[str, str], port: int
    ) -> dict[str, Any]:
        names.name(name, "process name")
        # PM2 resolves a linked release folder once and would keep the old one for ever, so it is resolved here.
        program, folder = names.path(script).resolve(), names.path(cwd).resolve()
        if not program.is_file() or not folder.is_dir():
            raise PermanentError(f"there is no program {program} to start in {folder}")
        for key, value in env.items():
            names.env_name(key)
            if not isinstance(value, str) or len(value) > 1000 or not value.isprintable():
                raise InvalidInput(f"the value of {key} must be at most 1,000 printable characters")
        return {
            "name": name,
            "script": str(program),
            "cwd": str(folder),
            "instances": names.whole(instances, 1, 64, "number of instances"),
            "exec_mode": "cluster",
            "node_args": ["--require", str(_LAST_WORDS)],
            "wait_ready": True,
            "listen_timeout": LISTEN_MILLISECONDS,
            "kill_timeout": KILL_MILLISECONDS,
            "max_restarts": 10,
            "min_uptime": 3000,
            "merge_logs": True,
            "vizion": False,
            "pmx": False,
            "env": {**env, "PORT": str(names.port(port))},
        }

    @staticmethod
    def _same(running: list[Process], wanted: Mapping[str, Any]) -> bool:
        return len(running) == wanted["instances"] and all(
            process.online
            and process.script == wanted["script"]
            and process.version == wanted["env"].get("VERSION")
            and str(process.port) == wanted["env"]["PORT"]
            for process in running
        )

    def _start(self, wanted: Mapping[str, Any]) -> None:
        """Hand PM2 a declaration file: values in it never pass through argument parsing."""
        handle, path = tempfile.mkstemp(dir=self.home, prefix="start-", suffix=".json")
        try:
            with os.fdopen(handle, "w") as file:
                json.dump({"apps": [wanted]}, file)
            self._call("start", path, seconds=60.0)
        finally:
            Path(path).unlink()

    def _all_ready(self, name: str, instances: int) -> list[Process] | None:
        found = self.processes(name)
        if any(process.restarts or process.status == "errored" for process in found):
            raise PermanentError(f"{name} crashed while it started")
        return found if len(found) == instances and all(process.online for process in found) else None

    def reload(self, pm_id: int, *, old_pid: int | None = None) -> Process:
        """Replace one worker by a fresh one of the same version; return it when it is online under a new pid.

        `old_pid` makes repeating safe: when the worker already has another pid, it has been replaced and nothing is
        done. `PermanentError` when the new worker crashes or never comes.
        """
        names.whole(pm_id, 0, 10**6, "pm2 id")
        if self.daemon_pid() is None:
            raise TransientError(f"no pm2 daemon runs in {self.home}")
        with exclusive(self.home / "portal-act.lock", seconds=90.0):
            before = self.process(pm_id)
            if old_pid is not None and before.online and before.pid != old_pid:
                return before
            self._run("reload", [_RELOAD, self.pm2.parent.parent, str(pm_id)], seconds=60.0)
            return self._until(
                lambda: self._replaced(before), LISTEN_MILLISECONDS / 1000, f"the new {before.name} is not online"
            )

    def _replaced(self, before: Process) -> Process | None:
        now = self.process(before.pm_id)
        if now.status == "errored" or now.restarts > before.restarts + 1:
            raise PermanentError(f"the new worker of {now.name} crashes: {self._log_tail(now.name)}")
        return now if now.online and now.pid != before.pid else None

    def delete(self, name: str) -> bool:
        """Stop and forget every process called `name`, gracefully; False when there was none."""
        names.name(name, "process name")
        if self.daemon_pid() is None:
            return False
        with exclusive(self.home / "portal-act.lock", seconds=90.0):
            return self._delete(name)

    def _delete(self, name: str) -> bool:
        if not self.processes(name):
            return False
        self._call("delete", name, seconds=60.0)
        self._until(lambda: not self.processes(name) or None, 10.0, f"{name} is still there after its deletion")
        return True

    def save(self) -> None:
        """Remember the present processes for the next start of the machine."""
        if self.daemon_pid() is None:
            raise TransientError(f"no pm2 daemon runs in {self.home}")
        with exclusive(self.home / "portal-act.lock", seconds=90.0):
            self._call("save", "--force", seconds=20.0)

    def kill(self) -> bool:
        """End the daemon and everything under it; False when it did not run."""
        if self.daemon_pid() is None:
            return False
        with exclusive(self.home / "portal-act.lock", seconds=90.0):
            self._call("kill", seconds=60.0)
            self._until(lambda: self.daemon_pid() is None or None, 10.0, "the pm2 daemon is still there")
        return True

    # -- means -----------------------------------------------------------------------------------------------------

    def _call(self, *words: str, seconds: float) -> commands.Finished:
        return self._run(words[0], [self.pm2, *words], seconds)

    def _run(self, act: str, words: Sequence[str | Path], seconds: float) -> commands.Finished:
        env = {
            "PM2_HOME": str(self.home),
            "HOME": str(self.home),
            "PATH": f"{self.node.parent}:/usr/local/bin:/usr/bin:/bin",
            "NO_COLOR": "1",
        }
        done = commands.run([self.node, *words], seconds=seconds, env=env, cwd=Path("/"))
        if done.status != 0:
            if "in progress" in done.output + done.error:
                raise TransientError("pm2 is busy with another reload")
            raise PermanentError(f"pm2 {act} failed: {done.tail}")
        return done

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
            time.sleep(0.2)

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
