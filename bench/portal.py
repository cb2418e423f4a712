"""A portal of its own, started as a newcomer would: for measurements, and for the stories of the test suite."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

from portal.embedded import state

# What a caller may have set for a portal of its own must not reach this one.
NOT_INHERITED = {
    *("DATABASE_URL", "CELERY_BROKER_URL", "DJANGO_SETTINGS_MODULE", "LAB", "PORT", "PORTAL_STATE"),
    *("PYTEST_XDIST_WORKER", "MAKELEVEL"),
}


class Portal:
    """One ``manage.py up`` in a state folder of its own; further environment variables by name (``LAB="0"``)."""

    def __init__(self, folder: Path, port: int, **environment: str) -> None:
        self.folder = folder
        self.env = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
        self.env |= {"PORTAL_STATE": str(folder), "PORT": str(port), **environment}
        self.address = f"http://127.0.0.1:{port}"
        self.process: subprocess.Popen[str] | None = None
        self.printed: list[str] = []

    def start(self) -> None:
        """Return when it has said READY; ``AssertionError`` with what it printed when it ended before."""
        command = [sys.executable, str(state.REPOSITORY / "manage.py"), "up"]
        self.process = subprocess.Popen(
            command, env=self.env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True
        )
        assert self.process.stdout is not None
        self.printed = []
        for line in self.process.stdout:
            self.printed.append(line)
            if line.startswith("Ctrl-C stops everything"):
                return
        raise AssertionError("never ready:\n" + "".join(self.printed))

    def stop(self) -> None:
        """What Ctrl-C does."""
        assert self.process is not None
        assert self.process.stdout is not None
        self.process.send_signal(signal.SIGINT)
        self.process.stdout.read()
        self.process.stdout.close()
        self.process.wait(60)

    def run(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a management command against this portal."""
        command = [sys.executable, str(state.REPOSITORY / "manage.py"), *words]
        return subprocess.run(command, env=self.env, capture_output=True, text=True, timeout=120, check=False)

    def manage(self, *words: str) -> str:
        """Run a management command that must succeed; what it printed."""
        done = self.run(*words)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def mails(self) -> list[str]:
        """The texts of all mails that left, oldest first; one that is just being written is not there yet."""
        texts = [path.read_text() for path in sorted((self.folder / "mail").glob("*"))]
        return [text for text in texts if text]
