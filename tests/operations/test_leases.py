"""Leases are renewed while a step runs, for as long as it may take, and end by themselves when nobody renews."""

from __future__ import annotations

import threading
import time
from datetime import timedelta

import pytest
from django.db import Error, connection

from operations import leases
from operations.models import Operation
from portal import clock

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def claim(at, settings, monkeypatch):
    monkeypatch.setattr("portal.dispatch._send", lambda *nobody_listens: None)
    settings.OPERATIONS_LEASE_SECONDS = 0.4
    held = leases.claim(at("queued").pk)
    yield held
    connection.close()


def lease_of(claim) -> timedelta:
    return Operation.objects.get(pk=claim.operation.pk).lease_until - clock.now()


def test_a_lease_lasts_ten_seconds_unless_settings_say_otherwise(settings):
    assert leases.seconds() == 10
    settings.OPERATIONS_LEASE_SECONDS = 3
    assert leases.seconds() == 3


def test_it_is_renewed_during_the_block_and_not_after(claim):
    with leases.renewed(claim, limit=60):
        time.sleep(0.7)
        assert lease_of(claim) > timedelta(0)
    assert [thread for thread in threading.enumerate() if thread.name == "lease"] == []
    time.sleep(0.5)
    assert lease_of(claim) < timedelta(0)
    assert claim.lost.is_set() is False


def test_what_takes_longer_than_it_may_loses_its_claim(claim):
    with leases.renewed(claim, limit=0.15):
        assert claim.lost.wait(2) is True
    time.sleep(0.5)
    assert lease_of(claim) < timedelta(0)


def test_a_claim_taken_over_is_noticed(claim):
    Operation.objects.filter(pk=claim.operation.pk).update(fence=claim.fence + 1)
    with leases.renewed(claim, limit=60):
        assert claim.lost.wait(2) is True


def test_a_database_that_is_away_for_a_moment_loses_nothing(claim, monkeypatch):
    def away(*args, **kwargs):
        raise Error("server closed the connection")

    monkeypatch.setattr("django.db.models.query.QuerySet.update", away)
    assert leases._renew_once(claim) is True


def test_asking_whether_it_holds_leaves_a_whole_lease_for_the_effect(claim):
    time.sleep(0.2)
    assert claim.holds() is True
    assert lease_of(claim) > timedelta(seconds=0.3)


def test_a_lease_that_ended_while_nobody_else_came_goes_on(claim):
    """The only worker was stopped for a while: its step is no failure."""
    Operation.objects.filter(pk=claim.operation.pk).update(lease_until=clock.now() - timedelta(minutes=5))
    assert claim.holds() is True
    assert leases.claim(claim.operation.pk) is None


def test_one_that_was_taken_over_or_let_go_does_not(claim):
    with clock.travel(timedelta(seconds=1)):
        later = leases.claim(claim.operation.pk)
    assert (claim.holds(), later.holds()) == (False, True)
    Operation.objects.filter(pk=claim.operation.pk).update(lease_owner="", lease_until=None)
    assert later.holds() is False
