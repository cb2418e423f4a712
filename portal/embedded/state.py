"""The state folder of `make up`: its secrets, its lock, and what a running one tells other commands."""

import fcntl
import json
import os
import secrets
from pathlib import Path
from typing import IO

# What the portal and the lab may have made here before the first `make up`.
OWN = {"lock", "secrets", "log", "run", "static", "valkey", "postgres", "lab", "mail"}
REPOSITORY = Path(__file__).resolve().parents[2]


class Busy(Exception):
    """Another run holds the state folder; `address` is None while that run is still starting."""

    def __init__(self, address: str | None) -> None:
        super().__init__(address)
        self.address = address


def folder() -> Path:
    """The absolute state folder: PORTAL_STATE, or `.portal` in the repository."""
    return Path(os.environ.get("PORTAL_STATE") or REPOSITORY / ".portal").absolute()


def prepare(state: Path) -> None:
    """Make the folders; others than their owner can pass through the outermost only, to the database's own.

    A folder with other things in it is refused with RuntimeError: `make clean` will remove the whole folder.
    """
    state.mkdir(parents=True, exist_ok=True)
    others = sorted({path.name for path in state.iterdir()} - OWN)
    if others and not (state / "lock").exists():
        raise RuntimeError(f"{state} is no state folder of a portal: it holds {others[0]}. Name an empty folder.")
    state.chmod(0o711)
    for name in ("secrets", "log", "run", "static", "valkey"):
        (state / name).mkdir(mode=0o700, exist_ok=True)


def secret(state: Path, name: str, *, size: int = 32) -> str:
    """A generated secret in a file that only its owner can read; made at first use, kept until `make clean`."""
    path = state / "secrets" / name
    if not path.exists():
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            file.write(secrets.token_urlsafe(size))
    return path.read_text()


def lock(state: Path) -> IO[str]:
    """Hold the folder until the returned file is closed or the process ends; raises Busy when another run holds it."""
    file = (state / "lock").open("a+")
    try:
        # A POSIX lock, unlike flock, is not inherited by the children of this process, so it cannot outlive it.
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        file.close()
        raise Busy(running(state).get("PORTAL_ADDRESS")) from error
    return file


def publish(state: Path, environment: dict[str, str]) -> None:
    """Tell other commands where this run's servers are; the file holds passwords, and only its owner can read it."""
    path = state / "secrets" / "running.json"
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
        json.dump(environment, file)


def withdraw(state: Path) -> None:
    """Forget what was published."""
    (state / "secrets" / "running.json").unlink(missing_ok=True)


def running(state: Path) -> dict[str, str]:
    """The environment that a run published; empty when none did."""
    try:
        environment: dict[str, str] = json.loads((state / "secrets" / "running.json").read_text())
    except OSError:  # not running, or not ours to read
        return {}
    return environment


def use_running() -> None:
    """Let this command use the servers of the run beside it, except where the environment names others."""
    state = folder()
    environment = running(state)
    if environment:
        try:
            lock(state).close()  # what a killed run published leads nowhere
        except Busy:
            for name, value in environment.items():
                os.environ.setdefault(name, value)
