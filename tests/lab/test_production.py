"""What only production has: a replicated cache with Sentinels and a replicated database, broken and healed for real."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pymysql
import pytest

from drivers import connections
from lab import breaks, broken, estate, files, heal, programs
from lab.cache import Cache
from lab.daemon import COMMAND
from lab.database import Database
from lab.errors import MissingProgram
from lab.layout import Lab
from lab.unit import BROKEN, UP, Row
from tests.lab.conftest import available, traces, until
from tests.need import need
from tests.ports import for_a_lab

pytestmark = pytest.mark.long

CENTRAL, EAST = "production/us-central/cache", "production/us-east/cache"
SENTINEL = "production/us-central/sentinel"
PRIMARY, REPLICA = "production/us-central/database", "production/us-east/database"


def only(here: estate.Estate, kind: type) -> estate.Estate:
    """The estate reduced to one unit, so that a test starts no more than it needs."""
    here.units = here.of(kind)
    return here


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory, programs_are_there: None) -> Iterator[Lab]:
    """Ports and connections of a production of which only cache and database are started."""
    state = tmp_path_factory.mktemp("state")
    made = Lab(state / "lab")
    estate.prepare(made, ["production"], for_a_lab())
    yield made
    whole = estate.everything(made)
    assert whole is not None
    whole.down({COMMAND})
    made.discard_runtime()
    assert traces(state) == []


@pytest.fixture
def cache(lab: Lab) -> estate.Estate:
    here = only(estate.opened(lab), Cache)
    assert [outcome.problem for outcome in here.up(COMMAND, lambda _: None)] == [""]
    return here


@pytest.fixture
def database(lab: Lab) -> estate.Estate:
    need(available(programs.mariadbd), package="mariadb-server")
    here = only(estate.opened(lab), Database)
    assert [outcome.problem for outcome in here.up(COMMAND, lambda _: None)] == [""]
    return here


def healthy(lab: Lab, *keys: str) -> list[bool | None]:
    """What the portal's own drivers say."""
    known = connections.load(lab.connections)
    return [known.driver(key).observe().healthy for key in keys]


def rows(here: estate.Estate) -> dict[str, Row]:
    return {row.component: row for row in here.rows()}


def test_a_killed_cache_primary_is_replaced_and_becomes_it_again_when_healed(lab, cache):
    unit: Cache = cache.units[0]
    with unit.nodes[0].client() as client:
        client.set("order", "7")
        client.wait(1, 5000)
    breaks.primary(lab)
    until(lambda: unit.agreed_primary() == unit.nodes[1].port)
    until(lambda: (found := unit.by_role("master")) is not None and found.name == EAST)
    with unit.nodes[1].client() as client:
        assert client.get("order") == "7"
        client.set("order", "8")
    now = rows(cache)
    assert (now[CENTRAL].state, now[CENTRAL].detail) == (BROKEN, "stopped by `lab break`")
    assert now[EAST].detail.startswith("primary, ")
    assert heal.mend(cache, lambda _: None) == []
    now = rows(cache)
    assert {row.state for row in now.values()} == {UP}
    assert now[CENTRAL].detail.startswith("primary, 1 replicas")
    with unit.nodes[0].client() as client:
        assert client.get("order") == "8"
    assert broken.entries(lab) == []


def test_a_replica_that_was_cut_off_follows_again_when_healed(lab, cache):
    unit: Cache = cache.units[0]
    assert healthy(lab, CENTRAL, EAST, SENTINEL) == [True, True, True]
    breaks.replication(lab)
    assert healthy(lab, EAST) == [False]
    now = rows(cache)
    assert (now[EAST].state, now[EAST].detail) == (BROKEN, "replica, the link to the primary is down")
    with unit.nodes[0].client() as client:
        client.set("order", "9")
    assert heal.mend(cache, lambda _: None) == []
    with unit.nodes[1].client() as client:
        until(lambda: client.get("order") == "9")
    assert {row.state for row in rows(cache).values()} == {UP}


def test_the_database_replica_follows_by_gtid_and_the_portal_cannot_write_to_it(lab, database):
    facts = {name: connections.load(lab.connections).get(name) for name in (PRIMARY, REPLICA)}

    def run(name: str, statement: str) -> list[tuple[object, ...]]:
        at = facts[name]
        password = Path(at["password"].removeprefix("file:")).read_text()
        with pymysql.connect(host=at["host"], port=at["port"], user=at["user"], password=password) as link:
            link.autocommit(True)
            with link.cursor() as cursor:
                cursor.execute(statement)
                return list(cursor.fetchall())

    unit: Database = database.units[0]
    with unit.root(unit.primary) as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS edye.orders (id INT PRIMARY KEY)")
        cursor.execute("REPLACE INTO edye.orders VALUES (1)")
    until(lambda: run(REPLICA, "SELECT COUNT(*) FROM edye.orders") == [(1,)])
    for name in (PRIMARY, REPLICA):
        with pytest.raises(pymysql.err.OperationalError, match="INSERT command denied"):
            run(name, "INSERT INTO edye.orders VALUES (2)")


def test_stopped_replication_threads_are_seen_and_started_again(lab, database):
    assert breaks.database(lab) == f"{REPLICA}: replication threads stopped"
    assert healthy(lab, PRIMARY, REPLICA) == [True, False]
    now = rows(database)
    assert (now[PRIMARY].state, now[REPLICA].state) == (UP, BROKEN)
    assert now[REPLICA].detail == "replica, stopped threads: IO, SQL"
    assert heal.mend(database, lambda _: None) == []
    assert rows(database)[REPLICA].state == UP
    assert healthy(lab, PRIMARY, REPLICA) == [True, True]


def test_a_second_start_finds_the_data_of_the_first(lab, database):
    unit: Database = database.units[0]
    with unit.root(unit.primary) as cursor:
        cursor.execute("CREATE TABLE IF NOT EXISTS edye.kept (id INT PRIMARY KEY)")
    database.down({COMMAND})
    assert [outcome.problem for outcome in database.up(COMMAND, lambda _: None)] == [""]
    with unit.root(unit.replica) as cursor:
        assert cursor.execute("SHOW TABLES IN edye LIKE 'kept'") == 1


def test_a_missing_program_leaves_its_part_out_and_says_which_package_brings_it(tmp_path, monkeypatch):
    def missing() -> Path:
        raise MissingProgram("the Debian package mariadb-server is not installed")

    monkeypatch.setattr(programs, "mariadbd", missing)
    here = estate.prepare(Lab(tmp_path / "lab"), ["production"], 30000)
    assert here.missing == {"production database": "the Debian package mariadb-server is not installed"}
    assert PRIMARY not in files.read_json(here.lab.connections, {})["connections"]
    said: list[str] = []
    here.units = []
    here.up(COMMAND, said.append)
    here.lab.discard_runtime()
    assert said == ["        production database          left out: the Debian package mariadb-server is not installed"]
