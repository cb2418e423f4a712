"""Entry points of the workers: one collector per data center, in that data center's own queue."""

from functools import partial

from django.conf import settings

from observability.models import INTERVAL
from observability.reconcile import collect, prune
from portal.dispatch import reconciler

EVERY = INTERVAL.total_seconds()

for data_center in settings.DATA_CENTERS:
    reconciler(f"observability.collect.{data_center}", every=EVERY, queue=data_center)(partial(collect, data_center))

reconciler("observability.collect.global", every=EVERY)(partial(collect, None))
reconciler("observability.prune", every=600.0)(prune)
