"""A TCP relay that makes trouble: it stands between a driver and the real daemon, and refuses, hangs or cuts."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

from tests.drivers.daemons import free_port

CHUNK = 65536


class Relay:
    """Passes connections on to a port of loopback. ``mode`` may be changed at any time and holds for new connections:

    "pass", "refuse" (closed at once), "hang" (accepted, and never a byte), "cut" (half of the first answer).
    """

    def __init__(self, target: int) -> None:
        self.target = target
        self.mode = "pass"
        self.accepted = 0
        self.port = free_port()
        self._held: list[socket.socket] = []
        self._listener = socket.create_server(("127.0.0.1", self.port), backlog=128)
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            self.accepted += 1
            self._held.append(near)
            if self.mode == "refuse":
                near.close()
            elif self.mode != "hang":
                threading.Thread(target=self._pass_on, args=(near, self.mode == "cut"), daemon=True).start()

    def _pass_on(self, near: socket.socket, cut: bool) -> None:
        with contextlib.suppress(OSError), near, socket.create_connection(("127.0.0.1", self.target), 5) as far:
            forth = threading.Thread(target=self._copy, args=(near, far), daemon=True)
            forth.start()
            if cut:
                answer = far.recv(CHUNK)
                near.sendall(answer[: len(answer) // 2])
                near.shutdown(socket.SHUT_RDWR)
                far.shutdown(socket.SHUT_RDWR)
            else:
                self._copy(far, near)

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        with contextlib.suppress(OSError):
            while data := source.recv(CHUNK):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        """End everything, also what hangs."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for each in self._held:
            with contextlib.suppress(OSError):
                each.shutdown(socket.SHUT_RDWR)
            each.close()
        self._thread.join()


@contextlib.contextmanager
def relayed(target: int) -> Iterator[Relay]:
    """A relay to ``target`` for the time of the block."""
    relay = Relay(target)
    try:
        yield relay
    finally:
        relay.close()
