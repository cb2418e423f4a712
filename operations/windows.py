"""Whether an operation may begin now, as far as freezes and maintenance windows say."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import UUID

from operations.models import ChangeWindow, Operation

UNKNOWN = timedelta(minutes=5)


@dataclass(frozen=True)
class HeldUp:
    """Why not now, when to ask again, and which window says so. Lifting or declaring one lets it be asked at once."""

    sentence: str
    until: datetime
    window: UUID | None = None


def against(operation: Operation, now: datetime) -> HeldUp | None:
    """What speaks against beginning ``operation`` at ``now``; None when nothing does."""
    if operation.override_reason:
        return None
    standing = ChangeWindow.objects.standing().covering(operation.scope).filter(ends_at__gt=now)
    found = list(standing.order_by("starts_at"))
    freezes = [each for each in found if each.kind == ChangeWindow.Kind.FREEZE and each.starts_at <= now]
    if freezes:
        last = max(freezes, key=lambda freeze: freeze.ends_at)
        sentence = f"Frozen until {last.ends_at:%Y-%m-%d %H:%M} UTC: {last.reason} (declared by {last.declared_label})."
        return HeldUp(sentence, last.ends_at, last.pk)
    if operation.in_window:
        return _for_want_of_a_window([each for each in found if each.kind == ChangeWindow.Kind.MAINTENANCE], now)
    return None


def _for_want_of_a_window(windows: list[ChangeWindow], now: datetime) -> HeldUp | None:
    if not windows:
        return HeldUp("It waits for a maintenance window, and none is declared.", now + UNKNOWN)
    first = windows[0]
    if first.starts_at <= now:
        return None
    sentence = f"It waits for the maintenance window of {first.starts_at:%Y-%m-%d %H:%M} UTC."
    return HeldUp(sentence, first.starts_at, first.pk)
