"""The embedded Valkey: asks for its password and keeps its queue."""

import os
import signal

import pytest
import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from portal.embedded import ports
from portal.embedded.valkey import Valkey


@pytest.fixture
def server(tmp_path):
    server = Valkey(tmp_path, "secret", tmp_path / "log")
    ports.start_on_free(server, 23000)
    yield server
    server.stop()


@pytest.fixture
def client(server):
    with redis.Redis.from_url(server.url) as client:
        yield client


def test_nobody_comes_in_without_the_password(server):
    with redis.Redis(port=server.port, retry=Retry(NoBackoff(), 0)) as client, pytest.raises(redis.AuthenticationError):
        client.ping()


def test_the_password_is_on_no_command_line_and_in_a_private_file(server, tmp_path):
    with open(f"/proc/{server.child.pid}/cmdline") as file:
        assert "secret" not in file.read()
    assert (tmp_path / "valkey.conf").stat().st_mode & 0o777 == 0o600


def test_a_queue_survives_a_killed_server(server, client):
    client.rpush("default", "message")
    os.kill(server.child.pid, signal.SIGKILL)
    server.child.wait()
    server.start()
    assert client.lrange("default", 0, -1) == [b"message"]


def test_a_taken_port_is_left_for_the_next(server, tmp_path):
    (tmp_path / "second").mkdir()
    second = Valkey(tmp_path / "second", "other", tmp_path / "log")
    ports.start_on_free(second, server.port)
    second.stop()
    assert second.port > server.port


def test_a_server_that_cannot_start_names_its_log(server, tmp_path):
    second = Valkey(tmp_path, "other", tmp_path / "log", port=server.port)
    with pytest.raises(RuntimeError, match="Valkey did not start; see "):
        second.start()
