"""What changed on things somebody watches, since they looked."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db.models import Count, Exists, Max, OuterRef, QuerySet, Subquery
from django.db.models.functions import Coalesce

from inventory.addresses import address, rows_of, title_of
from inventory.models import NOUNS, Revision, Watch

MOST = 500
"""How many things one page of watched things tells of."""


@dataclass(frozen=True)
class Seen:
    """One watched thing: what it is (``None``: gone, or no longer to be seen), and how often it changed unseen."""

    watch: Watch
    obj: Any
    unseen: int
    last: datetime | None

    @property
    def title(self) -> str:
        return title_of(self.obj) if self.obj else f"a {self.watch.noun.replace('-', ' ')} that is gone"

    @property
    def changes(self) -> str:
        return f"{self.unseen} change{'' if self.unseen == 1 else 's'}"

    @property
    def history(self) -> str:
        return address(self.obj, "history") if self.obj else ""


def _unseen() -> QuerySet[Revision]:
    return Revision.objects.filter(object_id=OuterRef("object_id"), id__gt=OuterRef("seen_revision")).order_by()


def watched(account: Any) -> list[Seen]:
    """Everything ``account`` watches, what changed unseen first. One query, and one for each noun among them."""
    grouped = _unseen().values("object_id")
    counts: dict[str, Any] = {"unseen": Coalesce(Subquery(grouped.annotate(found=Count("id")).values("found")), 0)}
    counts["last"] = Subquery(grouped.annotate(found=Max("at")).values("found"))
    rows: Any = Watch.objects.filter(account=account).annotate(**counts)
    rows = list(rows.order_by("-unseen", "-last", "noun", "object_id")[:MOST])
    things: dict[Any, Any] = {}
    for noun in NOUNS.keys() & {row.noun for row in rows}:
        things |= rows_of(noun, account).in_bulk([row.object_id for row in rows if row.noun == noun])
    return [Seen(row, things.get(row.object_id), row.unseen, row.last) for row in rows]


def news(account: Any) -> int:
    """How many watched things changed since ``account`` looked."""
    return Watch.objects.filter(Exists(_unseen()), account=account).count()
