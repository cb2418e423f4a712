"""The Celery application of workers that are stopped on the way to an effect."""

from tests.operations.worker import app  # noqa: I001 (models exist only from here on)

from drivers.acts import Call
from operations.plan import register
from tests.operations.fenced import Fenced, stopping_before_its_check

register(Fenced())
Call.check = stopping_before_its_check(Call.check)  # type: ignore[method-assign]
__all__ = ["app"]
