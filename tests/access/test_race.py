"""Many at once: exactly one effect and one event."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connection

from access import actions, reconcile
from access.models import AccessRequest, Grant
from identity.models import Account, RoleBinding
from portal import clock, events
from portal.errors import Refused
from portal.models import Event
from tests import world
from tests.access.conftest import REASON

MANY = 50


def all_at_once(work, count=MANY):
    """Run ``work(number)`` in ``count`` threads that start together; each gives its result or its refusal."""
    gate = threading.Barrier(8)

    def one(number):
        try:
            if number < 8:
                gate.wait(20)
            with events.acting(second_factor_at=clock.now()):
                return work(number)
        except Refused as refusal:
            return refusal
        finally:
            connection.close()

    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(one, range(count)))


@pytest.fixture
def asked(transactional_db):
    here = world.component("production/us-central/api")
    dev = world.account("dev", "developer", ("production", "*"))
    world.account("owner", "operations_owner")
    world.account("security", "security_officer")
    return actions.request_access(here.scope, by=dev, minutes=60, reason=REASON)


def test_fifty_approvals_give_one_grant_and_one_event(asked):
    approvers = list(Account.objects.filter(username__in=["owner", "security"]))

    def approve(number):
        return actions.approve(AccessRequest.objects.get(pk=asked.pk), by=approvers[number % 2])

    results = all_at_once(approve)
    assert sum(isinstance(result, AccessRequest) for result in results) == 1
    assert sum(isinstance(result, Refused) for result in results) == MANY - 1
    grant = Grant.objects.get()
    assert RoleBinding.objects.filter(grant=grant.pk).count() == 1
    assert Event.objects.filter(verb="access.approve").count() == 1
    assert events.verify("access") == []


def test_approving_and_cancelling_at_once_leaves_one_of_them(asked):
    owner, dev = Account.objects.get(username="owner"), asked.requester

    def decide(number):
        mine = AccessRequest.objects.get(pk=asked.pk)
        return actions.cancel(mine, by=dev) if number % 2 else actions.approve(mine, by=owner)

    results = all_at_once(decide, 8)
    assert sum(not isinstance(result, Refused) for result in results) == 1
    state = AccessRequest.objects.get().state
    assert Grant.objects.count() == (1 if state == "approved" else 0)


def test_sweeping_and_revoking_at_once_end_the_grant_once(asked):
    owner = Account.objects.get(username="owner")
    with events.acting(second_factor_at=clock.now()):
        grant = actions.approve(asked, by=owner).grant

    def end(number):
        if number % 2:
            return reconcile.expire()
        return actions.revoke(Grant.objects.get(pk=grant.pk), by=owner, reason="Over anyway")

    with clock.travel(timedelta(minutes=61)):
        all_at_once(end, 8)
    assert Event.objects.filter(verb__in=["access.expire", "access.revoke"]).count() == 1
    assert RoleBinding.objects.filter(grant=grant.pk).count() == 0


def test_asking_many_times_at_once_makes_one_request(asked):
    dev, scope = asked.requester, asked.scope
    actions.cancel(asked, by=dev)
    results = all_at_once(lambda _: actions.request_access(scope, by=dev, minutes=60, reason=REASON), 16)
    assert sum(isinstance(result, AccessRequest) for result in results) == 1
