"""What a declared replication is now, from the latest readings of both ends.

The drivers of MariaDB, Redis/Valkey and MongoDB say in their facts which role a server has, whether its replication
runs, and how; ``lag_seconds`` stands among the numbers. Without a fresh reading of the replica nothing is known, and
nothing is green.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from inventory.models import Component, Dependency
from observability.health import DEGRADED, DOWN, HEALTHY, UNKNOWN
from observability.models import ComponentHealth
from observability.queries import health_of
from portal.lifecycle import State, Tone

LATE_SECONDS = 10
"""A replica further behind than this is late."""
STATES = {
    state.value: state
    for state in (
        State(UNKNOWN, "Unknown", Tone.MUTED, "Nothing is known about it now."),
        State(HEALTHY, "Replicates", Tone.GOOD, "The replica follows its primary as declared."),
        State(DEGRADED, "Not as declared", Tone.WARN, "It replicates, but late, less safely, or the other way round."),
        State(DOWN, "Broken", Tone.BAD, "The replica does not follow."),
    )
}
_ROLES = {"primary": "primary", "master": "primary", "replica": "replica", "slave": "replica", "secondary": "replica"}


@dataclass(frozen=True)
class Replication:
    """``primary`` and ``replica`` as they are now; ``mode`` and ``lag`` (seconds) where the reading tells them."""

    link: Dependency
    primary: Component
    replica: Component
    state: str
    words: str
    mode: str = ""
    lag: float | None = None

    @property
    def state_info(self) -> State:
        return STATES[self.state]

    @property
    def behind(self) -> str:
        """The lag in words that fit on an arrow."""
        return "" if self.lag is None else f"{self.lag:.0f} s behind" if self.lag >= 1 else "no lag"


def judge(link: Dependency) -> Replication:
    """``link.source`` replicates from ``link.target``; both were read with their health."""
    replica, primary = link.source, link.target
    if _role(replica) == "primary" and _role(primary) == "primary":
        return Replication(link, primary, replica, DOWN, "Both say that they are primary.")
    swapped = _role(replica) == "primary" and _role(primary) == "replica"
    if swapped:
        replica, primary = primary, replica
    health = health_of(replica)
    if health is None or health.is_stale or health.state == UNKNOWN:
        return Replication(link, primary, replica, UNKNOWN, f"Nobody has looked at {replica.name} lately.")
    if health.state == DOWN:
        return Replication(link, primary, replica, DOWN, f"{replica.name} is down: {health.error}")
    runs, trouble = _runs(health.facts)
    mode, lag = _mode(health.facts), health.numbers.get("lag_seconds")
    if runs is None:
        return Replication(link, primary, replica, UNKNOWN, f"The reading of {replica.name} does not tell.", mode, lag)
    if not runs:
        return Replication(link, primary, replica, DOWN, trouble, mode, lag)
    problems = list(_less(link, swapped, mode, lag))
    state = DEGRADED if problems else HEALTHY
    return Replication(link, primary, replica, state, " ".join(problems) or "It follows as declared.", mode, lag)


def _fresh(component: Component) -> ComponentHealth | None:
    health = health_of(component)
    return None if health is None or health.is_stale else health


def _role(component: Component) -> str:
    health = _fresh(component)
    return _ROLES.get(str(health.facts.get("role", "")), "") if health else ""


def _runs(facts: Mapping[str, Any]) -> tuple[bool | None, str]:
    """Whether a replica follows (``None``: its reading does not tell), and what is wrong."""
    if _ROLES.get(str(facts.get("role", ""))) != "replica":
        return (False, "It should be a replica and is a primary.") if facts.get("role") in _ROLES else (None, "")
    if "channels" in facts:  # MariaDB
        stopped = [channel for channel in facts["channels"] if not channel.get("running")]
        why = next((channel["error"] for channel in stopped if channel.get("error")), "")
        return bool(facts["channels"]) and not stopped, str(why or "Replication does not run.")
    if "link" in facts:  # Redis, Valkey
        return facts["link"] == "up", "The link to its primary is down."
    if "members" in facts:  # MongoDB: a secondary follows somebody, or it would be recovering
        return bool(facts.get("primary")), "The replica set has no primary."
    return None, ""


def _mode(facts: Mapping[str, Any]) -> str:
    semi = facts.get("semi_sync")
    if isinstance(semi, Mapping):
        return "semi-synchronous" if semi.get("synchronous") else "asynchronous"
    return "asynchronous" if "link" in facts or "members" in facts else ""


def _less(link: Dependency, swapped: bool, mode: str, lag: float | None) -> Iterable[str]:
    """What makes a running replication less than was declared."""
    if swapped:
        yield "It runs the other way round than declared."
    if link.mode == Dependency.Mode.SYNC and mode == "asynchronous":
        yield "It was declared synchronous and is asynchronous now."
    if lag is None:
        yield "How far it is behind is not known."
    elif lag > LATE_SECONDS:
        yield f"It is {lag:.0f} seconds behind."
