"""A signed-in browser, and the exact number of queries of a page."""

from __future__ import annotations

from typing import Any

from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from identity.models import Account


def browser(account: Account) -> Client:
    """A client that is signed in."""
    client = Client()
    client.force_login(account, backend="identity.backends.ScopeBackend")
    return client


def queries(client: Client, path: str, **headers: str) -> tuple[int, Any]:
    """How many queries the page takes, and its answer. The first request warms what is cached per process."""
    client.get(path, headers=headers)
    with CaptureQueriesContext(
        connection,
    ) as captured:
        response = client.get(path, headers=headers)
    return len(captured), response
