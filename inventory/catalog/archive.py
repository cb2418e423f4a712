"""The files of an upload: one YAML file, or a tar or zip of some. Read in memory; nothing is ever unpacked to disk.

An archive is refused for what could lead out of it or blow up: absolute names, “..”, links and devices, more files than
a folder may have, and more bytes than their declared sizes (a zip's own word about its size is not believed).
"""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Any

from inventory.catalog import source
from inventory.catalog.source import CatalogInvalid, Problem

MAX_UPLOAD = 8 * 1024 * 1024
MAX_ENTRIES = 2000
MAX_UNPACKED = 32 * 1024 * 1024
_TAR = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00")
_BROKEN = (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError, OSError, NotImplementedError, RuntimeError)
Files = list[tuple[str, bytes | str]]


def unpack(name: str, data: bytes) -> Files:
    """The YAML files in ``data``, which was uploaded as ``name``. Raises ``CatalogInvalid`` for what cannot be used."""
    name = PurePosixPath(name.replace("\\", "/")).name[:100] or "upload"
    if len(data) > MAX_UPLOAD:
        raise refused(name, f"The upload is larger than {MAX_UPLOAD // 1024} KiB.")
    try:
        if data.startswith(b"PK\x03\x04"):
            return _checked(name, _zip(name, data))
        if data.startswith(_TAR) or data[257:262] == b"ustar":
            return _checked(name, _tar(name, data))
    except _BROKEN:
        raise refused(name, "The archive is damaged.") from None
    if not name.endswith(source.SUFFIXES):
        raise refused(name, "This is neither YAML nor a tar or zip of YAML files.")
    return [(name, data)]


def refused(name: str, sentence: str) -> CatalogInvalid:
    return CatalogInvalid([Problem(name, 0, sentence)])


def _checked(name: str, found: Iterator[tuple[str, bytes]]) -> Files:
    files: dict[str, bytes] = {}
    folders = set()
    for path, data in found:
        place = PurePosixPath(path)
        if place.suffix not in source.SUFFIXES or place.name.startswith("."):
            continue
        folders.add(place.parent)
        if place.name in files:
            raise refused(name, f"“{place.name[:100]}” is in it twice.")
        files[place.name] = data
    if not files:
        raise refused(name, "There is no .yaml file in this archive.")
    if len(folders) > 1:
        raise refused(name, "Its .yaml files lie in several folders; a catalog is one folder.")
    if len(files) > source.MAX_FILES:
        raise refused(name, f"There are more than {source.MAX_FILES} files in this archive.")
    return sorted(files.items())


def _zip(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        entries = archive.infolist()
        if len(entries) > MAX_ENTRIES:
            raise refused(name, f"There are more than {MAX_ENTRIES} entries in this archive.")
        left = MAX_UNPACKED
        for entry in entries:
            _inside(name, entry.filename)
            if (entry.external_attr >> 16) & 0o170000 == 0o120000:
                raise refused(name, f"“{entry.filename[:100]}” is a link.")
            if entry.is_dir() or not entry.filename.endswith(source.SUFFIXES):
                continue
            with archive.open(entry) as handle:
                text = _read(name, handle, left)
            left -= len(text)
            yield entry.filename, text


def _tar(name: str, data: bytes) -> Iterator[tuple[str, bytes]]:
    with tarfile.open(fileobj=io.BytesIO(_unpacked(name, data)), mode="r:") as archive:
        for place, entry in enumerate(archive):
            if place >= MAX_ENTRIES:
                raise refused(name, f"There are more than {MAX_ENTRIES} entries in this archive.")
            _inside(name, entry.name)
            if entry.issym() or entry.islnk():
                raise refused(name, f"“{entry.name[:100]}” is a link.")
            if not (entry.isfile() or entry.isdir()):
                raise refused(name, f"“{entry.name[:100]}” is not a regular file.")
            if entry.isfile() and entry.name.endswith(source.SUFFIXES):
                handle = archive.extractfile(entry)
                yield entry.name, _read(name, handle, MAX_UNPACKED) if handle else b""


def _unpacked(name: str, data: bytes) -> bytes:
    """The tar without its compression. What unpacks to more than the limit is given up on the way."""
    if not data.startswith(_TAR):
        return data
    import bz2
    import gzip
    import lzma

    readers: dict[bytes, Any] = {b"\x1f\x8b": gzip.GzipFile, b"BZh": bz2.BZ2File, b"\xfd7zXZ\x00": lzma.LZMAFile}
    reader = next(reader for start, reader in readers.items() if data.startswith(start))
    plain = io.BytesIO(data)
    with reader(fileobj=plain) if reader is gzip.GzipFile else reader(plain) as handle:
        try:
            return _read(name, handle, MAX_UNPACKED)
        except lzma.LZMAError:
            raise EOFError from None


def _read(name: str, handle: Any, left: int) -> bytes:
    data: bytes = handle.read(left + 1)
    if len(data) > left:
        raise refused(name, f"It unpacks to more than {MAX_UNPACKED // 1024} KiB.")
    return data


def _inside(name: str, path: str) -> None:
    place = PurePosixPath(path.replace("\\", "/"))
    if place.is_absolute() or ".." in place.parts or "\x00" in path or (path[1:2] == ":" and path[:1].isalpha()):
        raise refused(name, f"“{path[:100]}” leads out of the archive.")
