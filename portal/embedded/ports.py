"""Free ports on loopback, below the range the kernel hands to outgoing connections."""

import errno
import socket
from typing import Protocol

LOOPBACK = "127.0.0.1"
EPHEMERAL = 32768


def is_free(port: int) -> bool:
    """Whether a server could listen on this loopback port now."""
    with socket.socket() as probe:
        # Like the daemons themselves: a port in TIME_WAIT is free, a port with a listener is not.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((LOOPBACK, port))
        except OSError as error:
            if error.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
        return True


def first_free(start: int) -> int:
    """The first free port from `start` upward; RuntimeError when none is left below 32768."""
    for port in range(start, EPHEMERAL):
        if is_free(port):
            return port
    raise RuntimeError(f"No free port between {start} and {EPHEMERAL - 1} on {LOOPBACK}.")


class Server(Protocol):
    """Something that listens on its `port` after `start()`, which raises RuntimeError when it cannot."""

    port: int

    def start(self) -> None: ...


def start_on_free(server: Server, first: int) -> None:
    """Start the server on a free port; take the next one when somebody was faster between probe and start."""
    for last in (False, False, True):
        server.port = first_free(first)
        try:
            server.start()
        except RuntimeError:
            if last or is_free(server.port):
                raise
        else:
            return
