"""The kernel: what every app stands on. It imports no other app and names them by dotted string only."""

from portal.celery import app as celery_app

__all__ = ["celery_app"]
