"""What the lab consists of and where each part lies on disk."""

from __future__ import annotations

import hashlib
import os
import secrets
import shutil
import stat
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from lab import files
from lab.errors import LabError

REPOSITORY = Path(__file__).resolve().parent.parent
SERVICES = ("admin", "api", "billing", "play", "cloud", "conecta", "satellite")
FIRST_VERSION = "1.0.0"
SLOTS = ("a", "b")

# A unix socket path holds 107 bytes on Linux and 103 on macOS; the longest name below a runtime folder is 40.
_LONGEST_RUNTIME = 60


@dataclass(frozen=True)
class Cell:
    """One data center of one environment: an edge, a process manager and the seven services."""

    environment: str
    site: str
    busy: int  # workers of the two services that carry most requests

    @property
    def key(self) -> str:
        """The first part of its connection keys, such as `production/us-central`."""
        return f"{self.environment}/{self.site}"

    def instances(self, service: str) -> int:
        """How many workers `service` has here."""
        return self.busy if service in ("api", "play") else 1


# In the order in which they are started: the portal's first screens show staging and production's first site.
CELLS = (Cell("staging", "us-central", 1), Cell("production", "us-central", 2), Cell("production", "us-east", 2))
ENVIRONMENTS = ("staging", "production")


def cells(environments: frozenset[str] | set[str]) -> list[Cell]:
    """The cells of these environments, in start order."""
    return [cell for cell in CELLS if cell.environment in environments]


def cell(key: str) -> Cell:
    """The cell `env/dc`; `LabError` with the valid names when there is none."""
    for one in CELLS:
        if one.key == key:
            return one
    raise LabError(f"there is no data center {key!r} in the lab; it has {', '.join(one.key for one in CELLS)}")


def known_service(name: str) -> str:
    """`name` when it is one of the seven services; `LabError` with their names otherwise."""
    if name not in SERVICES:
        raise LabError(f"there is no service {name!r} in the lab; it has {', '.join(SERVICES)}")
    return name


@dataclass(frozen=True)
class Lab:
    """The lab's folder, `$PORTAL_STATE/lab`, and the names of what lies in it."""

    root: Path

    @classmethod
    def from_environment(cls) -> Lab:
        """The lab of `PORTAL_STATE`, by default `.portal` beside the source."""
        state = os.environ.get("PORTAL_STATE") or str(REPOSITORY / ".portal")
        return cls(Path(state).expanduser().resolve() / "lab")

    def __post_init__(self) -> None:
        if not self.root.is_absolute():
            raise LabError(f"the lab needs an absolute folder, not {self.root}")

    @property
    def connections(self) -> Path:
        return self.root / "connections.json"

    @property
    def ports(self) -> Path:
        return self.root / "ports.json"

    @property
    def broken(self) -> Path:
        return self.root / "broken.json"

    @property
    def selection(self) -> Path:
        return self.root / "selection.json"

    @property
    def supervisor(self) -> Path:
        return self.root / "supervisor.json"

    @property
    def pids(self) -> Path:
        return self.root / "pids"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def artifacts(self) -> Path:
        return self.root / "artifacts"

    def of(self, key: str) -> Path:
        """The folder of a cell or component key."""
        return self.root / key

    def releases(self, key: str, service: str) -> Path:
        """Where the versions of `service` lie in the cell `key`, one folder each."""
        return self.of(key) / "releases" / service

    def secret(self, name: str) -> Path:
        """The file of the secret `name`, made with a random value (mode 0600) when it does not exist yet."""
        path = self.root / "secrets" / name
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with files.locked(self.root / "secrets" / ".lock"):
            if not path.exists():
                files.write(path, secrets.token_urlsafe(24).replace("-", "x").replace("_", "y"), 0o600)
        return path

    def value(self, name: str) -> str:
        """The value of the secret `name`."""
        return self.secret(name).read_text().strip()

    @cached_property
    def runtime(self) -> Path:
        """A folder for unix sockets and PM2 homes, short enough for a socket path, mode 0700.

        `<lab>/run` where that is short enough, else a folder under the temporary directory named after a hash of the
        lab's path, so that the same lab finds it again.
        """
        path = self.root / "run"
        if len(os.fsencode(path)) > _LONGEST_RUNTIME:
            digest = hashlib.sha256(os.fsencode(self.root)).hexdigest()[:10]
            path = Path(tempfile.gettempdir()) / f"edye-lab-{digest}"
        path.mkdir(parents=True, exist_ok=True, mode=0o700)
        found = path.lstat()
        # Others can write to the temporary directory: somebody else's folder of this name must not be trusted.
        if not stat.S_ISDIR(found.st_mode) or found.st_uid != os.getuid():
            raise LabError(f"{path} is not a folder of this account; remove it or set TMPDIR")
        path.chmod(0o700)
        return path

    def discard_runtime(self) -> None:
        """Remove the runtime folder where it lies outside the lab; only when no daemon runs."""
        if self.root not in self.runtime.parents:
            shutil.rmtree(self.runtime, ignore_errors=True)
            del self.__dict__["runtime"]  # made again when it is asked for

    def selected(self) -> set[str]:
        """The environments that are meant to be up."""
        return {name for name in files.read_json(self.selection, []) if name in ENVIRONMENTS}
