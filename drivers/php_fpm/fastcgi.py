"""One FastCGI request to a pool: enough for its status page, its ping, and a script of the operator.

Source: the FastCGI specification 1.0 (fastcgi-archives.github.io), sections 3.3 to 5.5.
"""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import BinaryIO

from drivers.errors import TransientError

CONNECT_SECONDS = 2.0
MAX_BYTES = 1024 * 1024
_HEADER = struct.Struct("!BBHHBB")
_BEGIN, _END, _PARAMS, _STDIN, _STDOUT = 1, 3, 4, 5, 6
_RESPONDER = struct.pack("!HB5x", 1, 0)


@dataclass(frozen=True, slots=True)
class Answer:
    """Status (200 unless the script says otherwise), headers with lower-case names, body."""

    status: int
    headers: dict[str, str]
    body: str


def ask(address: str | tuple[str, int], params: Mapping[str, str], *, seconds: float) -> Answer:
    """One GET to the pool that listens at a Unix socket's path or at (host, port).

    `TransientError` when nobody listens, when no answer comes within `seconds` (all workers may be busy), or when it
    breaks off.
    """
    where = address if isinstance(address, str) else f"{address[0]}:{address[1]}"
    until = time.monotonic() + seconds
    try:
        with _connected(address) as link:
            link.settimeout(max(0.05, until - time.monotonic()))
            link.sendall(_request(params))
            with link.makefile("rb") as answer:
                return _parsed(_output(link, answer, until))
    except TimeoutError:
        raise TransientError(f"{where} did not answer within {seconds:g} seconds") from None
    except (OSError, EOFError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise TransientError(f"{where} does not answer: {reason}") from None


def _connected(address: str | tuple[str, int]) -> socket.socket:
    if not isinstance(address, str):
        return socket.create_connection(address, timeout=CONNECT_SECONDS)
    link = socket.socket(socket.AF_UNIX)
    try:
        link.settimeout(CONNECT_SECONDS)
        link.connect(address)
    except BaseException:
        link.close()
        raise
    return link


def _request(params: Mapping[str, str]) -> bytes:
    pairs = b"".join(_pair(name.encode(), value.encode()) for name, value in params.items())
    records = ((_BEGIN, _RESPONDER), (_PARAMS, pairs), (_PARAMS, b""), (_STDIN, b""))
    return b"".join(_HEADER.pack(1, kind, 1, len(content), 0, 0) + content for kind, content in records)


def _pair(name: bytes, value: bytes) -> bytes:
    return b"".join(_length(len(part)) for part in (name, value)) + name + value


def _length(size: int) -> bytes:
    return bytes([size]) if size < 128 else struct.pack("!I", size | 0x80000000)


def _output(link: socket.socket, answer: BinaryIO, until: float) -> bytes:
    """All of the standard output, up to the end of the request."""
    output = bytearray()
    while True:
        remaining = until - time.monotonic()
        if remaining <= 0:
            raise TimeoutError
        link.settimeout(remaining)
        _, kind, _, size, padding, _ = _HEADER.unpack(_exactly(answer, _HEADER.size))
        content = _exactly(answer, size + padding)[:size]
        if kind == _STDOUT:
            output += content
        if len(output) > MAX_BYTES:
            raise ValueError(f"it answers with more than {MAX_BYTES} bytes")
        if kind == _END:
            return bytes(output)


def _exactly(answer: BinaryIO, size: int) -> bytes:
    content = answer.read(size)
    if len(content) < size:
        raise EOFError("the answer breaks off")
    return content


def _parsed(output: bytes) -> Answer:
    head, found, body = output.partition(b"\r\n\r\n")
    if not found:
        raise ValueError("the answer has no head")
    lines = [line.partition(":") for line in head.decode(errors="replace").split("\r\n")]
    headers = {name.strip().lower(): value.strip() for name, _, value in lines}
    return Answer(int(headers.get("status", "200")[:3]), headers, body.decode(errors="replace"))
