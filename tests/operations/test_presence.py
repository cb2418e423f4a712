"""A queue that no worker serves shows: a real worker says that it is there, and is missed when it is killed."""

from __future__ import annotations

import signal
import time
from datetime import timedelta

import pytest

from operations import presence
from operations.models import Operation
from operations.models import Worker as Row
from portal import clock
from tests.operations.test_sigkill import Worker, _drop_other_sessions, broker  # noqa: F401 (a fixture)

ABSENT = presence.ABSENT_AFTER + timedelta(seconds=1)


def missing(after=timedelta(0)) -> list[tuple[str, bool, int]]:
    """Each unserved queue: its name, whether somebody ever served it, and how many wait."""
    with clock.travel(after):
        return [(each.queue, each.since is not None, each.waiting) for each in presence.unserved()]


def until(probe, worker) -> None:
    deadline = time.monotonic() + 60
    while not probe():
        assert time.monotonic() < deadline, (worker.folder / "worker.log").read_text()[-3000:]
        time.sleep(0.1)


@pytest.mark.long
@pytest.mark.timeout(180)
@pytest.mark.django_db(transaction=True)
def test_a_worker_is_present_missed_when_killed_and_gone_at_once_when_stopped(broker, tmp_path):  # noqa: F811
    worker = Worker(broker, tmp_path)
    worker.processes, worker.queues = 1, "us-east,default"
    try:
        worker.start()
        until(lambda: presence.served("us-east"), worker)
        row = Row.objects.get()
        assert (row.queues, presence.served("default"), missing()) == (["default", "us-east"], True, [])
        until(lambda: Row.objects.get().seen_at > row.seen_at, worker)  # it goes on saying so
        worker.kill()
        assert missing() == [], "nobody can know yet"
        assert missing(after=ABSENT) == [("default", True, 0), ("us-east", True, 0)]

        worker.start()
        until(lambda: Row.objects.filter(started_at__gt=row.seen_at).exists(), worker)
        assert worker.process is not None
        worker.process.send_signal(signal.SIGTERM)
        assert worker.process.wait(60) == 0
        assert missing() == [("default", True, 0), ("us-east", True, 0)]
        assert Row.objects.count() == 1
    finally:
        worker.kill()
        _drop_other_sessions()


# -- what is told of what the workers said


pytestmark = pytest.mark.django_db


def test_where_something_waits_and_nobody_ever_served_shows(at):
    Operation.objects.filter(pk=at("queued").pk).update(queue="us-east")
    assert missing() == [("us-east", False, 1)]
    presence.present("celery@one", ["us-east", "default"])
    assert missing() == []
    assert missing(after=ABSENT) == [("default", True, 0), ("us-east", True, 1)]


def test_one_of_two_workers_is_enough():
    presence.present("celery@one", ["default", "us-east"])
    with clock.travel(ABSENT):
        presence.present("celery@two", ["default"])
        assert missing() == [("us-east", True, 0)]
        assert (presence.served("default"), presence.served("us-east")) == (True, False)


def test_what_waits_for_people_or_an_hour_waits_for_no_worker(at):
    for state in ("planned", "awaiting_approval", "paused", "halted", "stuck", "done"):
        at(state)
    Operation.objects.filter(pk=at("queued").pk).update(not_before=clock.now() + timedelta(hours=1))
    assert missing() == []
    assert missing(after=timedelta(hours=2)) == [("default", False, 1)]


def test_a_worker_that_serves_other_queues_now_is_no_longer_expected_at_the_former():
    presence.present("celery@one", ["default", "us-east"])
    presence.present("celery@one", ["default"])
    assert (presence.last_seen("us-east"), missing(after=ABSENT)) == (None, [("default", True, 0)])


def test_who_was_not_seen_for_a_week_is_forgotten():
    presence.present("celery@old", ["us-west"])
    with clock.travel(presence.FORGOTTEN_AFTER + timedelta(seconds=1)):
        presence.present("celery@new", ["default"])
        assert list(Row.objects.values_list("name", flat=True)) == ["celery@new"]
