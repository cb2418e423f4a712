"""A planned switchover of three real servers under a writer that never stops; crashes and ways back at any point."""

from __future__ import annotations

import json
import queue
import threading
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field

import pymysql
import pytest

from drivers.acts import Call
from drivers.base import PermanentError, StaleFence, TransientError
from drivers.mariadb import switchover
from drivers.mariadb.switchover import STEPS, Switchover
from tests.drivers.daemons import until
from tests.drivers.mariadb_cluster import Cluster, connect
from tests.drivers.simulated.mariadb import Cluster as Simulation

PAUSE = 0.01
FATES = (1290, 1836)
"""The server is read-only: the write did not happen."""


@dataclass
class Writer:
    """Writes numbered rows on a fixed schedule, whether the last one is through or not, to whoever takes them."""

    servers: Cluster
    acknowledged: dict[int, float] = field(default_factory=dict)
    scheduled: dict[int, float] = field(default_factory=dict)
    over: threading.Event = field(default_factory=threading.Event)
    waiting: queue.SimpleQueue = field(default_factory=queue.SimpleQueue)

    def schedule(self) -> None:
        number, due = 0, time.monotonic()
        while not self.over.is_set():
            number, due = number + 1, due + PAUSE
            self.scheduled[number] = due
            self.waiting.put(number)
            time.sleep(max(0.0, due - time.monotonic()))
        for _ in range(3):
            self.waiting.put(None)

    def write(self) -> None:
        where, link = 1, None
        while (number := self.waiting.get()) is not None:
            while number not in self.acknowledged:
                try:
                    link = link or connect(self.servers.ports[where], "app", read_timeout=20)
                    with link.cursor() as cursor:
                        cursor.execute("INSERT INTO app.writes (number) VALUES (%s)", (number,))
                    self.acknowledged[number] = time.monotonic()
                except pymysql.MySQLError as error:
                    if error.args[0] == 1062:  # the answer to the first try was lost with its connection
                        self.acknowledged[number] = time.monotonic()
                        continue
                    if error.args[0] in FATES:
                        where = where % 3 + 1
                    if link:
                        link.close()
                    link = None
                    time.sleep(0.01)
        if link:
            link.close()

    @property
    def block(self) -> float:
        """The longest that one write had to wait from the moment it was due, in seconds."""
        return max(at - self.scheduled[number] for number, at in self.acknowledged.items())

    def more(self, count: int = 20) -> None:
        """Wait until that many further writes are acknowledged."""
        goal = len(self.acknowledged) + count
        until(lambda: len(self.acknowledged) >= goal)


@contextmanager
def writing(servers: Cluster):
    writer = Writer(servers)
    threads = [threading.Thread(target=target, daemon=True) for target in (writer.schedule, *[writer.write] * 3)]
    for thread in threads:
        thread.start()
    try:
        writer.more()
        yield writer
    finally:
        writer.over.set()
        for thread in threads:
            thread.join(30)


@pytest.fixture
def servers(mariadb_servers):
    mariadb_servers.fresh()
    return mariadb_servers


@pytest.fixture
def writer(servers):
    with writing(servers) as made:
        yield made


def caller(servers: Cluster | Simulation) -> Switchover:
    """What any process makes of the connections: nothing is kept from an earlier one."""
    return Switchover({f"db{number}": servers.driver(number) for number in (1, 2, 3)}, "db1", "db2")


def run(servers: Cluster | Simulation, seen: dict, steps=STEPS, **more) -> None:
    for step in steps:
        switch = caller(servers)
        if not step.done(switch, seen):
            step.do(switch, seen, Call("op:1", **more))
            assert step.done(switch, seen), step.name


def back(servers: Cluster | Simulation, seen: dict, steps=STEPS, **more) -> None:
    for step in reversed(steps):
        step.undo(caller(servers), seen, Call("op:1", **more))


def look(servers: Cluster | Simulation) -> dict:
    return json.loads(json.dumps(caller(servers).look()))


def stand(servers: Cluster, seen: dict, primary: int) -> None:
    """Exactly one server takes writes, the others follow it."""
    assert servers.writable() == [primary]
    followed = {number: (servers.channel(number) or {}).get("Master_Port") for number in servers.ports}
    assert followed == {number: None if number == primary else servers.ports[primary] for number in servers.ports}
    assert (seen["old"], seen["new"]) == ("db1", "db2")


def nothing_lost(servers: Cluster, writer: Writer) -> None:
    """Every acknowledged write is there once on every server, and no other one."""
    writer.over.set()
    until(lambda: len(writer.acknowledged) == len(writer.scheduled))
    until(servers.settled)
    for number in servers.ports:
        assert servers.numbers(number) == [0, *sorted(writer.acknowledged)]


def dies_at(effect: int):
    """A claim that is lost immediately before the given effect."""
    count = iter(range(1, effect + 1))
    return lambda: next(count, effect) < effect


def test_a_planned_switchover_loses_nothing(servers, writer):
    seen = look(servers)
    assert [each for each in caller(servers).conditions() if not each.holds] == []
    run(servers, seen)
    stand(servers, seen, 2)
    writer.more()
    nothing_lost(servers, writer)
    print(f"\nwrite block {writer.block * 1000:.0f} ms, {len(writer.acknowledged)} writes, none lost")


@pytest.mark.parametrize("count", range(1, len(STEPS)))
def test_a_second_caller_finishes_what_a_crashed_one_began(servers, writer, count):
    seen = look(servers)
    run(servers, seen, STEPS[:count])
    assert len(servers.writable()) <= 1
    run(servers, seen)
    stand(servers, seen, 2)
    nothing_lost(servers, writer)


@pytest.mark.parametrize("count", range(1, len(STEPS) + 1))
def test_every_step_can_be_taken_back(servers, writer, count):
    seen = look(servers)
    run(servers, seen, STEPS[:count])
    if count >= 3:
        writer.more()  # the new primary has writes that the old one must get
    back(servers, seen, STEPS[:count])
    stand(servers, seen, 1)
    nothing_lost(servers, writer)
    assert servers.writable() == [1]


@pytest.mark.parametrize("effect", [2, 5, 9])
def test_a_caller_may_die_before_any_effect(servers, writer, effect):
    """There and back, each cut off by the loss of the claim, then finished by somebody else. All of the effects are
    tried on the simulated cluster below."""
    seen = look(servers)
    for way, end in ((run, 2), (back, 1)):
        with suppress(StaleFence):
            way(servers, seen, alive=dies_at(effect))
        assert len(servers.writable()) <= 1
        way(servers, seen)
        stand(servers, seen, end)
    nothing_lost(servers, writer)


def test_a_simulated_caller_dies_before_every_single_effect():
    effect, died = 0, True
    while died:
        effect, died = effect + 1, False
        cluster = Simulation()
        seen, number = look(cluster), 0
        for way, end in ((run, 2), (back, 1)):
            for alive in (dies_at(effect), None):
                try:
                    way(cluster, seen, alive=alive)
                except StaleFence:
                    died = True
                writable = [one for one in cluster.servers.values() if not one.read_only]
                assert len(writable) <= 1
                for one in writable:  # a write is acknowledged whenever somebody takes it
                    number += 1
                    one.write(number)
                    cluster.flow()
            assert [one.number for one in writable] == [end]
        assert [sorted(one.databases["app"]) for one in cluster.servers.values()] == [list(range(number + 1))] * 3
    assert effect > 12


def test_what_stands_against_a_switchover_is_said_all_at_once(servers):
    """A replica that writes, one that stands still, and a connection that does not know everybody."""
    servers.sql(2, "SET GLOBAL read_only=0", "INSERT INTO app.writes (number) VALUES (99)")
    servers.sql(3, "STOP SLAVE SQL_THREAD")
    members = {f"db{number}": servers.driver(number) for number in servers.ports}
    members["db1"] = servers.driver(1, peers=[servers.at(2)])
    failing = [each.text for each in Switchover(members, "db1", "db2").conditions() if not each.holds]
    assert failing == [
        "Every member knows the others as peers.",
        "No other member takes writes.",
        "The other replicas follow it closely, too.",
        "The new primary has no transaction of its own.",
    ]
    with pytest.raises(PermanentError, match="both take writes"):
        STEPS[0].do(caller(servers), look(servers), Call("op:1"))


def test_writes_are_not_given_back_while_the_new_primary_cannot_be_asked():
    here = Simulation()
    seen = look(here)
    run(here, seen, STEPS[:3])
    here.servers.pop(3302)
    with pytest.raises(TransientError, match="does not answer"):
        back(here, seen, STEPS[:1])
    assert here.server(1).read_only is True


def test_a_candidate_that_does_not_catch_up_is_given_up(servers, monkeypatch):
    monkeypatch.setattr(switchover, "CATCH_UP_SECONDS", 0.1)
    seen = look(servers)
    servers.sql(2, "STOP SLAVE SQL_THREAD")
    servers.sql(1, "INSERT INTO app.writes (number) VALUES (1)")
    with pytest.raises(PermanentError, match="lacks 0-1-2"):
        run(servers, seen)
    assert servers.writable() == []
    back(servers, seen, STEPS[:2])
    assert servers.writable() == [1]


def test_an_old_primary_with_a_write_of_its_own_is_not_rejoined(servers):
    seen = look(servers)
    run(servers, seen, STEPS[:3])
    servers.sql(1, "INSERT INTO app.writes (number) VALUES (99)")  # by root, past read-only
    with pytest.raises(PermanentError, match="0-1-2"):
        run(servers, seen)
    assert servers.writable() == [2]


def test_semi_sync_moves_along_and_back(servers):
    for number in (2, 3):
        servers.sql(number, "SET GLOBAL rpl_semi_sync_slave_enabled=1", "STOP SLAVE", "START SLAVE")
    servers.sql(1, "SET GLOBAL rpl_semi_sync_master_enabled=1")
    until(lambda: servers.driver(1).observe().facts["semi_sync"]["acknowledging_replicas"] == 2)
    seen = look(servers)
    run(servers, seen)
    until(lambda: servers.driver(2).observe().facts["semi_sync"]["acknowledging_replicas"] == 2)
    sides = [servers.driver(number).observe().facts["semi_sync"] for number in servers.ports]
    assert [side["primary_side"] for side in sides] == [False, True, False]
    assert [side["synchronous"] for side in sides] == [True, True, True]
    back(servers, seen)
    assert look(servers) == seen


def test_two_different_members_are_needed(servers):
    for old, new in (("db1", "db1"), ("db1", "db9"), ("db9", "db1")):
        with pytest.raises(PermanentError, match="two different members"):
            Switchover({"db1": servers.driver(1), "db2": servers.driver(2)}, old, new)
