"""The Celery application of the worker that is killed: the portal's, with the counting plan and only the sweeper."""

import django

django.setup()

from operations.plan import register  # noqa: E402 (models exist only from here on)
from portal.celery import app  # noqa: E402
from tests.operations.counting import Counting  # noqa: E402

register(Counting())
app.conf.beat_schedule = {"operations.sweep": app.conf.beat_schedule["operations.sweep"]}
