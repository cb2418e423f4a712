"""Putting an artifact on a host: fetch, prove by digest, unpack, in that order.

An artifact is a gzipped tar with `server.js` at its top. It lands in `<releases>/<version>` by one rename, so a
release folder is either whole or not there.
"""

from __future__ import annotations

import hashlib
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO
from urllib.parse import urlsplit
from urllib.request import url2pathname

import httpx

from drivers import names
from drivers.errors import InvalidInput, PermanentError, TransientError

MAX_BYTES = 256 * 1024 * 1024
MARKER = ".digest"
FETCH_SECONDS = 60.0


def digest_of(release: Path) -> str | None:
    """The digest of the artifact a release folder was unpacked from (`None`: not there, or not ours)."""
    marker = release / MARKER
    return marker.read_text().strip() if marker.is_file() else None


def install(location: str, digest: str, releases: Path, version: str) -> Path:
    """Make `<releases>/<version>` hold the artifact at `location` whose SHA-256 is `digest` ("sha256:<hex>").

    Repeating is harmless. Raises `PermanentError` when the bytes are not the announced ones or the version's folder
    holds another artifact, `TransientError` when the location does not answer.
    """
    wanted = names.digest(digest)
    target = releases / names.version(version)
    present = digest_of(target)
    if present == wanted:
        return target
    if target.exists():
        raise PermanentError(f"release {version} is there already, from another artifact")
    releases.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=releases, prefix=".incoming-") as folder:
        archive, unpacked = Path(folder) / "artifact", Path(folder) / "release"
        found = _fetch(location, archive)
        if found != wanted:
            raise PermanentError(f"the artifact at {location} is {found}, announced was {wanted}")
        _unpack(archive, unpacked)
        (unpacked / MARKER).write_text(wanted)
        try:
            unpacked.rename(target)
        except OSError as error:
            if digest_of(target) != wanted:
                raise PermanentError(f"release {version} cannot be put in place: {error}") from error
    return target


def remove(releases: Path, version: str) -> None:
    """Take a release folder away; nothing happens when it is not there."""
    shutil.rmtree(releases / names.version(version), ignore_errors=True)


def _fetch(location: str, target: Path) -> str:
    """Copy the bytes at `location` to `target`, return their digest; more than `MAX_BYTES` is refused."""
    seen, size = hashlib.sha256(), 0
    with _chunks(location) as chunks, target.open("wb") as out:
        for chunk in chunks:
            size += len(chunk)
            if size > MAX_BYTES:
                raise PermanentError(f"the artifact at {location} is larger than {MAX_BYTES} bytes")
            seen.update(chunk)
            out.write(chunk)
    return f"sha256:{seen.hexdigest()}"


@contextmanager
def _chunks(location: str) -> Iterator[Iterator[bytes]]:
    parts = urlsplit(location)
    if parts.scheme == "file":
        try:
            with Path(url2pathname(parts.path)).open("rb") as source:
                yield _read(source)
        except FileNotFoundError as error:
            raise PermanentError(f"there is no artifact at {location}") from error
    elif parts.scheme == "https":
        try:
            with httpx.stream("GET", location, timeout=FETCH_SECONDS, follow_redirects=False) as answer:
                if answer.status_code != httpx.codes.OK:
                    kind = TransientError if answer.is_server_error else PermanentError
                    raise kind(f"{location} answered {answer.status_code}")
                yield answer.iter_bytes()
        except httpx.TransportError as error:
            raise TransientError(f"{location}: {error}") from error
    else:
        raise InvalidInput("an artifact lies at a file:// or https:// address")


def _read(source: BinaryIO) -> Iterator[bytes]:
    while chunk := source.read(1 << 20):
        yield chunk


def _unpack(archive: Path, target: Path) -> None:
    """Unpack without links, devices, absolute paths or `..` (the tarfile module's "data" filter)."""
    target.mkdir()
    try:
        with tarfile.open(archive, "r:gz") as tar:
            members, total = tar.getmembers(), 0
            for member in members:
                total += member.size
                if not (member.isfile() or member.isdir()):
                    raise PermanentError("the artifact holds something that is neither a file nor a folder")
                if member.name.startswith("/"):
                    raise PermanentError("the artifact cannot be unpacked: it names an absolute path")
            if total > MAX_BYTES or len(members) > 20_000:
                raise PermanentError("the artifact unpacks to more than is allowed")
            tar.extractall(target, members=members, filter="data")
    except (tarfile.TarError, EOFError, OSError) as error:
        raise PermanentError(f"the artifact cannot be unpacked: {error}") from error
    if not (target / "server.js").is_file():
        raise PermanentError("the artifact brings no server.js")
