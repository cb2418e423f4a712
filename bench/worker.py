"""The Celery application of the measured workers: the portal's, with the measured plans and only the sweeper."""

import django

django.setup()

from bench import plans  # noqa: E402 (models exist only from here on)
from portal.celery import app  # noqa: E402

plans.register_all()
app.conf.beat_schedule = {"operations.sweep": app.conf.beat_schedule["operations.sweep"]}
