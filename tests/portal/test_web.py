"""The web server's connections."""

import asyncio
import socket

import pytest
from uvicorn import Config, Server

from portal.web import Connection


async def _asks_nothing(scope, receive, send):
    raise AssertionError("nobody asks")


async def _accepted(protocol):
    """The option of a connection that a server with this socket took."""
    listening = socket.socket(socket.AF_INET, socket.SOCK_STREAM, protocol)
    listening.bind(("127.0.0.1", 0))
    config = Config(_asks_nothing, http=Connection, lifespan="off", log_config=None)
    config.load()
    server = Server(config)
    made = []

    class Kept(Connection):
        def connection_made(self, transport):
            super().connection_made(transport)
            made.append(transport.get_extra_info("socket").getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY))
            transport.close()

    def connection():
        return Kept(config=config, server_state=server.server_state, app_state={})

    async with await asyncio.get_running_loop().create_server(connection, sock=listening):
        reader, writer = await asyncio.open_connection(*listening.getsockname())
        await reader.read()
        writer.close()
    return made


@pytest.mark.parametrize("protocol", [0, socket.IPPROTO_TCP])
def test_parts_of_an_answer_do_not_wait_for_each_other(protocol):
    """What uvicorn binds for several processes names no protocol, and asyncio then leaves Nagle's algorithm on."""
    assert asyncio.run(_accepted(protocol)) == [1]
