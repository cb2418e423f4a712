"""Ports are probed, and lie below the kernel's range for outgoing connections."""

import socket

import pytest

from portal.embedded import ports
from tests.ports import free


def test_a_port_with_a_listener_is_not_free():
    with socket.create_server(("127.0.0.1", 0)) as server:
        assert ports.is_free(server.getsockname()[1]) is False


def test_the_next_port_is_taken_when_the_first_is_busy():
    start = free()
    with socket.create_server(("127.0.0.1", start)):
        assert ports.first_free(start) > start


def test_ports_of_the_kernels_own_range_are_never_given():
    with pytest.raises(RuntimeError, match="No free port between 32768 and 32767"):
        ports.first_free(ports.EPHEMERAL)
