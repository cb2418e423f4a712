"""From what a driver saw to what people are told: a state, one sentence, and facts that can be stored."""

from __future__ import annotations

import json
import math
import uuid
from typing import Any

from drivers.base import Observation
from observability.health import DEGRADED, DOWN, HEALTHY, UNKNOWN, Finding

MAX_FACTS = 32 * 1024
"""Bytes of JSON kept of one reading's facts."""


def judge(component_id: uuid.UUID, seen: Observation) -> Finding:
    """The finding of an observation.

    Down: it does not do its work at all. Degraded: it answers, but something that should be there is missing.
    Unknown: the driver could not tell.
    """
    state, reason = _state(seen)
    seconds = seen.readings.get("latency_seconds")
    return Finding(
        component_id,
        seen.at,
        state,
        _text(reason)[:500],
        _text(seen.version or "")[:100],
        round(seconds * 1000, 1) if seconds is not None and math.isfinite(seconds) else None,
        _bounded(seen.facts),
        {name: value for name, value in seen.readings.items() if math.isfinite(value)},
    )


def _state(seen: Observation) -> tuple[str, str]:
    if seen.healthy is None:
        return UNKNOWN, str(seen.facts.get("error") or "The reading could not tell whether it is healthy.")
    if seen.healthy:
        return HEALTHY, ""
    if seen.kind == "app":
        return _app(seen.facts)
    if error := seen.facts.get("error"):
        return DOWN, str(error)
    return DEGRADED, _missing(seen)


def _app(facts: dict[str, Any]) -> tuple[str, str]:
    """An application is down when the slot that serves does not answer well, degraded when workers are missing."""
    slot = facts.get("slots", {}).get(facts.get("serving"), {})
    health = slot.get("health", {})
    if not health.get("ok"):
        return DOWN, f"Slot {facts.get('serving')}: {health.get('error') or 'it does not answer'}"
    missing = [
        f"slot {name} has {part.get('online', 0)} of {part.get('expected', 0)} processes online"
        for name, part in sorted(facts.get("slots", {}).items())
        if part.get("expected") and not part.get("healthy")
    ]
    return DEGRADED, f"It answers, but {' and '.join(missing) or 'another slot with traffic does not'}."


def _missing(seen: Observation) -> str:
    facts, numbers = seen.facts, seen.readings
    if seen.kind == "pm2":
        return f"{numbers.get('online', 0):.0f} of {numbers.get('processes', 0):.0f} processes are online."
    if seen.kind == "redis":
        return "Memory is full, so it refuses writes." if facts.get("full") else "The link to its primary is down."
    if seen.kind == "sentinel":
        return "The Sentinels see the primary as down, or have no quorum."
    if seen.kind == "mariadb":
        return "Replication does not run."
    if seen.kind == "nginx":
        return "It serves an older configuration than the one on disk."
    return "It answers, but not as it should."


def _bounded(facts: dict[str, Any]) -> dict[str, Any]:
    plain: dict[str, Any] = _plain(facts)
    if len(json.dumps(plain)) <= MAX_FACTS:
        return plain
    short = {name: value for name, value in plain.items() if len(json.dumps(value)) < 1000}
    return {**dict(list(short.items())[:20]), "shortened": True}


def _plain(value: Any) -> Any:
    """What PostgreSQL's jsonb takes: no NUL in text, no infinite numbers."""
    if isinstance(value, dict):
        return {_text(name): _plain(inner) for name, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(inner) for inner in value]
    if value is None or isinstance(value, (bool, int)):
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return _text(value)


def _text(value: Any) -> str:
    return str(value).replace("\x00", "\ufffd").encode(errors="replace").decode()
