from access import reconcile
from portal.dispatch import reconciler

reconciler("access.expire", every=5.0)(reconcile.expire)
reconciler("access.start", every=5.0)(reconcile.start)
reconciler("access.lapse", every=5.0)(reconcile.lapse)
