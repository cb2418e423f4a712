"""What the PM2 daemon says of its processes, as values.

Shape of the source (PM2 7.0, method `getMonitorData`): a list of objects with `name`, `pm_id`, `pid`, `monit.memory`
(bytes), `monit.cpu` (percent) and `pm2_env`, which mixes PM2's own fields (`status`, `restart_time`, `pm_uptime` in
epoch milliseconds, `pm_exec_path`, `pm_cwd`) with the process's whole environment. Only the fields below are taken: the
environment of a real service holds secrets.
"""

from __future__ import annotations

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


def parse(listed: object) -> list[Process]:
    """The processes in a listing, by name and id. Workers on their way out (`_old_3` during a reload) are left out.

    `TransientError` when it is no list: a daemon that is starting or ending answers so.
    """
    if not isinstance(listed, list):
        raise TransientError("pm2 gave no list of processes")
    found = [_process(entry) for entry in listed if isinstance(entry, dict) and _numbered(entry)]
    return sorted(found, key=lambda process: (process.name, process.pm_id))


def saved(listed: object) -> list[dict[str, Any]]:
    """A listing as `pm2 save` keeps it: each process's declaration without its number; PM2's own modules left out."""
    kept = [entry.get("pm2_env") or {} for entry in (listed if isinstance(listed, list) else [])]
    passing = ("instances", "pm_id", "prev_restart_delay")
    return [{field: value for field, value in env.items() if field not in passing} for env in kept if not _module(env)]


def _module(env: dict[str, Any]) -> bool:
    return bool(env.get("pmx_module"))


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
