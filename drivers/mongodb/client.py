"""One short-lived client per reading, and one answer to the question which failures mean what."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pymongo
from bson.errors import BSONError
from pymongo.errors import ConfigurationError, OperationFailure, PyMongoError

from drivers.errors import PermanentError, TransientError
from drivers.secret import Secret

CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0

UNAUTHORIZED, NO_SUCH_COMMAND = 13, 59
NO_REPLICATION = (76, 93, 94)
"""Stands alone, is in no set's configuration, or has not been told of one yet."""
_REFUSED = frozenset({11, 18, 8000})
"""User not found, authentication failed, and how a hosted service says the same."""
_PASSING = frozenset({6, 7, 24, 46, 50, 89, 91, 117, 189, 262, 10107, 11600, 11602, 13435, 13436})
"""Unreachable, locked, out of time, shutting or stepping down (github.com/mongodb/mongo, error_codes.yml)."""

Client = pymongo.MongoClient[dict[str, Any]]


def make(
    host: str,
    port: int,
    credentials: tuple[str, Secret] | None,
    *,
    tls: bool,
    authority: Path | None,
    read_seconds: float,
) -> Client:
    """A client of this one member, whatever its role, that repeats nothing."""
    if authority is not None and not authority.is_file():
        raise PermanentError(f"there is no file of certificates at {authority}")
    # The library goes on asking a port that refuses until its time is up; one look at the port tells at once.
    socket.create_connection((host, port), CONNECT_SECONDS).close()
    options: dict[str, Any] = {"tls": True, "tlsCAFile": str(authority) if authority else None} if tls else {}
    if credentials:
        user, password = credentials
        options |= {"username": user, "password": password.reveal(), "authSource": "admin"}
    return pymongo.MongoClient(
        host,
        port,
        directConnection=True,
        tz_aware=True,
        appname="infrastructure-portal",
        maxPoolSize=1,
        retryReads=False,
        retryWrites=False,
        connectTimeoutMS=int(CONNECT_SECONDS * 1000),
        serverSelectionTimeoutMS=int(CONNECT_SECONDS * 1000),
        socketTimeoutMS=int(read_seconds * 1000),
        serverMonitoringMode="poll",
        **options,
    )


@contextmanager
def translated(where: str) -> Iterator[None]:
    """Failures as ours: wrong credentials and refusals are permanent, silence and changing roles are transient."""
    try:
        yield
    except OperationFailure as error:
        said = str((error.details or {}).get("errmsg", error))[:300]
        if error.code in _REFUSED:
            raise PermanentError(f"{where} refuses these credentials: {said}") from None
        if error.code in _PASSING:
            raise TransientError(f"{where} is changing: {said}") from None
        raise PermanentError(f"{where} refuses the command: {said}") from None
    except ConfigurationError as error:
        raise PermanentError(f"{where} cannot be asked: {error}"[:500]) from None
    except (PyMongoError, BSONError, OSError) as error:  # refused, timed out, or no MongoDB at all
        raise TransientError(f"{where} does not answer: {error}"[:500]) from None
