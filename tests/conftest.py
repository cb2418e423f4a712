"""Fixtures of the whole suite."""

from __future__ import annotations

import gc
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import psycopg_pool.base
import pytest
from django.conf import settings
from django.core.cache import cache
from django.db import connection, connections, transaction
from django.test import TransactionTestCase
from django.test import client as test_client
from pytest_django.plugin import DjangoDbBlocker
from rest_framework.test import APIClient
from xdist.scheduler import LoadScopeScheduling

from portal import clock, events
from tests import world
from tests.postgres import copy_the_migrated_database
from tests.served import served

__all__ = ["served"]

gc.disable()  # until all tests are loaded

# A real password hash costs a tenth of a second on purpose; tests make hundreds.
settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]

# Each test client would look through all static files anew, which takes longer than most of its pages, and run three
# event loops a request. The servers that tests start as processes of their own serve them.
settings.MIDDLEWARE.remove("portal.static.StaticFilesMiddleware")


def _keep_the_outermost(store: dict[str, Any], *heard: Any, **facts: Any) -> None:
    """What a test asks of ``response.context`` is what the view gave its page; the parts of a page are a hundred."""
    if "context" not in store:
        keep_template(store, *heard, **facts)


keep_template = test_client.store_rendered_templates
test_client.store_rendered_templates = _keep_the_outermost


# What takes longest begins first, so that no worker is left with it at the end.
LONGEST = (
    *("newcomer", "lab", "fuzz", "matrix", "proofs", "sigkill", "stories"),
    *("embedded", "drivers", "passkeys", "structure"),
)
ON_THE_LAB = ("tests/lab/", "on_real_daemons", "killed_workers")
ON_ONE_SERVER = ("test_palette", "test_phone_lists", "test_pictures", "test_stream", "test_many_streams")


def _group(nodeid: str) -> str:
    """What one worker does: a file, and all that acts on the small lab, or asks the portal's one web server."""
    name = nodeid.partition("::")[0]
    if any(word in name for word in ON_ONE_SERVER):
        return "stories on one server"
    return "lab" if any(word in name for word in ON_THE_LAB) else name


class Grouped(LoadScopeScheduling):
    """pytest-xdist's scheduling of whole groups. Its own marks for groups are not seen by pytest 9.2."""

    def _split_scope(self, nodeid: str) -> str:
        return _group(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> Grouped | None:
    return Grouped(config, log) if config.getvalue("dist") == "loadscope" else None


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long proofs too; with CI=true they always run")


def _leave_out_long(config: pytest.Config, items: list[pytest.Item]) -> None:
    """The long proofs repeat on real daemons, at every step, what shorter ones prove in simulated worlds."""
    if config.getoption("--long") or os.environ.get("CI") == "true":
        return
    long = [item for item in items if item.get_closest_marker("long")]
    if hasattr(config, "workeroutput"):  # to tell the controller a thousand times of a skipped test takes seconds
        items[:] = [item for item in items if not item.get_closest_marker("long")]
        config.workeroutput["left_out"] = len(long)
    for item in long:
        item.add_marker(pytest.mark.skip(reason="a long proof; --long or CI=true runs it"))


LEFT_OUT = pytest.StashKey[int]()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    node.config.stash[LEFT_OUT] = getattr(node, "workeroutput", {}).get("left_out", 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if left_out := terminalreporter.config.stash.get(LEFT_OUT, 0):
        terminalreporter.write_line(f"{left_out} long proofs were left out; --long or CI=true runs them")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """After pytest-django has put them in its own order."""
    _leave_out_long(config, items)

    def rank(item: pytest.Item) -> int:
        group = _group(item.nodeid)
        return next((place for place, word in enumerate(LONGEST) if word in group), len(LONGEST))

    items.sort(key=rank)


def pytest_collection_finish(session: pytest.Session) -> None:
    """What is loaded by now stays to the end; the collector need not look through it hundreds of times.

    What tests leave in circles is little, and is looked for a tenth as often.
    """
    gc.freeze()
    gc.set_threshold(20_000, 10, 10)
    gc.enable()


@pytest.fixture(scope="session")
def django_db_modify_db_settings(django_db_modify_db_settings_parallel_suffix: None) -> None:
    """pytest-django asks for this just before it makes the test database.

    Threads of tests that end without closing their connection keep a place in the pool for good, so it is larger here.
    """
    copy_the_migrated_database()
    connections["default"].settings_dict["OPTIONS"]["pool"]["max_size"] = 40


# The audit trail and others refuse DELETE. Only the suite, as the tables' owner, may clean up behind itself.
EMPTY = """
DO $$
DECLARE one regclass; filled regclass[] := '{}'; found boolean;
BEGIN
    FOR one IN
        SELECT oid::regclass FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace
           AND relname NOT IN ('django_migrations', 'django_content_type', 'auth_permission')
    LOOP
        EXECUTE format('SELECT EXISTS (SELECT FROM %s)', one) INTO found;
        IF found THEN
            filled := filled || one;
            EXECUTE format('ALTER TABLE %s DISABLE TRIGGER USER', one);
        END IF;
    END LOOP;
    SET CONSTRAINTS ALL DEFERRED;
    FOREACH one IN ARRAY filled LOOP EXECUTE format('DELETE FROM %s', one); END LOOP;
    SET CONSTRAINTS ALL IMMEDIATE;
    FOREACH one IN ARRAY filled LOOP EXECUTE format('ALTER TABLE %s ENABLE TRIGGER USER', one); END LOOP;
END $$
"""


@pytest.fixture(autouse=True, scope="session")
def _empty_only_what_a_test_filled() -> Iterator[None]:
    """After a test that commits Django truncates a hundred tables and makes all permissions anew."""

    def empty(case: TransactionTestCase) -> None:
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute(EMPTY)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(TransactionTestCase, "_fixture_teardown", empty)
        yield


LOST_PLACES = 8


@pytest.fixture(autouse=True, scope="module")
def _a_pool_with_places() -> Iterator[None]:
    """Threads that end without closing their connection keep a place in the pool for good.

    Over hundreds of modules that uses it up, and a test that is not at fault waits for a connection in vain.
    """
    yield
    connection.close()
    # A new pool costs a new connection, so the modules that lose no places share one. To ask the connection for its
    # pool would make one, of a database that is not the test's as long as no test has asked for that.
    pool = connection._connection_pools.get(connection.alias)
    if pool and pool.get_stats()["pool_size"] > LOST_PLACES:
        connection.close_pool()


@pytest.fixture(scope="module")
def standing(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> Iterator[Callable[[Callable[[], Any]], Any]]:
    """``standing(make)``: what ``make`` gives, made in the database once for all tests of the module.

    As with ``setUpTestData`` each test works in a savepoint and has to take a copy (``copy.deepcopy``) of the objects.
    Not for modules with tests that commit.
    """
    outer = transaction.atomic()
    outer._from_testcase = True  # durable verbs are let through, as in Django's own test cases

    def build(make: Callable[[], Any]) -> Any:
        with django_db_blocker.unblock():
            made = make()
            # Or each test would check the references of all that stands, within its savepoint and so for itself alone.
            connection.check_constraints()
            return made

    build(outer.__enter__)
    yield build
    with django_db_blocker.unblock():
        transaction.set_rollback(True)
        outer.__exit__(None, None, None)


@pytest.fixture(autouse=True, scope="session")
def _random_numbers_of_its_own_for_the_pool() -> None:
    """Its threads draw some whenever a connection is made; in the midst of a property test that upsets Hypothesis."""
    psycopg_pool.base.random = random.Random().random  # type: ignore[attr-defined]


@pytest.fixture(autouse=True)
def _nothing_remembered() -> None:
    """What one test was told is not told to the next."""
    cache.clear()


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
