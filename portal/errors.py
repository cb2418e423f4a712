"""Why a verb says no. Views, API and commands turn these into answers in one place each."""

from collections.abc import Iterable
from typing import Any


class Refused(Exception):
    """A verb did not happen, and nothing was changed.

    ``problems`` names *everything* that is missing, one plain sentence each,
    so that a person mends all of it at once. ``errors`` says the same of each of many rows, for machines.
    """

    status = 409
    title = "Refused"

    def __init__(
        self,
        detail: str,
        problems: Iterable[str] = (),
        fields: dict[str, list[str]] | None = None,
        errors: Iterable[dict[str, Any]] = (),
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.problems = list(problems)
        self.fields = fields or {}
        self.errors = list(errors)


class Denied(Refused):
    """The actor may not do this."""

    status = 403
    title = "Not allowed"


class StepUpRequired(Denied):
    """The actor may, but must show a fresh second factor first (RFC 9470)."""

    status = 401
    title = "Fresh second factor needed"


class IllegalTransition(Refused):
    """The lifecycle has no such move from the present state."""

    title = "Not possible in this state"


class Conflict(Refused):
    """Somebody else was faster, or something else stands in the way."""

    title = "Conflict"


class Invalid(Refused):
    """What was sent does not make sense."""

    status = 422
    title = "Invalid input"


class WrongMethod(Refused):
    """The address does not take this HTTP method."""

    status = 405
    title = "Not to be opened like this"


def out_of_range(error: Exception) -> Invalid:
    """What PostgreSQL cannot keep or compare, such as an instant 22 hours east of Greenwich (SQLSTATE class 22)."""
    return Invalid("A value lies outside of what can be kept.", [str(error).partition("\n")[0]])
