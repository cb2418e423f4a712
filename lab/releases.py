"""Release folders and artifacts of the lab's seven services."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import tarfile
from pathlib import Path
from typing import Any, TypedDict

import semver

from lab import files
from lab.errors import LabError
from lab.layout import FIRST_VERSION, SERVICES, Cell, Lab, known_service

APP = Path(__file__).resolve().parent / "app" / "server.js"


class Published(TypedDict):
    """What a CI server announces about an artifact: `digest` is `sha256:<hex>`, `location` a file:// address."""

    service: str
    version: str
    digest: str
    location: str


def release(
    version: str, *, error_rate: float = 0, delay_ms: int = 0, crash_at_start: bool = False, ready_after_ms: int = 0
) -> dict[str, Any]:
    """The content of a `release.json`; `LabError` when a value is out of range.

    `error_rate` is the share of requests (0 to 1) answered 500, `delay_ms` is added to each answer, `ready_after_ms`
    to the start.
    """
    if not semver.Version.is_valid(version):
        raise LabError(f"{version!r} is not a semantic version such as 1.1.0")
    if not 0 <= error_rate <= 1:
        raise LabError(f"the error rate is a share between 0 and 1, not {error_rate}")
    for name, value in (("delay", delay_ms), ("time until ready", ready_after_ms)):
        if not 0 <= value <= 60_000:
            raise LabError(f"the {name} lies between 0 and 60000 ms, not {value}")
    return {
        "version": version,
        "error_rate": error_rate,
        "delay_ms": delay_ms,
        "crash_at_start": crash_at_start,
        "ready_after_ms": ready_after_ms,
    }


def content(about: dict[str, Any]) -> dict[str, bytes]:
    """The files of one release by name."""
    return {
        "release.json": (json.dumps(about, indent=2, sort_keys=True) + "\n").encode(),
        "server.js": APP.read_bytes(),
    }


def lay_out(lab: Lab, cell: Cell) -> None:
    """Put version 1.0.0 of every service into the cell, as this source has it."""
    for name in SERVICES:
        folder = lab.releases(cell.key, name) / FIRST_VERSION
        for file, data in content(release(FIRST_VERSION)).items():
            files.write(folder / file, data)


def archive(contents: dict[str, bytes]) -> bytes:
    """A .tar.gz whose bytes depend on names and contents only: the same release has the same digest everywhere."""
    plain = io.BytesIO()
    with tarfile.open(fileobj=plain, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for name in sorted(contents):
            entry = tarfile.TarInfo(name)
            entry.size = len(contents[name])
            entry.mode = 0o644
            tar.addfile(entry, io.BytesIO(contents[name]))
    packed = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", fileobj=packed, compresslevel=6, mtime=0) as stream:
        stream.write(plain.getvalue())
    return packed.getvalue()


def publish(
    connections: Lab | Path | str,
    service: str,
    version: str,
    *,
    error_rate: float = 0,
    delay_ms: int = 0,
    crash_at_start: bool = False,
    ready_after_ms: int = 0,
) -> Published:
    """Build `<lab>/artifacts/<service>/<version>.tar.gz` as a CI server would, and return what to announce.

    `connections` is the path of the lab's connections file (or the lab itself). The archive holds `server.js` and
    `release.json` at its top. Building the same release again gives the same bytes; a version built with other
    properties replaces the file and has another digest, which is for the portal to notice.
    """
    lab = connections if isinstance(connections, Lab) else Lab(Path(connections).resolve().parent)
    known_service(service)
    about = release(
        version,
        error_rate=error_rate,
        delay_ms=delay_ms,
        crash_at_start=crash_at_start,
        ready_after_ms=ready_after_ms,
    )
    data = archive(content(about))
    path = lab.artifacts / service / f"{version}.tar.gz"
    files.write(path, data)
    digest = hashlib.sha256(data).hexdigest()
    return {"service": service, "version": version, "digest": f"sha256:{digest}", "location": path.as_uri()}
