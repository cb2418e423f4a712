"""How the texts of an address are read. Each raises ``Wrong`` with a sentence for what cannot be."""

from __future__ import annotations

from datetime import UTC, datetime
from uuid import UUID

from django.utils.dateparse import parse_datetime

from inventory.writing.fields import Wrong, text

line = text(200)
TRUTHS = {"true": True, "1": True, "false": False, "0": False}


def key(value: str) -> UUID:
    try:
        return UUID(value)
    except ValueError:
        raise Wrong("This must be a UUID.") from None


def number(value: str) -> float:
    try:
        found = float(value) if "." in value else int(value)
    except ValueError:
        raise Wrong("This must be a number.") from None
    if not abs(found) < 2**63:
        raise Wrong("This number is too large.")
    return found


def whole(value: str) -> int:
    """A column of whole numbers would be asked for the number cut short."""
    found = number(value)
    if not isinstance(found, int):
        raise Wrong("This must be a whole number.")
    return found


def instant(value: str) -> datetime:
    """ISO 8601; without a time zone UTC. A plus that was not escaped has become a space."""
    try:
        if found := parse_datetime(value.replace(" ", "+")):
            return found if found.tzinfo else found.replace(tzinfo=UTC)
    except (ValueError, OverflowError):
        pass
    raise Wrong("This must be an instant such as 2026-01-31T12:00:00Z.")


def truth(value: str) -> bool:
    if value.lower() not in TRUTHS:
        raise Wrong("This must be true or false.")
    return TRUTHS[value.lower()]
