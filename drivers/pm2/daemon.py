"""What the driver needs of the host: the PM2 daemon of one home, its program, and an HTTP probe."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import psutil

from drivers import commands, web
from drivers.errors import PermanentError, TransientError
from drivers.pm2.rpc import Rpc


class Daemon:
    """The daemon of `home`. Only `run` starts one; everything else leaves a home without a daemon as it is."""

    def __init__(self, home: Path, node: Path, pm2: Path) -> None:
        self.home, self.node, self.pm2 = home, node, pm2
        self.rpc = Rpc(home)

    def pid(self) -> int | None:
        """Its process id; None when it does not run. A pid file alone may name another process."""
        try:
            pid = int((self.home / "pm2.pid").read_text())
            title = " ".join(psutil.Process(pid).cmdline())
        except (OSError, ValueError, psutil.Error):
            return None
        return pid if "God Daemon" in title and f"({self.home})" in title else None

    def call(self, method: str, *arguments: Any, seconds: float = 60.0) -> Any:
        """One method of the daemon (see `drivers.pm2.rpc`)."""
        return self.rpc.call(method, *arguments, seconds=seconds)

    def calls(self, wanted: Iterable[tuple[str, Sequence[Any]]], *, seconds: float = 60.0) -> list[Any]:
        """Several methods at once."""
        return self.rpc.calls(wanted, seconds=seconds)

    def run(self, *words: str, seconds: float) -> None:
        """The `pm2` command, with a clean environment: it hands all of it to the processes that it starts."""
        env = {
            "PM2_HOME": str(self.home),
            "HOME": str(self.home),
            "PATH": f"{self.node.parent}:/usr/local/bin:/usr/bin:/bin",
            "NO_COLOR": "1",
        }
        done = commands.run([self.node, self.pm2, *words], seconds=seconds, env=env, cwd=Path("/"))
        if done.status != 0:
            if "in progress" in done.output + done.error:
                raise TransientError("pm2 is busy with another reload")
            raise PermanentError(f"pm2 {words[0]} failed: {done.tail}")

    def status(self, url: str, seconds: float) -> int:
        """The status that `url` answers with; `TransientError` when it does not answer."""
        return web.get(url, seconds=seconds).status
