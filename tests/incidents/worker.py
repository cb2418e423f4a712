"""The Celery application of the worker that is killed: the portal's, with the pager's timers and short leases."""

from datetime import timedelta

import django

django.setup()

from incidents import reconcile  # noqa: E402 (models exist only from here on)
from portal.celery import app  # noqa: E402

reconcile.LEASE = timedelta(seconds=2)
app.conf.beat_schedule = {name: it for name, it in app.conf.beat_schedule.items() if name.startswith("incidents.")}
