"""A logical copy of one server, streamed: what `mariadb-dump` writes, cut into statements.

Source: mariadb.com/kb/en/mariadb-dump/. Two of its habits matter here. It writes events as enabled, although a replica
must not run them (replication itself would create them as DISABLE ON SLAVE), and its `--system=users` fails on a server
with `skip-name-resolve` and an account for a host name; so accounts are copied by `drivers.mariadb.rebuild`.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import tempfile
import threading
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from drivers import names
from drivers.errors import PermanentError, TransientError
from drivers.secret import Secret

_SECONDS = 540.0
_POSITION = re.compile(r"-- SET GLOBAL gtid_slave_pos='([0-9,-]*)';\s*")
_EVENT = re.compile(r"( ON COMPLETION (?:NOT )?PRESERVE) ENABLE\b")
_SANDBOX = "/*M!999999\\-"
_OPTIONS = (
    *("--single-transaction", "--gtid", "--master-data=2", "--routines", "--events", "--triggers", "--hex-blob"),
    *("--skip-add-locks", "--default-character-set=utf8mb4", "--databases", "--"),
)
"""With --gtid --master-data=2 the position of the snapshot stands in a comment; --hex-blob keeps bytes as they are."""


class Statements:
    """The statements of a dump, one after another; `position` and `complete` are known at the end.

    A delimiter counts at the end of a line only, as for the `mariadb` client: dumps escape line ends within text.
    """

    def __init__(self, lines: Iterable[str]) -> None:
        self._lines = lines
        self.position: str | None = None
        self.complete = False

    def __iter__(self) -> Iterator[str]:
        delimiter, held = ";", list[str]()
        for line in self._lines:
            if not held and self._comment(line):
                continue
            if not held and line.startswith("DELIMITER "):
                delimiter = line.split()[1]
                continue
            held.append(line)
            if line.rstrip().endswith(delimiter):
                statement = "".join(held).rstrip().removesuffix(delimiter).strip()
                held = []
                if statement:
                    yield for_a_replica(statement)

    def _comment(self, line: str) -> bool:
        if match := _POSITION.fullmatch(line):
            self.position = match[1]
        self.complete = self.complete or line.startswith("-- Dump completed")
        return not line.strip() or line.startswith(("-- ", "--\n", _SANDBOX))


def for_a_replica(statement: str) -> str:
    """The statement as a replica must get it: its events do not fire."""
    if "CREATE*/" in statement[:24] and " EVENT " in statement[:400]:
        return _EVENT.sub(r"\1 DISABLE ON SLAVE", statement, count=1)
    return statement


def program(given: object) -> Path:
    """Where `mariadb-dump` is; `PermanentError` when it is not on this machine."""
    found = names.path(given) if given is not None else shutil.which("mariadb-dump")
    if found is None or not os.access(found, os.X_OK):
        raise PermanentError("mariadb-dump is not installed on the machine that does this")
    return Path(found)


def option_file(host: str, port: int, user: str, password: Secret, ca: str | None, tls: bool) -> str:
    """What the program must know and must not stand in an argument list. A backslash begins an escape in such files."""
    escaped = password.reveal().replace("\\", "\\\\")
    lines = ["[client]", f"host={host}", f"port={port}", "protocol=tcp", f"user={user}", f'password="{escaped}"']
    if tls:
        lines += ["ssl", "ssl-verify-server-cert", *([f"ssl-ca={ca}"] if ca else [])]
    return "\n".join([*lines, ""])


@contextmanager
def dumped(path: Path, options: str, databases: list[str]) -> Iterator[Iterator[str]]:
    """The lines of a dump of `databases` while it runs; when the block ends the program has ended well, or we raise.

    The option file goes through a pipe, so the password is on no disk and in nobody's process list. A source that
    falls silent would block the reader, so the program is ended after `_SECONDS`.
    """
    reading, writing = os.pipe()
    os.write(writing, options.encode())
    os.close(writing)
    argv = [str(path), f"--defaults-file=/dev/fd/{reading}", *_OPTIONS, *databases]
    with tempfile.TemporaryFile() as said:
        try:
            child = subprocess.Popen(
                argv,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=said,
                pass_fds=(reading,),
                env={"PATH": "/usr/bin:/bin", "LANG": "C.UTF-8"},
                text=True,
                encoding="utf-8",
                errors="surrogateescape",
                start_new_session=True,
            )
        finally:
            os.close(reading)
        limit = threading.Timer(_SECONDS, child.kill)
        limit.start()
        try:
            yield iter(child.stdout or ())
            if child.wait(30):
                said.seek(0)
                text = said.read(2000).decode(errors="replace").strip()[-300:]
                raise TransientError(f"{path.name} ended with {child.returncode}: {text}")
        finally:
            limit.cancel()
            child.kill()
            child.communicate()
