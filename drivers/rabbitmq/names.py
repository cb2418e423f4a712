"""What queue names and the like may be."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from drivers.acts import Condition
from drivers.errors import InvalidInput

QueueName = Annotated[str, Meta(title="Queue", min_length=1, max_length=200)]


def checked(name: str) -> str:
    """A name that the management API can be asked about; `InvalidInput` when it cannot."""
    if name in (".", "..") or len(name.encode()) > 255:
        raise InvalidInput("a queue name has at most 255 bytes and is neither . nor ..")
    return name


def exists(found: object, name: str) -> Condition:
    """The condition that a queue is there."""
    return Condition(f"The queue {name} exists", found is not None, "there is no such queue")
