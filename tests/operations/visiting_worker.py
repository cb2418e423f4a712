"""The Celery application of a worker that knows the visiting plan, with only the sweeper on its timer."""

import django

django.setup()

from operations.plan import register  # noqa: E402 (models exist only from here on)
from portal.celery import app  # noqa: E402
from tests.operations.visiting import Visiting  # noqa: E402

register(Visiting())
app.conf.beat_schedule = {"operations.sweep": app.conf.beat_schedule["operations.sweep"]}
