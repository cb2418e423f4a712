"""The four things that can be said about a component's health, how they add up, and what one reading found.

Health is observed, not decided: no verb moves it through guarded transitions, so it has states but no lifecycle.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from portal.lifecycle import State, Tone

UNKNOWN, HEALTHY, DEGRADED, DOWN = "unknown", "healthy", "degraded", "down"

STATES = {
    state.value: state
    for state in (
        State(UNKNOWN, "Unknown", Tone.MUTED, "Nothing is known about now: nobody looks, or the last look is too old."),
        State(HEALTHY, "Healthy", Tone.GOOD, "The last reading found it working."),
        State(DEGRADED, "Degraded", Tone.WARN, "It works, with less than it should have."),
        State(DOWN, "Down", Tone.BAD, "The last reading found it not working."),
    )
}
CHOICES = [(state.value, state.label) for state in STATES.values()]
BADNESS = {HEALTHY: 0, UNKNOWN: 1, DEGRADED: 2, DOWN: 3}
"""How bad a part is for its whole: the worst part speaks for all."""


def worst(states: Iterable[str]) -> str:
    """The state of a whole from those of its parts. Nothing at all is unknown, never healthy."""
    return max(states, key=BADNESS.__getitem__, default=UNKNOWN)


@dataclass(frozen=True)
class Finding:
    """One reading of one component. ``reason`` says why it is not healthy; ``latency_ms`` is in milliseconds."""

    component_id: uuid.UUID
    at: datetime
    state: str
    reason: str = ""
    version: str = ""
    latency_ms: float | None = None
    facts: dict[str, Any] = field(default_factory=dict)
    numbers: dict[str, float] = field(default_factory=dict)
