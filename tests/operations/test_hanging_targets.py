"""Five of a hundred targets accept connections and never answer: the other ninety-five do not wait for them."""

from __future__ import annotations

from pathlib import Path

import pytest

from drivers.redis import Redis
from drivers.secret import SecretStore
from operations import actions
from operations.models import Operation
from operations.plan import registry
from portal import events
from portal.embedded.valkey import Valkey
from portal.management.commands.up import QUEUES
from tests import world
from tests.drivers.daemons import VALKEY, running, until
from tests.drivers.relay import relayed
from tests.operations.test_sigkill import PATIENCE, Worker, broker  # noqa: F401 (a fixture)
from tests.operations.visiting import KIND, Visiting
from tests.ports import free

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(180), pytest.mark.long]
ALL, HANGING = 100, 5


class Threads(Worker):
    """As `up` starts the worker of a data center."""

    application = "visiting_worker"
    pool = "threads"
    processes = QUEUES["us-central"]


def ended() -> list[str]:
    return sorted(Operation.objects.filter(state="done").values_list("subject_label", flat=True))


def test_hanging_targets_delay_no_others(broker: Valkey, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # noqa: F811
    monkeypatch.setitem(registry, (KIND, 1), Visiting())
    port, folder = free(), tmp_path / "worker"
    folder.mkdir()
    target = [str(VALKEY), "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(tmp_path)]
    server = Redis({"host": "127.0.0.1", "port": port}, SecretStore())
    worker = Threads(broker, folder)
    with running(target, tmp_path / "valkey.log"), relayed(port) as relay:
        until(server.info)
        relay.mode = "hang"
        asked = []
        for number in range(ALL):
            subject = world.component(f"production/us-central/thing-{number}", service="api")
            where = {"port": relay.port if number < HANGING else port}
            asked.append(actions.request(KIND, subject, by=events.SYSTEM, params=where))
        worker.start()
        try:
            until(lambda: len(ended()) == ALL - HANGING, PATIENCE)
            hanging = Operation.objects.filter(pk__in=[one.pk for one in asked[:HANGING]])
            assert {one.state for one in hanging} <= {"queued", "running"}, "they were given up before the others ended"
            relay.mode = "pass"
            until(lambda: len(ended()) == ALL, PATIENCE)
        finally:
            worker.kill()
        with server.connected() as client:
            assert {client.get(f"{one.pk}:1") for one in asked} == {"1"}, "each target was visited exactly once"
