"""Nudges are hints: nobody waits for the broker, and one that is away is left alone for a moment."""

from __future__ import annotations

import os
import threading

import pytest

from portal import dispatch


class Broker:
    """Records what it is given and in which thread; raises ``error`` while there is one."""

    def __init__(self) -> None:
        self.given: list[tuple[str, list[str], str]] = []
        self.threads: set[str] = set()
        self.error: Exception | None = None

    def send_task(self, task, *, args, queue, retry):
        assert retry is False
        self.given.append((task, args, queue))
        self.threads.add(threading.current_thread().name)
        if self.error:
            raise self.error


@pytest.fixture
def broker(monkeypatch) -> Broker:
    it = Broker()
    until_sent()  # what earlier tests left behind must not find a broker that is away while this one looks
    monkeypatch.setattr(dispatch.app, "send_task", it.send_task)
    monkeypatch.setattr(dispatch, "_away_until", 0.0)
    return it


def until_sent() -> None:
    """The one thread works in order, so what is submitted now runs after all before it."""
    dispatch._sender(os.getpid()).submit(lambda: None).result(30)


def test_a_nudge_is_handed_over_by_a_thread_of_its_own(broker):
    dispatch._send("operations.advance", (7,), "us-east")
    until_sent()
    assert broker.given == [("operations.advance", ["7"], "us-east")]
    assert [name.rpartition("_")[0] for name in broker.threads] == ["nudge"]


@pytest.mark.parametrize("error", [OSError("refused"), RuntimeError("Acquire on closed pool")])
def test_a_broker_that_is_away_is_left_alone_for_a_moment(broker, monkeypatch, error):
    broker.error = error
    for number in range(3):
        dispatch._send("operations.advance", (number,), "default")
    until_sent()
    assert broker.given == [("operations.advance", ["0"], "default")]
    broker.error = None
    monkeypatch.setattr(dispatch, "_away_until", dispatch._away_until - dispatch.AWAY_SECONDS)
    dispatch._send("operations.advance", (3,), "default")
    until_sent()
    assert broker.given[1:] == [("operations.advance", ["3"], "default")]
