"""Slowing down guesses: how long a name or an address must wait after failures in a row.

A name that does not exist is counted exactly like one that does, so that waiting tells nothing.
"""

from __future__ import annotations

import hashlib
from datetime import timedelta

from django.db import transaction

from identity.models import FailedSignIns
from portal import clock

FREE = {"name": 5, "address": 30}
FIRST_WAIT = timedelta(seconds=15)
LONGEST_WAIT = timedelta(minutes=15)
FORGOTTEN_AFTER = timedelta(hours=1)


def keys(name: str, address: str) -> dict[str, str]:
    """The two rows an attempt counts against: key → kind. Only hashes are stored, since people type passwords here."""
    return {
        hashlib.sha256(f"{kind}:{value.strip().casefold()}".encode()).hexdigest(): kind
        for kind, value in (("name", name), ("address", address))
    }


def waiting(name: str, address: str) -> int:
    """Seconds until another attempt is looked at; 0 when it may be made now."""
    now = clock.now()
    ends = FailedSignIns.objects.filter(key__in=keys(name, address), blocked_until__gt=now).values_list(
        "blocked_until", flat=True
    )
    return max((int((end - now).total_seconds()) + 1 for end in ends if end), default=0)


def fail(name: str, address: str) -> FailedSignIns:
    """Count one failure against both; beyond the free ones each doubles the wait. Returns the name's row."""
    now = clock.now()
    with transaction.atomic():
        rows = {}
        for key, kind in sorted(keys(name, address).items()):
            FailedSignIns.objects.get_or_create(key=key, defaults={"kind": kind, "last_at": now})
            row = FailedSignIns.objects.select_for_update().get(key=key)
            row.failures = 1 if now - row.last_at > FORGOTTEN_AFTER else row.failures + 1
            row.last_at = now
            over = row.failures - FREE[kind]
            row.blocked_until = now + min(FIRST_WAIT * 2 ** min(over, 12), LONGEST_WAIT) if over >= 0 else None
            row.save()
            rows[kind] = row
    return rows["name"]


def clear(name: str, address: str) -> None:
    """A success forgets the failures of the name. Those of the address stay: it may be trying other names."""
    FailedSignIns.objects.filter(key__in=keys(name, address), kind="name").delete()
