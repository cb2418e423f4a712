"""Several sources speak of one component: which of them decides, field by field, and where they contradict.

A fresh source comes before a stale one, then the declared order below decides, then the name of the source: never the
order in which they came. What a source that does not decide says is shown beside, not thrown away.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from inventory.discovery.rules import Fields

OWN = "own"
"""The source that the component names as its connection."""
DEFAULT = (OWN, "app", "mariadb", "mongodb", "redis", "php-fpm", "rabbitmq", "s3", "nginx", "pm2", "tls", "aws")
PRIORITIES: dict[tuple[str, str], tuple[str, ...]] = {
    # A server knows its own role; Sentinels and peers know it by hearsay.
    ("cache", "role"): (OWN, "redis", "sentinel"),
    ("database", "role"): (OWN, "mariadb", "aws"),
    ("document_database", "role"): (OWN, "mongodb"),
    # What answers on the port is what runs; PM2 only remembers what it was told to start.
    ("app", "version"): ("app", OWN, "pm2"),
    ("app", "processes"): ("app", OWN, "pm2"),
    # The provider knows whether its disks are encrypted; the server on them does not see it.
    ("database", "encrypted"): ("aws", OWN),
}
"""(kind, field) → driver kinds, the one that decides first. Everything else has the default order."""


@dataclass(frozen=True)
class Account:
    """What one source says of the component now. ``own``: the component names it as its connection."""

    source: str
    driver: str
    fields: Fields
    seen_at: datetime
    stale: bool = False
    own: bool = False


@dataclass(frozen=True)
class Said:
    """One value of one field: who says it, since when it has it, when it was last seen so."""

    value: Any
    source: str
    driver: str
    changed_at: str
    seen_at: datetime
    stale: bool


@dataclass(frozen=True)
class Verdict:
    """A field as it counts: the deciding account first, then what other sources say."""

    said: Said
    others: tuple[Said, ...] = ()

    @property
    def against(self) -> tuple[Said, ...]:
        """Fresh sources that contradict a fresh decision."""
        if self.said.stale:
            return ()
        return tuple(other for other in self.others if not other.stale and not same(other.value, self.said.value))


def merge(kind: str, accounts: Iterable[Account]) -> dict[str, Verdict]:
    """The verdict on every field that any source tells of."""
    told: dict[str, list[tuple[tuple[Any, ...], Said]]] = {}
    for account in accounts:
        for name, held in account.fields.items():
            said = Said(
                held["value"], account.source, account.driver, held["changed_at"], account.seen_at, account.stale
            )
            told.setdefault(name, []).append(((account.stale, _rank(kind, name, account), account.source), said))
    verdicts = {}
    for name, ranked in sorted(told.items()):
        first, *others = (said for _, said in sorted(ranked, key=lambda pair: pair[0]))
        verdicts[name] = Verdict(first, tuple(others))
    return verdicts


def _rank(kind: str, name: str, account: Account) -> int:
    order = PRIORITIES.get((kind, name), DEFAULT)
    places = [order.index(word) for word in (account.driver, OWN if account.own else "") if word in order]
    return min(places, default=len(order))


def same(one: Any, other: Any) -> bool:
    """Whether two values say the same: lists in any order, true and 1 are different."""
    if isinstance(one, list) and isinstance(other, list):
        return sorted(map(str, one)) == sorted(map(str, other))
    return bool(one == other) and type(one) is type(other)
