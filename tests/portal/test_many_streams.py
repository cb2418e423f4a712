"""More open live streams than the pool has connections: every page is still served."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import httpx
import pytest
from django.conf import settings

from tests import world
from tests.served import served

pytestmark = pytest.mark.django_db(transaction=True)
STREAMS = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"] + 4


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    with served(tmp_path) as address:
        yield address


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
