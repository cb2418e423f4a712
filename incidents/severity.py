"""How bad it is: impact × urgency, by one versioned table. The incident keeps what went in."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from django.db import models

VERSION = 1


class Impact(models.IntegerChoices):
    PLATFORM = 1, "Platform: playback, sign-in, billing, data exposed, a whole data center"
    MODULE = 2, "One module or one region is down"
    DEGRADED = 3, "Degraded: one more failure is an outage"
    INTERNAL = 4, "Internal, cosmetic, or not production"


class Urgency(models.IntegerChoices):
    NOW = 1, "Now: users are hit"
    HOURS = 2, "Hours: redundancy is gone"
    DAYS = 3, "Days: a trend"


MATRIX: dict[int, tuple[int, int, int]] = {
    Impact.PLATFORM: (1, 1, 2),
    Impact.MODULE: (1, 2, 3),
    Impact.DEGRADED: (2, 3, 3),
    Impact.INTERNAL: (3, 4, 4),
}
NOT_PRODUCTION = 3
CRITICAL = (1, 2)
SEVERITIES = [(n, f"SEV{n}") for n in (1, 2, 3, 4)]


@dataclass(frozen=True)
class Target:
    """What a severity asks of people. ``pages``: somebody is called; ``stale``: an ack without work ends then."""

    pages: bool
    repage: timedelta
    stale: timedelta
    watch: timedelta
    post_mortem: timedelta


TARGETS = {
    1: Target(True, timedelta(minutes=5), timedelta(minutes=30), timedelta(hours=1), timedelta(days=7)),
    2: Target(True, timedelta(minutes=5), timedelta(hours=1), timedelta(hours=1), timedelta(days=7)),
    3: Target(True, timedelta(minutes=15), timedelta(hours=4), timedelta(minutes=30), timedelta(days=14)),
    4: Target(False, timedelta(days=1), timedelta(days=7), timedelta(minutes=0), timedelta(days=30)),
}
URGENCY_OF_LABEL = {
    **dict.fromkeys(("critical", "page", "emergency", "fatal", "high", "error"), Urgency.NOW),
    **dict.fromkeys(("warning", "warn", "medium"), Urgency.HOURS),
    **dict.fromkeys(("info", "notice", "low", "none"), Urgency.DAYS),
}


def cap(production: bool) -> int:
    """The most severe number an environment of this kind can reach."""
    return 1 if production else NOT_PRODUCTION


def decide(impact: int, urgency: int, *, production: bool) -> int:
    """The severity (1 is worst) of a pair. Outside production it never passes SEV3."""
    return max(MATRIX[impact][urgency - 1], cap(production))


def propose(label: str, tier: int | None) -> tuple[int, int]:
    """Impact and urgency of a signal, from its severity label and the service's tier. Unknown counts as worse."""
    urgency = URGENCY_OF_LABEL.get(label.strip().lower(), Urgency.NOW)
    if urgency == Urgency.DAYS:
        return Impact.INTERNAL, urgency
    if urgency == Urgency.HOURS:
        return Impact.DEGRADED, urgency
    by_tier = {1: Impact.PLATFORM, 2: Impact.MODULE, 3: Impact.DEGRADED, 4: Impact.INTERNAL}
    return by_tier.get(tier or 2, Impact.MODULE), urgency
