"""The portal under its real ASGI server, on the test's own database."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from django.conf import settings
from django.db import connection

from portal.embedded import ports
from tests.ports import free


@pytest.fixture(scope="session")
def served(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a uvicorn process that serves the portal to all tests that ask for it.

    The test has to commit what the server is to see (``django_db(transaction=True)``).
    """
    folder = tmp_path_factory.mktemp("served")
    port = free()
    database = urlsplit(os.environ["DATABASE_URL"])._replace(path=f"/{connection.settings_dict['NAME']}").geturl()
    env = os.environ | {"DATABASE_URL": database, "PORT": str(port), "PORTAL_STATE": str(settings.STATE_DIR)}
    command = [sys.executable, "-m", "uvicorn", "portal.asgi:application", "--port", str(port)]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(command, cwd=settings.BASE_DIR, env=env, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 60
        while ports.is_free(port):
            assert process.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < deadline
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()
