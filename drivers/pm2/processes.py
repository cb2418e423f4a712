"""What `pm2 jlist` says, as values.

Shape of the source (PM2 7.0): a JSON array of objects with `name`, `pm_id`, `pid`, `monit.memory` (bytes), `monit.cpu`
(percent) and `pm2_env`, which mixes PM2's own fields (`status`, `restart_time`, `pm_uptime` in epoch milliseconds,
`pm_exec_path`, `pm_cwd`) with the process's whole environment. Only the fields below are taken: the environment of a
real service holds secrets.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import Any

from drivers.errors import TransientError


@dataclass(frozen=True, slots=True)
class Process:
    """One process under PM2. `uptime_seconds` is 0 unless online; `memory_bytes` is RSS; `cpu_percent` of one core."""

    name: str
    pm_id: int
    pid: int
    status: str
    restarts: int
    uptime_seconds: float
    memory_bytes: int
    cpu_percent: float
    version: str | None
    port: int | None
    script: str
    cwd: str
    error_log: str

    @property
    def online(self) -> bool:
        """PM2 counts it as running and ready."""
        return self.status == "online" and self.pid > 0


def parse(output: str) -> list[Process]:
    """The processes in the output of `jlist`, by name and id.

    PM2 may print banner lines around the array (a daemon being started, a version notice), so the first line that is
    a JSON array counts. Workers on their way out (`_old_3` during a reload) are left out. `TransientError` when there
    is no array: a daemon that is starting or ending answers so.
    """
    for line in output.splitlines():
        if line.startswith("["):
            try:
                entries = json.loads(line)
            except ValueError:  # "[PM2] Spawning PM2 daemon…"
                continue
            if isinstance(entries, list):
                found = [_process(entry) for entry in entries if isinstance(entry, dict) and _numbered(entry)]
                return sorted(found, key=lambda process: (process.name, process.pm_id))
    raise TransientError("pm2 gave no list of processes")


def _numbered(entry: dict[str, Any]) -> bool:
    return isinstance(entry.get("pm_id"), int)


def _process(entry: dict[str, Any]) -> Process:
    env = entry.get("pm2_env") or {}
    monit = entry.get("monit") or {}
    status = str(env.get("status", "unknown"))
    since = env.get("pm_uptime")
    up = time.time() - since / 1000 if status == "online" and isinstance(since, int | float) else 0.0
    port = str(env.get("PORT", ""))
    return Process(
        name=str(entry.get("name", "")),
        pm_id=entry["pm_id"],
        pid=int(entry.get("pid") or 0),
        status=status,
        restarts=int(env.get("restart_time") or 0),
        uptime_seconds=round(max(0.0, up), 1),
        memory_bytes=int(monit.get("memory") or 0),
        cpu_percent=float(monit.get("cpu") or 0),
        version=str(env["VERSION"]) if env.get("VERSION") else None,
        port=int(port) if port.isdigit() else None,
        script=str(env.get("pm_exec_path", "")),
        cwd=str(env.get("pm_cwd", "")),
        error_log=str(env.get("pm_err_log_path", "")),
    )
