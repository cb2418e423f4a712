"""A secret's value, which does not show itself."""

from __future__ import annotations

import hmac
from typing import Any, NoReturn


class Secret:
    """A value that gives itself away only through `reveal()`.

    It shows a fixed text in str, repr and format, and refuses to be pickled, copied or serialised as JSON, so that it
    cannot slip into a log line, a broker message or a row.
    """

    __slots__ = ("__value",)

    def __init__(self, value: str) -> None:
        self.__value = value

    def reveal(self) -> str:
        """The value itself. Call it in the argument of the client that needs it and keep no variable."""
        return self.__value

    def __repr__(self) -> str:
        return "Secret(hidden)"

    __str__ = __repr__

    def __format__(self, spec: str) -> str:
        return "Secret(hidden)"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Secret):
            return NotImplemented
        return hmac.compare_digest(self.__value.encode(), other.__value.encode())

    __hash__ = None  # type: ignore[assignment]  # a hash of the value would be a way to guess it

    def __reduce_ex__(self, protocol: Any) -> NoReturn:
        raise TypeError("a secret cannot be pickled or copied")

    def __getstate__(self) -> NoReturn:
        raise TypeError("a secret has no state to hand out")
