"""Entry points of the workers. The rows say what is due; these only wake somebody who looks."""

from __future__ import annotations

from celery import shared_task

from incidents import reconcile
from portal.dispatch import reconciler


@reconciler("incidents.escalate", every=1.0)
def escalate() -> int:
    return reconcile.escalate()


@reconciler("incidents.deliver", every=1.0)
def deliver() -> int:
    return reconcile.deliver()


@reconciler("incidents.post", every=1.0)
def post() -> int:
    return reconcile.post()


@reconciler("incidents.finish", every=30.0)
def finish() -> int:
    return reconcile.finish()


@shared_task(name="incidents.send", ignore_result=True)
def send(notification: str) -> None:
    """One message, at once; whatever becomes of this task, ``incidents.deliver`` finds the row."""
    reconcile.send_one(notification)
