"""What the edge's JSON access log says about each upstream address.

The log is read from its end and only as far back as needed, at most `MAX_BYTES`, so that a reading costs the same on a
log of gigabytes. Counted is the *first* attempt of each request: a retry on the other slot hides a bad slot's errors
from users and would hide them from the judge as well.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

MAX_BYTES = 8 * 1024 * 1024
_BLOCK = 64 * 1024


@dataclass(frozen=True, slots=True)
class Traffic:
    """What one upstream address answered on first attempts.

    `requests` and `errors` (5xx, or no answer where the client got a 5xx) are counts; `p50` and `p95` are seconds
    until the upstream's answer was read (0.0 without requests). `complete` is False when the log held more than the
    reader was willing to read, so the counts cover only the latest part.
    """

    address: str
    requests: int
    errors: int
    p50: float
    p95: float
    complete: bool

    @property
    def error_rate(self) -> float:
        """Errors per request, 0.0 without requests."""
        return self.errors / self.requests if self.requests else 0.0


def lines_from_end(path: Path, limit: int = MAX_BYTES) -> Iterator[bytes | None]:
    """Complete lines of `path`, newest first; None as a last item when `limit` bytes ended the reading early.

    A last line without its newline is still being written and is left out.
    """
    with path.open("rb") as handle:
        position = handle.seek(0, os.SEEK_END)
        floor = max(0, position - limit)
        rest, at_end = b"", True
        while position > floor:
            step = min(_BLOCK, position - floor)
            position -= step
            handle.seek(position)
            parts = (handle.read(step) + rest).split(b"\n")
            rest = parts[0]
            complete = parts[1:-1] if at_end else parts[1:]
            if len(parts) > 1:
                at_end = False
            yield from reversed(complete)
        if floor:
            yield None
        elif rest and not at_end:
            yield rest


def _first(value: object) -> str:
    """First item of nginx's list of attempts, which separates them by commas and, on internal redirects, colons."""
    return str(value).split(",")[0].split(" : ")[0].strip()


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _parse(line: bytes) -> dict[str, Any] | None:
    try:
        entry = json.loads(line)
    except ValueError:  # a line cut by a full disk is no reason to stop reading
        return None
    return entry if isinstance(entry, dict) and isinstance(entry.get("msec"), int | float) else None


def _failed(entry: dict[str, Any]) -> bool:
    status = _number(_first(entry.get("upstream_status", "")))
    if status is None:  # no upstream status: the client left (499), or nothing answered (5xx)
        status = float(entry.get("status", 0))
    return status >= 500


def percentile(values: list[float], share: float) -> float:
    """Nearest-rank percentile of `values` (any order); 0.0 when there are none."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)] if ordered else 0.0


def traffic(
    path: Path, service: str, since: float, generation: str | None = None, *, limit: int = MAX_BYTES
) -> dict[str, Traffic]:
    """Requests of `service` finished at or after `since` (epoch seconds), by address of the first attempt.

    `generation` counts only what that generation served. An empty result means that no request was logged.
    """
    seconds: dict[str, list[float]] = {}
    errors: dict[str, int] = {}
    complete = True
    for line in lines_from_end(path, limit):
        if line is None:
            complete = False
            break
        entry = _parse(line)
        if entry is None:
            continue
        if entry["msec"] < since - 60:  # the log is ordered by the end of a request, give or take a worker's pace
            break
        if entry["msec"] < since or entry.get("service") != service:
            continue
        if generation is not None and entry.get("generation") != generation:
            continue
        address = _first(entry.get("upstream_addr", ""))
        if not address:
            continue
        errors[address] = errors.get(address, 0) + _failed(entry)
        seconds.setdefault(address, []).append(_number(_first(entry.get("upstream_response_time", ""))) or 0.0)
    return {
        address: Traffic(
            address, len(taken), errors[address], percentile(taken, 0.5), percentile(taken, 0.95), complete
        )
        for address, taken in sorted(seconds.items())
    }
