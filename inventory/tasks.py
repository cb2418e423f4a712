"""Entry points of the workers: one reader of sources per data center, in its own queue, and the comparison."""

from functools import partial

from django.conf import settings

from inventory.models.discovery import EVERY
from inventory.reconcile import compare_in_turn, find, prune, read_sources
from inventory.reconcile.findings import EVERY as FIND
from portal.dispatch import reconciler

for data_center in settings.DATA_CENTERS:
    reconciler(f"inventory.discover.{data_center}", every=EVERY.total_seconds(), queue=data_center)(
        partial(read_sources, data_center)
    )

reconciler("inventory.discover.global", every=EVERY.total_seconds())(partial(read_sources, None))
reconciler("inventory.drift", every=EVERY.total_seconds())(compare_in_turn)
reconciler("inventory.findings", every=FIND.total_seconds())(find)
reconciler("inventory.discovery_prune", every=3600.0)(prune)
