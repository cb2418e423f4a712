"""How the plans have done so far, from the operations that ended."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from django.db.models import Aggregate, Count, DurationField, ExpressionWrapper, F, Max, Q

from operations import lifecycle
from operations.models import Operation
from portal import clock

WINDOW = timedelta(days=90)


class Percentile(Aggregate):
    """PostgreSQL's ``percentile_cont``: ``Percentile(expression, fraction=0.5)``."""

    template = "percentile_cont(%(fraction)s) WITHIN GROUP (ORDER BY %(expressions)s)%(filter)s"
    output_field = DurationField()


@dataclass(frozen=True)
class History:
    """The last 90 days of one plan. Durations run from the first step's start to the end; None when nothing ended."""

    done: int = 0
    undone: int = 0
    stuck: int = 0
    median: timedelta | None = None
    slowest_tenth: timedelta | None = None
    last: Any = None

    @property
    def runs(self) -> int:
        return self.done + self.undone + self.stuck

    @property
    def success_percent(self) -> int | None:
        """Done of all that ran, in whole percent, rounded down: 100 means every one."""
        return self.done * 100 // self.runs if self.runs else None


def histories(reader: Any, kind: str | None = None) -> dict[str, History]:
    """The history of each plan kind, over the operations that ``reader`` may see; kinds that never ran are left out."""
    rows = Operation.objects.visible_to(reader).filter(created_at__gte=clock.now() - WINDOW, started_at__isnull=False)
    if kind is not None:
        rows = rows.filter(kind=kind)
    took = ExpressionWrapper(F("finished_at") - F("started_at"), DurationField())
    ended = Q(state=lifecycle.DONE)
    found: Any = (
        rows.order_by()
        .values("kind")
        .annotate(
            done=Count("pk", filter=ended),
            undone=Count("pk", filter=Q(state=lifecycle.UNDONE)),
            stuck=Count("pk", filter=Q(state__in=(lifecycle.STUCK, lifecycle.HALTED))),
            median=Percentile(took, fraction=0.5, filter=ended),
            slowest_tenth=Percentile(took, fraction=0.9, filter=ended),
            last=Max("finished_at"),
        )
    )
    return {row.pop("kind"): History(**row) for row in found}
