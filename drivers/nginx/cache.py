"""The files of a proxy cache: counting and removing those whose key begins with a path.

A cache file is named by the MD5 of its key in 32 hexadecimal digits and holds the key in its head, behind a line's end
and `KEY: ` (nginx, ngx_http_file_cache.c). nginx takes a file that is gone for a miss. Everything here goes through
open folders, never through path names, follows no link, and touches regular files with such a name only, so nothing
outside the folder can be reached however the tree is changed meanwhile.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import stat
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from drivers.errors import PermanentError
from drivers.locks import replace_text

_ENTRY = re.compile(r"[0-9a-f]{32}")
_HEAD_BYTES = 8192
EVERYTHING = "/"
RECORD = "purged.json"
_REMEMBERED = 100


@dataclass(frozen=True, slots=True)
class Entry:
    """One cached answer: the open folder it lies in, its name, its size in bytes."""

    folder: int
    name: str
    size: int

    def remove(self) -> None:
        """Remove it; it may be gone already."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.name, dir_fd=self.folder)


def entries(root: Path, prefix: str) -> Iterator[Entry]:
    """The entries whose key's path begins with `prefix` (`/`: all). Use each before asking for the next.

    The path of a key is what begins at its first slash: `/play/1?x=2` in a key `httpedye_play/play/1?x=2`.
    """
    try:
        top = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:
        return
    except OSError as error:
        raise PermanentError(f"the cache folder {root} cannot be opened: {error.strerror}") from None
    try:
        for _, _, files, folder in os.fwalk(".", dir_fd=top, follow_symlinks=False):
            for name in files:
                if _ENTRY.fullmatch(name) and (entry := _entry(folder, name, prefix)):
                    yield entry
    finally:
        os.close(top)


def _entry(folder: int, name: str, prefix: str) -> Entry | None:
    try:
        handle = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except FileNotFoundError:
        return None
    except OSError as error:
        if stat.S_ISLNK(os.lstat(name, dir_fd=folder).st_mode):
            return None
        raise PermanentError(f"a cached answer cannot be read: {error.strerror}") from None
    try:
        seen = os.fstat(handle)
        if not stat.S_ISREG(seen.st_mode):
            return None
        if prefix != EVERYTHING and not _path(os.read(handle, _HEAD_BYTES)).startswith(prefix.encode()):
            return None
        return Entry(folder, name, seen.st_size)
    finally:
        os.close(handle)


def _path(head: bytes) -> bytes:
    key = head.partition(b"\nKEY: ")[2].partition(b"\n")[0]
    return key[key.find(b"/") :] if b"/" in key else b""


def purged(record: Path, prefix: str) -> int:
    """When a path was last purged (ns since the epoch; 0: never that is known), by itself or with everything."""
    try:
        kept = json.loads(record.read_text())
        return max(int(kept.get(prefix, 0)), int(kept.get(EVERYTHING, 0)))
    except (OSError, ValueError, AttributeError):  # without a record it is purged once more
        return 0


def remember(record: Path, prefix: str) -> None:
    """Note that a path has been purged just now; the oldest notes go. Use it under the prefix's lock."""
    try:
        kept = dict(json.loads(record.read_text()))
    except (OSError, ValueError):
        kept = {}
    kept[prefix] = time.time_ns()
    newest = sorted(kept.items(), key=lambda item: int(item[1]))[-_REMEMBERED:]
    replace_text(record, json.dumps(dict(newest)))
