"""A planned switchover of three real servers under a writer that never stops; crashes and ways back at every point."""

from __future__ import annotations

import json
import queue
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass, field

import pymysql
import pytest

from drivers.acts import Call
from drivers.base import StaleFence
from drivers.mariadb.switchover import STEPS, Switchover
from tests.drivers.daemons import until
from tests.drivers.mariadb_cluster import Cluster, connect

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


def caller(servers: Cluster) -> Switchover:
    """What any process makes of the connections: nothing is kept from an earlier one."""
    return Switchover({f"db{number}": servers.driver(number) for number in servers.ports}, "db1", "db2")


def run(servers: Cluster, seen: dict, steps=STEPS, **more) -> None:
    for step in steps:
        switch = caller(servers)
        if not step.done(switch, seen):
            step.do(switch, seen, Call("op:1", **more))
            assert step.done(switch, seen), step.name


def back(servers: Cluster, seen: dict, steps=STEPS, **more) -> None:
    for step in reversed(steps):
        step.undo(caller(servers), seen, Call("op:1", **more))


def look(servers: Cluster) -> dict:
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
    until(servers.settled)
    nothing_lost(servers, writer)


def test_a_caller_may_die_before_any_effect(servers, writer):
    """There and back, killed before the first effect, then before the second, and so on."""
    seen, effect, alive = look(servers), 1, True
    while alive:
        for way, end in ((run, 2), (back, 1)):
            alive = False
            try:
                way(servers, seen, alive=dies_at(effect))
            except StaleFence:
                alive = True
            assert len(servers.writable()) <= 1
            way(servers, seen)
            stand(servers, seen, end)
        effect += 1
    assert effect > 5
    nothing_lost(servers, writer)
    print(f"\n{2 * effect} switchovers, {len(writer.acknowledged)} writes, none lost")
