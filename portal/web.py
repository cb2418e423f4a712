"""HTTP connections of the web server, as ``uvicorn --http portal.web:Connection`` takes them."""

from __future__ import annotations

import asyncio
import socket

from uvicorn.protocols.http.auto import AutoHTTPProtocol


class Connection(AutoHTTPProtocol):  # type: ignore[misc, valid-type]
    """uvicorn's own, which sends each part of an answer at once.

    Several web processes share a socket that names no protocol, which is why asyncio leaves Nagle's algorithm on: the
    body then waits for the other side's acknowledgement of the head, 40 ms on Linux.
    """

    def connection_made(self, transport: asyncio.Transport) -> None:
        connected = transport.get_extra_info("socket")
        if connected is not None and connected.family in (socket.AF_INET, socket.AF_INET6):
            connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        super().connection_made(transport)
