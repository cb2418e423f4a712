"""Targets that refuse, hang or answer by halves: the operation waits, goes on, or takes back, as declared."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from drivers.redis import Redis, client
from drivers.redis.acts import SetParameterAct
from drivers.secret import SecretStore
from inventory.plans import DriverPlan
from operations import actions, engine
from operations.models import Operation
from operations.plan import registry
from portal import clock, events
from tests import world
from tests.drivers.daemons import free_port, running, until
from tests.drivers.relay import Relay, relayed
from tests.operations.worlds import drive

pytestmark = pytest.mark.django_db
PARAMS = {"name": "maxmemory-policy", "value": "allkeys-lru"}


@pytest.fixture(scope="module")
def server(valkey_argv, ground) -> Iterator[Redis]:
    """A real Valkey, asked past the relay."""
    port = free_port()
    with running(valkey_argv(port), ground / "trouble.log"):
        made = Redis({"host": "127.0.0.1", "port": port}, SecretStore())
        until(made.info)
        yield made


@pytest.fixture
def relay(server: Redis) -> Iterator[Relay]:
    with server.connected() as link:
        link.config_set("maxmemory-policy", "noeviction")
    with relayed(server.facts["port"]) as between:
        yield between


@pytest.fixture
def asked(relay: Relay, monkeypatch: pytest.MonkeyPatch) -> Operation:
    """An operation that is planned while all is well, and queued."""
    monkeypatch.setattr(client, "READ_SECONDS", 0.3)
    plan = DriverPlan(
        Redis, SetParameterAct(), lambda key: Redis({"host": "127.0.0.1", "port": relay.port}, SecretStore())
    )
    monkeypatch.setitem(registry, (plan.kind, plan.version), plan)
    subject = world.component("staging/us-central/cache")
    return actions.request(plan.kind, subject, by=events.SYSTEM, params=PARAMS)


def policy(server: Redis) -> Any:
    return server.info()["maxmemory_policy"]


@pytest.mark.parametrize("mode", ["refuse", "hang", "cut"])
def test_trouble_that_passes_is_waited_for(asked: Operation, relay: Relay, server: Redis, mode: str):
    relay.mode = mode
    assert engine.advance(asked.pk) is True
    asked.refresh_from_db()
    assert (asked.state, policy(server)) == ("running", "noeviction")
    assert asked.waiting_for.startswith("Try 2 of 5 after: ")
    assert asked.not_before > clock.now()
    relay.mode = "pass"
    assert drive(asked).state == "done"
    assert policy(server) == "allkeys-lru"


@pytest.mark.parametrize("mode", ["refuse", "hang", "cut"])
def test_trouble_that_stays_ends_with_nothing_changed(asked: Operation, relay: Relay, server: Redis, mode: str):
    relay.mode = mode
    ended = drive(asked)
    assert (ended.state, ended.steps.get().attempts, policy(server)) == ("undone", 5, "noeviction")
    assert "Step 1" in ended.failure


def test_an_answer_that_is_cut_after_the_effect_is_found_to_be_done(asked: Operation, relay: Relay, server: Redis):
    """The command arrived, its answer did not: the next try sees that it is so already and does not send it again."""
    with server.connected() as link:
        link.config_resetstat()
        link.config_set("maxmemory-policy", "allkeys-lru")  # as if the lost try had done it
    assert drive(asked).state == "done"
    with server.connected() as link:
        sent = link.info("commandstats")["cmdstat_config|set"]["calls"]
    assert sent == 1
