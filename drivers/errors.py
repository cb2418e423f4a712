"""What drivers raise. Callers import these from `drivers.base`."""

from __future__ import annotations

from typing import ClassVar


class DriverError(Exception):
    """Something outside did not do what it was asked to.

    `permanent` tells the caller whether asking again can help: a transient error waits and is repeated, a permanent
    one unwinds the plan. The message is fit for an operator's eyes and never holds a secret.
    """

    permanent: ClassVar[bool] = True


class TransientError(DriverError):
    """The world may be different in a moment: a refused connection, a time limit, a lock held by another."""

    permanent: ClassVar[bool] = False


class PermanentError(DriverError):
    """Asking again gives the same answer: bad input, wrong credentials, a refused configuration."""


class InvalidInput(PermanentError):
    """An argument or a connection fact was refused before anything was run."""


class StaleFence(PermanentError):
    """A caller with a higher fence has acted since: this caller must stop.

    Whoever lost its claim has nothing to record any more. Where the later caller was at something else on the same
    host, the claim still holds, and asking again under a new one helps: hence it is not permanent.
    """

    permanent: ClassVar[bool] = False
