"""Workers killed between the intake and the delivery, brokers lost: every page leaves, and soon."""

from __future__ import annotations

import email
import random
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from email.message import Message
from pathlib import Path
from typing import Any

import pytest

from incidents import actions
from incidents.models import Escalation, Incident, Notification
from portal import clock
from tests import world
from tests.incidents.conftest import Estate, alert, payload
from tests.operations import test_sigkill as harness
from tests.operations.test_sigkill import broker

__all__ = ["broker"]
pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180), pytest.mark.long]
PATIENCE = 60
# The promise is two seconds; a machine that runs other tests beside this one gets some more.
PROMISE, MARGIN = 2.0, 5.0


class Pager(harness.Worker):
    """A real worker with beat that escalates and sends; its mails are files."""

    package = "tests.incidents"
    processes = 2

    def mails(self) -> list[Message]:
        """What has left, oldest first."""
        found = []
        for path in sorted((self.folder / "mail").glob("*")):
            found += [email.message_from_string(text) for text in path.read_text().split("-" * 79 + "\n") if text]
        return found

    def until(self, condition: Callable[[], Any]) -> Any:
        """The first true value of ``condition``; what the worker said when there is none in time."""
        deadline = time.monotonic() + PATIENCE
        while not (value := condition()):
            if time.monotonic() > deadline:
                rows = list(Notification.objects.values("state", "attempts", "lease_until", "error"))
                raise AssertionError(f"{rows}\n{(self.folder / 'worker.log').read_text()[-3000:]}")
            time.sleep(0.02)
        return value


@pytest.fixture
def estate(transactional_db) -> Estate:
    """Committed, because other processes are to see it."""
    return Estate()


@pytest.fixture
def pager(broker, tmp_path: Path) -> Iterator[Pager]:
    folder = tmp_path / "worker"
    (folder / "mail").mkdir(parents=True)
    it = Pager(broker, folder)
    yield it
    it.kill()
    harness._drop_other_sessions()


def fire(post: Any, name: str) -> None:
    """A signal for a component of its own; the answer is 200, whatever runs behind it."""
    component = world.component(f"production/us-central/{name}", service="api")
    one = alert(labels={"component": component.slug}, fingerprint=name)
    assert post(payload(one)).status_code == 200


def unsent() -> bool:
    return Notification.objects.exclude(state="sent").exists()


def references(mails: list[Message]) -> set[str]:
    return {str(one["Subject"]).split()[1] for one in mails}


def test_the_page_leaves_within_two_seconds(estate, pager, post, capsys):
    pager.start()
    fire(post, "warm")
    pager.until(pager.mails)
    took = []
    for number in range(5):
        before, began = len(pager.mails()), time.monotonic()
        fire(post, f"timed-{number}")
        pager.until(lambda before=before: len(pager.mails()) > before)
        took.append(time.monotonic() - began)
    with capsys.disabled():
        print(f"\nfrom the signal to the page: {', '.join(f'{each:.2f}' for each in took)} s")
    assert sorted(took)[len(took) // 2] < PROMISE
    assert max(took) < MARGIN


def test_a_page_whose_nudge_was_lost_leaves_with_the_next_tick(estate, pager, post, broker, monkeypatch):
    pager.start()
    fire(post, "warm")
    pager.until(pager.mails)
    monkeypatch.setattr("portal.dispatch._send", lambda *args: None)
    began = time.monotonic()
    fire(post, "unheard")
    pager.until(lambda: len(pager.mails()) > 1)
    assert time.monotonic() - began < MARGIN


@pytest.mark.parametrize(("moment", "copies"), [("before", 1), ("after", 2)])
def test_a_worker_killed_while_it_sends_sends_again(estate, pager, post, moment, copies):
    """Killed before the mail server has the page: it goes once. Killed after: again, and its code shows the repeat."""
    (pager.folder / "die").write_text(moment)
    pager.start()
    fire(post, "killed")
    assert pager.until(pager.process.poll) is not None
    assert len(pager.mails()) == copies - 1
    assert unsent()
    pager.start()
    pager.until(lambda: not unsent())
    assert len(pager.mails()) == copies
    assert len({one["Message-ID"] for one in pager.mails()}) == 1
    assert Notification.objects.get().attempts == 2


def test_workers_killed_at_random_and_a_forgetful_broker_lose_no_page(estate, pager, post, broker):
    dice = random.Random(7)
    for turn in range(3):
        pager.start()
        for number in range(3):
            fire(post, f"random-{turn}-{number}")
        time.sleep(1 + 2 * dice.random())
        pager.kill()
        fire(post, f"alone-{turn}")
    broker.stop()
    for path in broker.folder.rglob("*"):
        if path.is_file():
            path.unlink()
    fire(post, "no-broker")
    broker.start()
    pager.start()
    pager.until(lambda: not unsent())
    assert Incident.objects.count() == 13
    assert references(pager.mails()) == set(Incident.objects.values_list("reference", flat=True))


def test_a_timer_that_ran_out_while_nobody_lived_calls_the_next_person(estate, pager, post, broker):
    fire(post, "silent")
    broker.stop()
    Escalation.objects.update(next_step_at=clock.now() - timedelta(minutes=30))
    broker.start()
    pager.start()
    pager.until(lambda: Notification.objects.filter(state="sent").count() == 2)
    assert {one["To"] for one in pager.mails()} == {"first@example.org", "second@example.org"}


def test_what_was_answered_before_the_worker_came_is_not_sent(estate, pager, post):
    fire(post, "answered")
    actions.acknowledge(Incident.objects.get(), by=estate.second)
    fire(post, "open")
    pager.start()
    pager.until(pager.mails)
    assert references(pager.mails()) == {Incident.objects.get(acknowledged_at=None).reference}
