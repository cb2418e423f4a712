"""A password by reference goes to its target and nowhere else: no table, no log, no message, no page, no answer."""

from __future__ import annotations

import json
import logging
import os
import re
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from asgiref.sync import async_to_sync
from django.db import connection
from django.urls import reverse
from kombu import pools

from inventory.models import Component
from operations import plan
from operations.models import Operation
from operations.plan import Act, Plan, StepContext, StepDraft
from portal import dispatch
from portal.celery import app
from portal.embedded import ports
from portal.embedded.valkey import Valkey
from tests import world
from tests.inventory.screens import browser
from tests.operations.worlds import drive
from tests.ports import somewhere

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(120)]
KEY = "production/us-central/cache"


class Leaky(Plan):
    """A plan whose act is as careless as can be: it says the password in every place where it can say something."""

    kind, title, permission = "tests.leaky", "Leak on {subject}", "inventory.operate"
    observes = True

    def __init__(self, canary: str) -> None:
        self.canary = canary
        self.acts = (Act("leak", "Leak", self.do, self.undo, lambda ctx: False),)

    def fits(self, subject: Any) -> bool:
        return True

    def target(self, subject: Any) -> str:
        return str(subject.slug)

    def draft(self, subject: Any, params: dict[str, Any]) -> list[StepDraft]:
        return [StepDraft("leak", "Leak")]

    def do(self, ctx: StepContext) -> dict[str, Any]:
        ctx.log(f"connecting to redis://portal:{self.canary}@10.0.0.7:6379")
        ctx.log(f"AUTH with password={self.canary}")
        return {"password": self.canary, "said": [f"Authorization: Bearer {self.canary}"]}

    def undo(self, ctx: StepContext) -> dict[str, Any]:
        """Says it once more."""
        raise RuntimeError(f"redis://:{self.canary}@10.0.0.7 refused token={self.canary}")


def valkey(folder: Path, password: str) -> Iterator[Valkey]:
    folder.mkdir()
    server = Valkey(folder, password, folder / "log")
    ports.start_on_free(server, somewhere())
    yield server
    server.stop()


@pytest.fixture
def canary(monkeypatch: pytest.MonkeyPatch) -> str:
    """The password that only the target may ever see."""
    value = f"canary{secrets.token_hex(12)}"
    monkeypatch.setenv("CANARY_PASSWORD", value)
    return value


@pytest.fixture
def target(canary: str, tmp_path: Path, settings: Any) -> Iterator[Valkey]:
    """A real Valkey that asks for the password, and a connections file that names where it is kept."""
    for server in valkey(tmp_path / "target", canary):
        facts = {"driver": "redis", "host": "127.0.0.1", "port": server.port, "password": "env:CANARY_PASSWORD"}
        settings.CONNECTIONS_FILE = tmp_path / "connections.json"
        settings.CONNECTIONS_FILE.write_text(json.dumps({"version": 1, "connections": {KEY: facts}}))
        yield server


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Valkey]:
    """A broker that keeps every message, because nobody takes any."""
    before = app.conf.broker_url
    for server in valkey(tmp_path / "broker", secrets.token_hex(8)):
        _send_to(server.url)
        yield server
        _send_to(before)


def _send_to(url: str) -> None:
    handed_over()  # what earlier tests sent to a broker that is not there
    pools.reset()
    app._pool = app.amqp._producer_pool = None
    app.conf.broker_url = app.conf.broker_write_url = app.conf.broker_read_url = url
    dispatch._away_until = 0.0


def handed_over() -> None:
    """Return when every nudge so far was handed to the broker, or dropped."""
    dispatch._sender(os.getpid()).submit(int).result(60)


def tables_with(text: str) -> list[str]:
    """The tables that have a row with ``text`` in any column."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT quote_ident(tablename) FROM pg_tables WHERE schemaname = 'public' ORDER BY 1")
        names = [name for (name,) in cursor.fetchall()]
        found = []
        for name in names:
            cursor.execute(f"SELECT EXISTS (SELECT 1 FROM {name} AS it WHERE it::text LIKE %s)", [f"%{text}%"])
            if cursor.fetchone()[0]:
                found.append(name)
    return found


def messages(broker: Valkey) -> bytes:
    """Everything that the broker holds, as it is stored and as text."""
    client = redis.Redis.from_url(broker.url)
    stored = b""
    for key in client.keys("*"):
        stored += key + (client.dump(key) or b"")
        kind = client.type(key)
        if kind == b"list":
            stored += b"".join(client.lrange(key, 0, -1))
        elif kind == b"hash":
            stored += b"".join(field + value for field, value in client.hgetall(key).items())
    return stored


def pages(operation: Operation, component: Component, account: Any, api: Any) -> dict[str, str]:
    """Every page and answer that shows something of the operation, by address."""
    client = browser(account)
    names = ("detail", "log", "record")
    addresses = [reverse(f"operation-{name}", args=[operation.number]) for name in names]
    addresses += [reverse(name) for name in ("operation-list", "plan-list", "event-list", "component-list")]
    addresses += [reverse("plan-detail", args=[operation.kind]), component.get_absolute_url()]
    addresses += [reverse("component-plans", args=[component.slug]), component.service.get_absolute_url()]
    addresses += [reverse("component-operate", args=[component.slug, operation.kind])]
    addresses += [f"{reverse('operation-list')}?export=csv"]
    found = {address: client.get(address).getvalue().decode() for address in addresses}
    stream = reverse("operation-stream", args=[operation.number])
    found[stream] = async_to_sync(_whole)(client.get(stream))
    base = f"/api/v1/operations/{operation.pk}/"
    rest = (base, f"{base}log/", "/api/v1/operations/", f"/api/v1/plans/{operation.kind}/", "/api/v1/events/")
    for address in (*rest, f"/api/v1/components/{component.pk}/", f"/api/v1/components/{component.pk}/plans/"):
        found[address] = api.get(address).content.decode()
    return found


async def _whole(answer: Any) -> str:
    text = ""
    async for part in answer.streaming_content:
        text += part.decode()
        if '"state": "stuck"' in text:
            break  # it may go on one day, so its stream does not end
    return text


@pytest.fixture
def heard(caplog: pytest.LogCaptureFixture, capfd: pytest.CaptureFixture[str]) -> Any:
    """Everything that was logged or printed so far, at every level."""
    caplog.set_level(logging.DEBUG)

    def read() -> str:
        traces = [record.exc_text or "" for record in caplog.records]
        return caplog.text + "".join(capfd.readouterr()) + "".join(traces) + str([vars(r) for r in caplog.records])

    return read


def test_the_password_of_a_driver_reaches_its_target_and_nothing_else(
    canary, target, broker, heard, as_account, monkeypatch
):
    component = world.component(KEY, kind="cache", service="api")
    owner = world.account("owner", "operations_owner")
    world.account("owner", "auditor")
    leaky = Leaky(canary)
    monkeypatch.setitem(plan.registry, (leaky.kind, 1), leaky)
    client = as_account(owner)
    ask = f"/api/v1/components/{component.pk}/operate/"
    setting = {"plan": "redis.set-parameter", "params": {"name": "slowlog-max-len", "value": "77"}, "reason": "control"}

    done = _asked(client, ask, setting)
    assert drive(done).state == "done"
    assert redis.Redis(port=target.port, password=canary).config_get("slowlog-max-len") == {"slowlog-max-len": "77"}
    stuck = _asked(client, ask, {"plan": leaky.kind, "reason": "control"})
    assert drive(stuck).state == "stuck"
    refused = client.post(
        ask, setting | {"params": {"name": "slowlog-max-len", "value": f"password={canary}"}}, format="json"
    )
    assert refused.status_code == 422
    target.stop()
    away = _away(client, ask, setting)

    handed_over()
    assert str(done.pk).encode() in messages(broker)
    assert canary.encode() not in messages(broker)
    assert "operations_operation" in tables_with("control")
    assert tables_with(canary) == []
    shown = {address: text for it in (done, stuck) for address, text in pages(it, component, owner, client).items()}
    assert [address for address, text in shown.items() if not text] == []
    assert "[hidden]" in shown[reverse("operation-record", args=[stuck.number])]
    assert [address for address, text in shown.items() if canary in text] == []
    assert canary not in away
    said = heard()
    assert "act_raised" in said
    assert [said[at.start() - 200 : at.end() + 80] for at in re.finditer(canary, said)] == []


def _asked(client: Any, address: str, given: dict[str, Any]) -> Operation:
    answer = client.post(address, given, format="json")
    assert answer.status_code == 202, answer.content
    return Operation.objects.get(pk=answer.json()["id"])


def _away(client: Any, address: str, given: dict[str, Any]) -> str:
    """What is answered when the target is gone."""
    answer = client.post(address, given | {"params": {"name": "slowlog-max-len", "value": "78"}}, format="json")
    assert answer.status_code == 409
    return answer.content.decode()
