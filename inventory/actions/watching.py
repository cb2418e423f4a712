"""Watching things: each person's own list, so nothing here needs more than seeing them."""

from __future__ import annotations

from typing import Any

from django.db.models import Max
from django.db.models.functions import Coalesce

from inventory.models import Declared, Revision, Watch


def watch(obj: Declared, account: Any) -> None:
    """Tell ``account`` of changes of ``obj`` from now on. Done twice it is as if done once."""
    last = Revision.objects.filter(object_id=obj.pk).aggregate(last=Coalesce(Max("id"), 0))["last"]
    Watch.objects.get_or_create(account=account, object_id=obj.pk, defaults={"noun": obj.noun, "seen_revision": last})


def unwatch(obj: Declared, account: Any) -> None:
    """No longer."""
    Watch.objects.filter(account=account, object_id=obj.pk).delete()


def see(account: Any, upto: dict[Any, int]) -> None:
    """``account`` has looked at everything up to these revisions (object id → revision)."""
    watches = list(Watch.objects.filter(account=account, object_id__in=upto))
    for one in watches:
        one.seen_revision = max(one.seen_revision, upto[one.object_id])
    Watch.objects.bulk_update(watches, ["seen_revision"])
