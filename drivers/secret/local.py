"""Secrets of this machine: environment variables and files."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from drivers.errors import PermanentError

_MAX_BYTES = 8192
"""More than any secret may have, so that one that is too large is seen to be."""


def variable(name: str) -> str:
    """The environment variable `name`, empty when there is none."""
    return os.environ.get(name, "")


def file(path: str) -> str:
    """The text of a regular file, at most its beginning."""
    try:
        if not stat.S_ISREG(Path(path).stat().st_mode):  # a pipe or device would block or never end
            raise PermanentError(f"the secret at {path} is not a regular file")
        with Path(path).open("rb") as handle:
            return handle.read(_MAX_BYTES).decode()
    except (OSError, UnicodeDecodeError) as error:
        raise PermanentError(f"the secret at {path} cannot be read: {type(error).__name__}") from None
