"""Entry points of the workers: one reader of sources per data center, in its own queue, the comparison, and imports."""

from functools import partial

from django.conf import settings

from inventory.models.discovery import EVERY
from inventory.reconcile import carry_imports, compare_in_turn, find, prune, prune_imports, read_sources
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
reconciler("inventory.imports", every=10.0)(carry_imports)
reconciler("inventory.imports_prune", every=3600.0)(prune_imports)
