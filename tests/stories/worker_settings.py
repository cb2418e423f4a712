"""Settings of the worker that is killed at every step: leases short enough for a test to wait for their end."""

from portal.settings import *  # noqa: F403

OPERATIONS_LEASE_SECONDS = 2
