"""Host-side order: one actor at a time, and never an actor that has lost its claim.

A database lease alone is not enough: a worker that was paused beyond its lease wakes up and acts. The fence file next
to the thing it protects keeps the highest fence seen, under the same lock as the act, and refuses a lower one.
"""

from __future__ import annotations

import fcntl
import json
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drivers.errors import PermanentError, StaleFence, TransientError


@contextmanager
def exclusive(path: Path, *, seconds: float = 30.0) -> Iterator[None]:
    """Hold the lock file `path`, waiting at most `seconds` (then `TransientError`).

    The kernel drops the lock when the holder dies, so a killed worker never leaves it behind.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise PermanentError(f"the lock {path} cannot be opened: {error.strerror}") from None
    try:
        deadline = time.monotonic() + seconds
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() >= deadline:
                    raise TransientError(f"{path.parent.name} is being changed by another process") from None
                time.sleep(0.05)
        yield
    finally:
        os.close(handle)


def replace_text(path: Path, text: str) -> None:
    """Write `path` so that a reader, or a crash, finds the old text or the new text and nothing between."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.new")
    with temporary.open("w") as handle:
        handle.write(text)
        handle.flush()
        os.fsync(handle.fileno())
    temporary.replace(path)


class Ledger:
    """A small JSON file of one host: a counter and the highest fence per name. Use it under `exclusive`."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def _read(self) -> dict[str, Any]:
        try:
            kept = json.loads(self.path.read_text())
        except FileNotFoundError:
            kept = {}
        except (OSError, ValueError):
            # Starting afresh would forget every fence and let a stale caller act.
            raise PermanentError(
                f"the fence file {self.path} is damaged; repair it before anything is changed"
            ) from None
        if not isinstance(kept, dict):
            raise PermanentError(f"the fence file {self.path} is damaged; repair it before anything is changed")
        return {"sequence": int(kept.get("sequence", 0)), "fences": dict(kept.get("fences", {}))}

    def raise_fence(self, names: Iterable[str], fence: int | None) -> None:
        """Remember `fence` for each name; `StaleFence` when a higher one was seen. None neither checks nor raises."""
        if fence is None:
            return
        kept = self._read()
        for name in names:
            seen = kept["fences"].get(name, 0)
            if fence < seen:
                raise StaleFence(f"fence {fence} for {name} is older than {seen}: another caller took over")
            kept["fences"][name] = fence
        self._write(kept)

    def next_number(self) -> int:
        """A number this ledger has never given before."""
        kept = self._read()
        kept["sequence"] += 1
        self._write(kept)
        return int(kept["sequence"])

    def _write(self, kept: dict[str, Any]) -> None:
        replace_text(self.path, json.dumps(kept, sort_keys=True))
