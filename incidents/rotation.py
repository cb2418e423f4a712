"""Who is on call at an instant: one pure function for pager, screen and API.

Handoffs are local wall-clock times, so a turn lasts 23, 24 or 25 hours across a change of the clocks. Instants are
computed here only (PostgreSQL reads an ambiguous local time as the second one, Python as the first) and compared in
UTC. A handoff inside a gap moves forward; an ambiguous one is the first of the two. A local day that never was gives a
turn of no length: it keeps its number and is nobody's time.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from typing import Any
from zoneinfo import ZoneInfo


@dataclass(frozen=True)
class Rotation:
    """``members`` take turns of ``days`` local days, from ``anchor`` on, changing at ``handoff`` local time."""

    zone: str
    anchor: date
    handoff: time
    days: int
    members: tuple[Any, ...]

    def boundary(self, turn: int) -> datetime:
        """The instant (UTC) at which ``turn`` begins."""
        local = datetime.combine(
            self.anchor + timedelta(days=turn * self.days), self.handoff, tzinfo=ZoneInfo(self.zone)
        )
        return local.astimezone(UTC)

    def turn_at(self, instant: datetime) -> int:
        """The number of the turn that holds ``instant``; negative before the anchor."""
        local = instant.astimezone(ZoneInfo(self.zone))
        turn = (local.date() - self.anchor).days // self.days
        # The estimate by local date is at most one turn off around a handoff and around a change of the clocks.
        while self.boundary(turn) > instant:
            turn -= 1
        while self.boundary(turn + 1) <= instant:
            turn += 1
        return turn

    def member(self, turn: int) -> Any:
        return self.members[turn % len(self.members)] if self.members and turn >= 0 else None


@dataclass(frozen=True)
class Replacement:
    """``member`` stands in over ``[starts, ends)``."""

    member: Any
    starts: datetime
    ends: datetime


@dataclass(frozen=True)
class Shift:
    """``member`` (``None``: nobody) is on call over ``[starts, ends)``, UTC."""

    member: Any
    starts: datetime
    ends: datetime
    replaced: bool = False


def resolve(rotation: Rotation, replacements: Sequence[Replacement], instant: datetime) -> Shift:
    """The shift that holds ``instant``: its turn, cut by replacements. A replacement wins over the rotation."""
    instant = instant.astimezone(UTC)
    turn = rotation.turn_at(instant)
    starts, ends = rotation.boundary(turn), rotation.boundary(turn + 1)
    for one in sorted(replacements, key=lambda replacement: replacement.starts):
        if one.starts <= instant < one.ends:
            return Shift(one.member, one.starts.astimezone(UTC), one.ends.astimezone(UTC), replaced=True)
        if one.ends <= instant:
            starts = max(starts, one.ends.astimezone(UTC))
        elif one.starts > instant:
            ends = min(ends, one.starts.astimezone(UTC))
    return Shift(rotation.member(turn), starts, ends)


def shifts(
    rotation: Rotation, replacements: Sequence[Replacement], starts: datetime, ends: datetime
) -> Iterator[Shift]:
    """Every shift that touches ``[starts, ends)``, in order, without gap or overlap; one of no length is left out."""
    at = starts.astimezone(UTC)
    while at < ends:
        shift = resolve(rotation, replacements, at)
        yield shift
        at = shift.ends
