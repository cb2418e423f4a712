"""Fixtures of the whole suite."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from django.conf import settings
from django.db import connection
from django.db.backends.postgresql.operations import DatabaseOperations
from rest_framework.test import APIClient

from portal import clock, events
from tests import world

# A real password hash costs a tenth of a second on purpose; tests make hundreds.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]


# What takes longest begins first, so that no worker is left with it at the end.
LONGEST = ("stories", "lab", "sigkill", "embedded", "drivers", "passkeys", "structure")


def _group(item: pytest.Item) -> str:
    name = item.nodeid.partition("::")[0]
    return "lab" if "tests/lab/" in name or "on_real_daemons" in name or "killed_workers" in name else name


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> Iterator[None]:
    """Keep together what shares a lab or a server: one group a file, and one for everything that acts on the lab."""
    rank = {}
    for item in items:
        group = _group(item)
        item.add_marker(pytest.mark.xdist_group(group))  # before pytest-xdist looks
        rank[item] = next((place for place, word in enumerate(LONGEST) if word in group), len(LONGEST))
    yield
    items.sort(key=rank.__getitem__)  # after pytest-django has put them in its own order


@pytest.fixture(autouse=True, scope="session")
def _empty_audit_trail_after_transactional_tests() -> Iterator[None]:
    """The audit trail refuses TRUNCATE. Only the suite, as the table's owner, may clean up behind itself."""
    flush = DatabaseOperations.execute_sql_flush

    def without_triggers(self: DatabaseOperations, sql_list: list[str]) -> None:
        off, on = (f"ALTER TABLE portal_event {word} TRIGGER USER;" for word in ("DISABLE", "ENABLE"))
        flush(self, [off, *sql_list, on])

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DatabaseOperations, "execute_sql_flush", without_triggers)
        yield


@pytest.fixture
def stepped_up() -> Iterator[None]:
    """The actor showed a second factor just now."""
    with events.acting(second_factor_at=clock.now()):
        yield


@pytest.fixture
def api() -> APIClient:
    """A REST client without credentials; ``api.credentials(HTTP_AUTHORIZATION=…)`` or ``as_account`` gives some."""
    return APIClient()


@pytest.fixture
def as_account(api: APIClient):
    """``as_account(account)``: the REST client with a bearer token of that account."""

    def sign(account: object) -> APIClient:
        api.credentials(HTTP_AUTHORIZATION=f"Bearer {world.token(account)}")
        return api

    return sign


@pytest.fixture
def settled(django_capture_on_commit_callbacks):
    """Run what a verb scheduled for after its commit."""
    return lambda: django_capture_on_commit_callbacks(execute=True)


@pytest.fixture
def sql() -> object:
    """Run one statement, bypassing every model: what the database itself refuses."""

    def run(statement: str, *values: object) -> None:
        with connection.cursor() as cursor:
            cursor.execute(statement, values)

    return run
