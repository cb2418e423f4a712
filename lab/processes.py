"""PM2 of one cell as a daemon of the lab: its home, its commands, and its stop with the process list saved."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import psutil

from drivers import commands
from drivers.pm2 import Pm2
from drivers.secret import SecretStore
from lab import files, programs
from lab.daemon import Daemon, clean_environment
from lab.errors import NotReady
from lab.layout import Cell, Lab


class Pm2Daemon(Daemon):
    """The PM2 daemon of one cell, key `<env>/<dc>/pm2`.

    It puts itself into the background, so it is known by its home folder and not by a recorded pid. `wanted` are the
    process definitions (PM2's ecosystem form) by service name of which each service needs at least one slot.
    """

    def __init__(self, lab: Lab, cell: Cell, wanted: dict[str, dict[str, Any]], ports: set[int]) -> None:
        super().__init__(lab, f"{cell.key}/pm2", [], self.answers, grace=7)
        self.home = lab.runtime / f"pm2-{cell.environment}-{cell.site}"
        self.facts = {
            "driver": "pm2",
            "home": str(self.home),
            "node": str(programs.node()),
            "pm2": str(programs.pm2()),
        }
        self.driver = Pm2(self.facts, SecretStore())
        self.wanted = wanted
        self.ports = ports
        self.saved = lab.of(cell.key) / "processes.json"

    def process(self) -> psutil.Process | None:
        """PM2's daemon of this home, whoever has started it."""
        pid = self.driver.daemon_pid()
        try:
            return psutil.Process(pid) if pid else None
        except psutil.Error:
            return None

    def run(self, *words: str) -> str:
        """Run one PM2 command in this home and return what it printed; `NotReady` with its complaint when it fails."""
        environment = clean_environment(self.lab, PM2_HOME=str(self.home))
        # PM2 starts its daemon with the first `node` on PATH, which must be ours.
        environment["PATH"] = f"{self.driver.node.parent}:{environment['PATH']}"
        argv: list[str | Path] = [self.driver.node, self.driver.pm2, *words, "--no-color"]
        done = commands.run(argv, seconds=60, env=environment, cwd=self.home)
        if done.status != 0:
            raise NotReady(f"pm2 {words[0]} failed: {done.tail}")
        return done.output

    def answers(self) -> str:
        """Ready when it has at least one online process for every service."""
        online = [one.name for one in self.driver.processes() if one.online]
        missing = [name for name in self.wanted if not {f"{name}-a", f"{name}-b"} & set(online)]
        if missing:
            raise NotReady(f"no process is online for {', '.join(missing)}")
        return f"{len(online)} workers online"

    def start(self, owner: str) -> bool:
        """Bring back the processes of the last stop, then start what a service still lacks in slot a."""
        with files.locked(self.record.with_suffix(".lock")):
            fresh = self.process() is None
            if fresh:
                self.home.mkdir(parents=True, exist_ok=True, mode=0o700)
                self._resurrect()
            listed = {one.name for one in self.driver.processes()}
            lacking = [one for name, one in self.wanted.items() if not {f"{name}-a", f"{name}-b"} & listed]
            if lacking:
                self._start(lacking)
            if fresh or not self.record.exists():
                files.write_json(self.record, {"owner": owner})
            return fresh

    def _start(self, definitions: list[dict[str, Any]]) -> None:
        path = self.home / "lab.config.json"
        files.write_json(path, {"apps": definitions})
        files.write(self.log, self.run("start", str(path)))
        self.driver.save()

    def _resurrect(self) -> None:
        dump = self.home / "dump.pm2"
        if not dump.exists() and self.saved.exists():  # the home may lie in a temporary folder that was emptied
            shutil.copy(self.saved, dump)
        saved = files.read_json(dump, [])
        usable = saved and all(
            int(one.get("env", {}).get("PORT") or one.get("PORT") or 0) in self.ports
            and Path(one["pm_exec_path"]).is_file()
            for one in saved
        )
        if usable:
            files.write(self.log, self.run("resurrect"))
        elif dump.exists():
            shutil.move(dump, dump.with_suffix(".unusable"))

    def stop(self) -> bool:
        """On SIGTERM PM2 saves its process list and lets every application finish; `start` brings the list back."""
        stopped = super().stop()
        if stopped and (self.home / "dump.pm2").exists():
            shutil.copy(self.home / "dump.pm2", self.saved)
        for name in ("pm2.pid", "rpc.sock", "pub.sock"):
            (self.home / name).unlink(missing_ok=True)
        return stopped

    def last_words(self) -> str:
        """The end of PM2's own log."""
        try:
            lines = (self.home / "pm2.log").read_text(errors="replace").strip().splitlines()
        except OSError:
            return "it has no log"
        return " | ".join(lines[-3:])[-400:]


def definition(cell: Cell, service: str, slot: str, release: Path, port: int) -> dict[str, Any]:
    """How PM2 runs one slot of a service: cluster mode, so that a reload replaces one worker at a time.

    The environment is the one that the app driver gives to the versions it starts later.
    """
    log = str(release.parents[2] / "logs" / f"{service}-{slot}.log")
    return {
        "name": f"{service}-{slot}",
        "script": str(release / "server.js"),
        "cwd": str(release),
        "exec_mode": "cluster",
        "instances": cell.instances(service),
        "wait_ready": True,
        "listen_timeout": 15_000,  # PM2's own 3 s ends the good worker when the new one is slow to come up
        "kill_timeout": 6_000,
        "node_args": ["--max-old-space-size=64"],
        "env": {"PORT": str(port), "SERVICE": service, "SLOT": slot, "VERSION": release.name},
        "out_file": log,
        "error_file": log,
        "merge_logs": True,
        "time": True,
        # Nothing of PM2 inside the application, and no look at version control folders.
        "pmx": False,
        "automation": False,
        "vizion": False,
    }
