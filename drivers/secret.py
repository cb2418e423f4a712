"""Secrets by reference: connection facts name where a secret is kept, never its value.

A reference is `env:NAME` or `file:/absolute/path`. It is resolved when it is used, so that a rotated secret is picked
up and a process that never needs one never holds it.
"""

from __future__ import annotations

import hmac
import os
import re
import stat
from pathlib import Path
from typing import Any, NoReturn

from drivers.errors import InvalidInput, PermanentError

_ENV_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,127}")
_MAX_BYTES = 4096


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


class SecretStore:
    """Resolves secret references; it holds none itself."""

    def resolve(self, reference: object) -> Secret:
        """The secret behind `reference`.

        Raises `InvalidInput` when it is not a reference at all (the offending text is not repeated: it may be the
        secret itself) and `PermanentError` when the place it names is missing, empty or too large.
        """
        scheme, _, place = reference.partition(":") if isinstance(reference, str) else ("", "", "")
        if scheme == "env" and _ENV_NAME.fullmatch(place):
            return self._usable(os.environ.get(place, ""), f"environment variable {place}")
        if scheme == "file" and place.startswith("/") and place.isprintable():
            return self._usable(self._read(Path(place)), f"file {place}")
        raise InvalidInput("a secret must be given as env:NAME or file:/absolute/path")

    def optional(self, reference: object | None) -> Secret | None:
        """Like `resolve`, but nothing stands for nothing."""
        return None if reference is None else self.resolve(reference)

    @staticmethod
    def _read(path: Path) -> str:
        try:
            if not stat.S_ISREG(path.stat().st_mode):  # a pipe or device would block or never end
                raise PermanentError(f"the secret at {path} is not a regular file")
            with path.open("rb") as handle:
                return handle.read(_MAX_BYTES + 1).decode()
        except (OSError, UnicodeDecodeError) as error:
            raise PermanentError(f"the secret at {path} cannot be read: {type(error).__name__}") from None

    @staticmethod
    def _usable(value: str, place: str) -> Secret:
        if len(value) > _MAX_BYTES:
            raise PermanentError(f"the secret in {place} is larger than {_MAX_BYTES} bytes")
        value = value.rstrip("\r\n")
        if not value:
            raise PermanentError(f"the secret in {place} is missing or empty")
        return Secret(value)
