"""The operating system's processes of one nginx prefix."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import psutil


def master(prefix: Path) -> psutil.Process | None:
    """The running master of this very prefix: a pid file alone may name a process that took the number over."""
    try:
        process = psutil.Process(int((prefix / "nginx.pid").read_text()))
        line = " ".join(process.cmdline())
    except (OSError, ValueError, psutil.Error):
        return None
    return process if line.startswith("nginx: master") and f"{prefix}/" in line else None


def describe(prefix: Path) -> list[dict[str, Any]]:
    """Master first, then its workers: role, pid, user, uptime in seconds, memory (RSS) in bytes.

    The role `leaving` is a worker that finishes its last requests after a reload. Empty when no master runs.
    """
    found: list[dict[str, Any]] = []
    top = master(prefix)
    for process in [top, *top.children()] if top else []:
        try:
            with process.oneshot():
                line = " ".join(process.cmdline())
                if not line:  # it has ended and waits to be reaped
                    continue
                found.append(
                    {
                        "role": "master" if process == top else "leaving" if "shutting down" in line else "worker",
                        "pid": process.pid,
                        "user": process.username(),
                        "uptime_seconds": round(max(0.0, time.time() - process.create_time()), 1),
                        "memory_bytes": process.memory_info().rss,
                    }
                )
        except psutil.Error:  # it ended between listing and looking
            continue
    return found
