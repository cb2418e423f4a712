"""One short-lived connection per question, and one answer to what each failure means.

Source of the error numbers: mariadb.com/kb, "MariaDB Error Codes"; 2000 to 2099 are the client's own.
"""

from __future__ import annotations

import contextlib
import ssl
import struct
from collections.abc import Callable, Iterator
from typing import Any

import pymysql
from pymysql.cursors import DictCursor

from drivers.errors import DriverError, PermanentError, TransientError
from drivers.secret import Secret

Row = dict[str, Any]
CONNECT_SECONDS = 2.0
READ_SECONDS = 5.0
LOCK_WAIT = 1205
NO_SUCH_QUERY = 1957
NO_SUCH_CONNECTION = 1094
DENIED = 1227
_REFUSED = frozenset({1044, 1045, 1049, 1142, 1227, 1370, 1698, 4151})
"""Access denied, unknown database, missing privilege, wrong plugin, account locked."""
_PASSING = frozenset({1040, 1053, 1152, 1158, 1159, 1160, 1161, 1203, 1205, 1213, 1226, 1317, 1927, 1969})
"""Full, shutting down, broken network, lock limits, interrupted or closed by somebody: another moment may differ."""


class Refused(PermanentError):
    """The server understood and said no; `code` is its error number."""

    def __init__(self, message: str, code: int) -> None:
        super().__init__(message)
        self.code = code


class Waited(TransientError):
    """A lock was not to be had in time."""


class Session:
    """An open connection: statements with bound values, rows as dictionaries."""

    def __init__(self, cursor: Any, where: str, user: str) -> None:
        self._cursor = cursor
        self._where = where
        self._user = user

    def rows(self, statement: str, *values: object) -> list[Row]:
        """All rows that `statement` answers with."""
        try:
            self._cursor.execute(statement, values or None)
            return list(self._cursor.fetchall())
        except pymysql.MySQLError as error:
            raise meaning(error, self._where, self._user) from None

    def value(self, statement: str, *values: object) -> Any:
        """The first column of the first row, None without rows."""
        found = self.rows(statement, *values)
        return next(iter(found[0].values())) if found else None

    def run(self, statement: str, *values: object) -> None:
        """Execute `statement`, whatever it answers."""
        self.rows(statement, *values)


@contextlib.contextmanager
def connected(where: str, user: str, link: Callable[[], Any]) -> Iterator[Session]:
    """A session on what `link` opens. Failures on the way there are the drivers' own, as those of the session are."""
    try:
        opened = link()
    except pymysql.MySQLError as error:
        raise meaning(error, where, user) from None
    except (OSError, ValueError, IndexError, struct.error) as error:  # a broken handshake, or another protocol
        raise TransientError(f"{where} does not answer as a database: {type(error).__name__}") from None
    try:
        yield Session(opened.cursor(), where, user)
    finally:
        with contextlib.suppress(pymysql.MySQLError, OSError):
            opened.close()


def meaning(error: pymysql.MySQLError, where: str, user: str) -> DriverError:
    """What a failure of the client library is to a caller. A syntax error repeats the statement, so it is cut off."""
    code = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    said = str(error.args[-1] if error.args else error)[:300]
    if code in _REFUSED:
        return Refused(f"{where} refuses {user} (error {code})", code)
    if code == LOCK_WAIT:
        return Waited(f"{where} waited for a lock in vain (error {code})")
    if "certificate verify failed" in said:
        return PermanentError(f"the certificate of {where} is not trusted")
    if code < 1000 or 2000 <= code < 3000 or code in _PASSING:
        return TransientError(f"{where} does not answer: {said}")
    if code == 1064:
        return Refused(f"{where} does not understand the statement (error 1064)", code)
    return Refused(f"{where} refuses: {said} (error {code})", code)


def link(
    host: str, port: int, user: str, password: Secret, trust: ssl.SSLContext | None, seconds: float
) -> pymysql.Connection[DictCursor]:
    """A connection in which each answer may take `seconds`; with `trust` the server must prove itself."""
    return pymysql.connect(
        host=host,
        port=port,
        user=user,
        password=password.reveal(),
        connect_timeout=CONNECT_SECONDS,
        read_timeout=seconds,
        write_timeout=seconds,
        charset="utf8mb4",
        cursorclass=DictCursor,
        autocommit=True,
        ssl=trust,
        ssl_disabled=trust is None,
    )
