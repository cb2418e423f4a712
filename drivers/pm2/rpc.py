"""Calls to a running PM2 daemon over its own socket, `<home>/rpc.sock`.

The daemon exposes the methods that its command line uses (PM2 7.0, lib/Daemon.js): asking it directly costs a
millisecond where starting Node.js costs a tenth of a second, names processes by number, so that a process called `all`
is not everything, and hands over nothing of the caller's environment. A message is a list of up to fifteen parts: one
byte (version 1 in the upper half, the number of parts in the lower), then each part behind its length in four bytes;
a part is `j:` and JSON, or `s:` and text (package amp-message). The call `{"type", "method", "args"}` and the caller's
number of it go out; `{"args"}` or `{"error"}` and that number come back.

Answers hold the whole environment of processes, secrets included: they go to `processes.parse` and nowhere else.
"""

from __future__ import annotations

import json
import socket
import struct
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from drivers.errors import PermanentError, TransientError

CONNECT_SECONDS = 2.0
_MAX_BYTES = 64 * 1024 * 1024


def encode(parts: Sequence[object]) -> bytes:
    """One message: text as text, everything else as JSON."""
    packed = [f"s:{part}".encode() if isinstance(part, str) else f"j:{json.dumps(part)}".encode() for part in parts]
    return bytes([1 << 4 | len(packed)]) + b"".join(struct.pack(">I", len(part)) + part for part in packed)


class Rpc:
    """The socket of the daemon in `home`."""

    def __init__(self, home: Path) -> None:
        self.path = home / "rpc.sock"

    def call(self, method: str, *arguments: Any, seconds: float) -> Any:
        """One call; see `calls`."""
        return self.calls([(method, arguments)], seconds=seconds)[0]

    def calls(self, wanted: Iterable[tuple[str, Sequence[Any]]], *, seconds: float) -> list[Any]:
        """What each call returned, in order; all of them are under way at once.

        `TransientError` when the daemon does not answer all of them within `seconds` or is busy with another reload;
        `PermanentError` with its own sentence when it refuses one.
        """
        deadline = time.monotonic() + seconds
        with socket.socket(socket.AF_UNIX) as link:
            try:
                link.settimeout(CONNECT_SECONDS)
                link.connect(str(self.path))
                numbers = []
                for number, (method, arguments) in enumerate(wanted):
                    link.sendall(encode([{"type": "call", "method": method, "args": list(arguments)}, str(number)]))
                    numbers.append(str(number))
                answers: dict[str, Any] = {}
                while len(answers) < len(numbers):
                    answer, label = _message(link, deadline)
                    answers[label] = answer
            except OSError as error:
                raise TransientError(f"the pm2 daemon does not answer: {error.strerror or error}") from None
        return [_result(answers.get(label)) for label in numbers]


def _message(link: socket.socket, deadline: float) -> tuple[Any, str]:
    """The next answer and the number of its call."""
    (meta,) = _exactly(link, 1, deadline)
    parts = []
    for _ in range(meta & 15):
        (length,) = struct.unpack(">I", _exactly(link, 4, deadline))
        parts.append(_exactly(link, length, deadline))
    try:
        answer, number = parts
        return json.loads(answer.removeprefix(b"j:")), number.removeprefix(b"s:").decode()
    except ValueError:
        raise TransientError("the pm2 daemon gave an answer that is none") from None


def _exactly(link: socket.socket, length: int, deadline: float) -> bytes:
    if length > _MAX_BYTES:
        raise TransientError("the pm2 daemon gave an answer that is too large")
    read = bytearray()
    while len(read) < length:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TransientError("the pm2 daemon did not answer in time")
        link.settimeout(left)
        some = link.recv(min(length - len(read), 1 << 20))
        if not some:
            raise TransientError("the pm2 daemon has just ended")
        read += some
    return bytes(read)


def _result(answer: Any) -> Any:
    if not isinstance(answer, dict):
        raise TransientError("the pm2 daemon gave an answer that is none")
    if "error" in answer:
        reason = str(answer["error"])[:500]
        if "in progress" in reason:
            raise TransientError("pm2 is busy with another reload")
        raise PermanentError(f"pm2 refused: {reason}")
    return (answer.get("args") or [None])[0]
