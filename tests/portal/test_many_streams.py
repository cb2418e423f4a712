"""More open live streams than the pool has connections: every page is still served."""

from __future__ import annotations

from contextlib import ExitStack

import httpx
import pytest
from django.conf import settings

from tests import world

pytestmark = pytest.mark.django_db(transaction=True)
STREAMS = settings.DATABASES["default"]["OPTIONS"]["pool"]["max_size"] + 4


def test_open_streams_hold_no_database_connection(served, client):
    world.scope()
    client.force_login(world.account("viewer", "viewer"))
    signed_in = {"base_url": served, "cookies": {"session": client.cookies["session"].value}, "timeout": 30}
    with ExitStack() as open_streams:
        answers = []
        for _ in range(STREAMS):
            browser = open_streams.enter_context(httpx.Client(**signed_in))
            answers.append(open_streams.enter_context(browser.stream("GET", "/live/?topic=operations.operation")))
        assert [answer.status_code for answer in answers] == [200] * STREAMS
        page = open_streams.enter_context(httpx.Client(**signed_in)).get("/operations/")
        assert page.status_code == 200
