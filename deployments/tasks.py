"""Entry point of the background work."""

from deployments import reconcile
from portal.dispatch import reconciler


@reconciler("deployments.drive", every=2.0)
def drive() -> int:
    return reconcile.drive()
