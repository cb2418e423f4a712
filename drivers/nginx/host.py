"""What the driver needs of the machine that one nginx runs on: the program, its processes, HTTP, sockets."""

from __future__ import annotations

import os
import signal
import socket
from pathlib import Path
from typing import Any

from drivers import commands, web
from drivers.errors import PermanentError, TransientError
from drivers.nginx import processes

_ESTABLISHED = "01"


class Host:
    """The machine of the nginx with this prefix."""

    def __init__(self, prefix: Path, binary: Path) -> None:
        self.prefix, self.binary = prefix, binary

    def run(self, *arguments: str) -> commands.Finished:
        """The nginx program with these arguments."""
        return commands.run([self.binary, *arguments], seconds=15.0, env={}, cwd=Path("/"))

    def master(self) -> int | None:
        """The process id of this prefix's master; None when it does not run."""
        found = processes.master(self.prefix)
        return found.pid if found else None

    def processes(self) -> list[dict[str, Any]]:
        """Master and workers (see `processes.describe`)."""
        return processes.describe(self.prefix)

    def reload(self, pid: int) -> None:
        """Ask the master `pid` to read its configuration anew. That it was asked proves nothing."""
        try:
            os.kill(pid, signal.SIGHUP)
        except ProcessLookupError:
            raise TransientError(f"nginx of {self.prefix} has just ended") from None
        except PermissionError:
            raise PermanentError(f"this process may not signal the nginx of {self.prefix}") from None

    def get(self, url: str, seconds: float) -> web.Answer:
        """One HTTP GET on a fresh connection."""
        return web.get(url, seconds=seconds)

    def connections(self, port: int) -> int:
        """Established TCP connections to a port of this machine.

        Read from the kernel's own tables (proc(5), /proc/net/tcp: local address, remote address, state): looking up
        the process of each connection, as libraries do, takes a tenth of a second on a busy machine.
        """
        wanted = f":{port:04X}"
        found = 0
        for table in ("/proc/net/tcp", "/proc/net/tcp6"):
            try:
                rows = [row.split() for row in Path(table).read_text().splitlines()[1:]]
            except FileNotFoundError:  # a machine without IPv6
                continue
            except OSError as error:
                raise PermanentError(f"{table} cannot be read: {error.strerror}") from None
            found += sum(row[1].endswith(wanted) and row[3] == _ESTABLISHED for row in rows)
        return found

    def listening(self, port: int) -> bool:
        """Whether anything accepts connections on a loopback port."""
        with socket.socket() as probe:
            probe.settimeout(1.0)
            return probe.connect_ex(("127.0.0.1", port)) == 0
