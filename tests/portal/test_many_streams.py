"""More open live streams than the pool has connections: every page is still served."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from django.conf import settings
from django.db import connection

from portal.embedded import ports
from tests import world
from tests.ports import free

pytestmark = pytest.mark.django_db(transaction=True)
STREAMS = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"] + 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    """The portal under its real ASGI server, on the test's database."""
    port = free()
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    env = os.environ | {"DATABASE_URL": database, "PORT": str(port), "PORTAL_STATE": str(settings.STATE_DIR)}
    command = [sys.executable, "-m", "uvicorn", "portal.asgi:application", "--port", str(port)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=settings.BASE_DIR, env=env, stdout=log, stderr=log)
    base = f"http://127.0.0.1:{port}"
    deadline = time.monotonic() + 60
    while ports.is_free(port):
        assert process.poll() is None, (tmp_path / "log").read_text()
        assert time.monotonic() < deadline
        time.sleep(0.1)
    yield base
    process.kill()
    process.wait()


def test_open_streams_hold_no_database_connection(server, client):
    world.scope()
    client.force_login(world.account("viewer", "viewer"))
    signed_in = {"base_url": server, "cookies": {"session": client.cookies["session"].value}, "timeout": 30}
    with ExitStack() as open_streams:
        answers = []
        for _ in range(STREAMS):
            browser = open_streams.enter_context(httpx.Client(**signed_in))
            answers.append(open_streams.enter_context(browser.stream("GET", "/live/?topic=operations.operation")))
        assert [answer.status_code for answer in answers] == [200] * STREAMS
        page = open_streams.enter_context(httpx.Client(**signed_in)).get("/operations/")
        assert page.status_code == 200
