"""RabbitMQ in memory: the driver's own code over a management API and an AMQP connection without a network."""

from __future__ import annotations

import json
import re
from collections import defaultdict
from types import SimpleNamespace
from typing import Any
from urllib.parse import unquote

import amqp
import httpx
from amqp.exceptions import ChannelError, NotFound

from drivers.acts import Act
from drivers.base import Driver
from drivers.rabbitmq import RabbitMQ
from drivers.secret import Secret, SecretStore
from tests.drivers.contract import World

EXAMPLES: dict[str, dict[str, Any]] = {
    "purge-queue": {"queue": "orders", "confirm": "orders"},
    "move-messages": {"queue": "orders.dead", "limit": 100},
    "pause-consumers": {"queue": "orders"},
    "resume-consumers": {"queue": "orders"},
    "set-policy": {"name": "limits", "pattern": "^orders$", "max_length": 5000, "dead_letter_exchange": "dead"},
    "delete-policy": {"name": "old"},
}
FREE_TEXT = frozenset({"set-policy.pattern", "set-policy.dead_letter_exchange", "move-messages.to"})
"""Empty is right for two of them, and a pattern may be anything; their own tests say what is refused."""
RIGHTS = {"configure": ".*", "write": ".*", "read": ".*"}
OLD_POLICY = {"pattern": "^old$", "definition": {"max-length": 9}, "priority": 1, "apply-to": "queues"}


class Known(SecretStore):
    def resolve(self, reference: object) -> Secret:
        return Secret(str(reference))


class Broker:
    """Queues with messages, consumers by account, permissions, policies and notes."""

    def __init__(self) -> None:
        self.queues: dict[str, list[amqp.Message]] = {"orders": [], "orders.dead": []}
        self.consumers: dict[str, list[str]] = defaultdict(list, {"orders": ["shop"]})
        self.permissions = {user: dict(RIGHTS) for user in ("portal", "shop")}
        self.policies: dict[str, Any] = {"old": OLD_POLICY}
        self.notes: dict[str, Any] = {}

    def dead(self, body: str) -> amqp.Message:
        """A message that died in `orders`."""
        death = {"queue": "orders", "exchange": "", "reason": "rejected", "count": 1, "routing-keys": ["orders"]}
        return amqp.Message(body, application_headers={"x-death": [death]})

    def answer(self, request: httpx.Request) -> httpx.Response:
        raw = request.url.raw_path.decode().partition("?")[0]
        parts = [unquote(part) for part in raw.removeprefix("/api/").split("/")]
        content = json.loads(request.content) if request.content else None
        found = self._asked(request.method, parts, content)
        if found is None:
            return httpx.Response(404, json={"error": "Object Not Found", "reason": "Not Found"})
        return httpx.Response(204) if found is True else httpx.Response(200, json=found)

    def _asked(self, method: str, parts: list[str], content: Any) -> Any:
        match [method, *parts]:
            case ["GET", "overview"]:
                return {"rabbitmq_version": "3.10.8", "cluster_name": "simulated", "object_totals": {"connections": 2}}
            case ["GET", "nodes"]:
                memory = {"mem_used": 1, "mem_limit": 2, "disk_free": 3}
                return [{"name": "rabbit@simulated", "running": True, "partitions": [], **memory}]
            case ["GET", "queues", _]:
                items = [self._queue(name) for name in self.queues]
                return {"items": items, "total_count": len(items)}
            case ["GET", "queues", _, name]:
                return self._queue(name) if name in self.queues else None
            case ["GET", "exchanges", _, name, *_]:
                return [] if name == "dead" else None
            case ["GET", "vhosts", _, "permissions"]:
                return [{"user": user, **rights} for user, rights in self.permissions.items()]
            case ["DELETE", "connections", name]:
                self._cut(name)
                return True
        kept = {"permissions": self.permissions, "policies": self.policies, "global-parameters": self.notes}[parts[0]]
        return self._kept(method, kept, parts[-1], content)

    @staticmethod
    def _kept(method: str, kept: dict[str, Any], name: str, content: Any) -> Any:
        if method == "PUT":
            kept[name] = content
        elif method == "DELETE":
            kept.pop(name, None)
        return kept.get(name) if method == "GET" else True

    def _queue(self, name: str) -> dict[str, Any]:
        details = [
            {"channel_details": {"user": user, "connection_name": f"{user} -> {name}"}} for user in self.consumers[name]
        ]
        counts = {"messages": len(self.queues[name]), "consumers": len(details)}
        return {"name": name, "state": "running", "arguments": {}, "consumer_details": details, **counts}

    def _cut(self, connection: str) -> None:
        user, _, queue = connection.partition(" -> ")
        self.consumers[queue] = [one for one in self.consumers[queue] if one != user]
        self.come_back()

    def come_back(self) -> None:
        """The application tries again at once, and is let in when its permission matches."""
        allowed = re.search(self.permissions["shop"]["read"].replace("\\z", "\\Z"), "orders")
        if allowed and not self.consumers["orders"]:
            self.consumers["orders"] = ["shop"]


class Link:
    """An AMQP connection to the broker; what its channels hold unacknowledged goes back when it ends."""

    def __init__(self, broker: Broker | None) -> None:
        self.broker = broker
        self.held: dict[int, tuple[str, amqp.Message]] = {}
        self.taken = 0

    def connect(self) -> None:
        if self.broker is None:
            raise ConnectionRefusedError("Connection refused")

    def channel(self) -> Link:
        return self

    def close(self) -> None:
        for queue, message in reversed(self.held.values()):
            self.queue(queue).insert(0, message)
        self.held = {}

    collect = close

    def queue(self, name: str) -> list[amqp.Message]:
        assert self.broker is not None
        if name not in self.broker.queues:
            raise NotFound(f"NOT_FOUND - no queue '{name}'")
        return self.broker.queues[name]

    def queue_declare(self, name: str, *, passive: bool) -> Any:
        assert passive
        assert self.broker is not None
        messages = self.queue(name)
        self.broker.come_back()
        return SimpleNamespace(message_count=len(messages), consumer_count=len(self.broker.consumers[name]))

    def queue_purge(self, name: str) -> int:
        count = len(self.queue(name))
        self.queue(name).clear()
        return count

    def basic_get(self, name: str, *, no_ack: bool) -> amqp.Message | None:
        assert not no_ack
        if not self.queue(name):
            return None
        kept = self.queue(name).pop(0)
        self.taken += 1
        self.held[self.taken] = name, kept
        message = amqp.Message(kept.body, **dict(kept.properties))
        message.delivery_info = {"delivery_tag": self.taken}
        return message

    def basic_publish(self, message: amqp.Message, *, exchange: str, routing_key: str, mandatory: bool) -> None:
        assert (exchange, mandatory) == ("", True)
        assert self.broker is not None
        if routing_key not in self.broker.queues:
            raise ChannelError("NO_ROUTE", reply_code=312)
        self.queue(routing_key).append(amqp.Message(message.body, **dict(message.properties)))

    def basic_ack(self, tag: int) -> None:
        del self.held[tag]


class RabbitWorld(World):
    driver_class = RabbitMQ
    examples = EXAMPLES
    free_text = FREE_TEXT

    def __init__(self) -> None:
        self.broker = Broker()

    def driver(self) -> Driver:
        return self._over(self.broker)

    def unreachable(self) -> Driver:
        return self._over(None)

    @staticmethod
    def _over(broker: Broker | None) -> Driver:
        def refuse(_: httpx.Request) -> httpx.Response:
            raise httpx.ConnectError("Connection refused")

        transport = httpx.MockTransport(broker.answer if broker else refuse)
        kind = type("Simulated", (RabbitMQ,), {"transport": transport, "connection": lambda _: Link(broker)})
        facts = {"driver": "rabbitmq", "url": "http://10.0.0.7:15672", "user": "portal", "password": "env:MQ_PASSWORD"}
        made: Driver = kind(facts, Known())
        return made

    def picture(self) -> Any:
        self.broker.come_back()
        queues = {name: [message.body for message in held] for name, held in self.broker.queues.items()}
        consumers = {name: held for name, held in self.broker.consumers.items() if held}
        return json.loads(json.dumps([queues, consumers, self.broker.permissions, self.broker.policies]))

    def prepare(self, act: Act[Any, Any]) -> None:
        self.broker.queues["orders"] = [amqp.Message("fresh")]
        self.broker.queues["orders.dead"] = [self.broker.dead("one"), self.broker.dead("two")]
        self.broker.policies = {"old": OLD_POLICY}
        guarded = {**RIGHTS, "read": "^(?!orders\\z)(?s:.*?)(?:.*)"}
        self.broker.permissions["shop"] = guarded if act.name == "resume-consumers" else dict(RIGHTS)
        self.broker.consumers["orders"] = []
        self.broker.come_back()


SIMULATED = {"rabbitmq": RabbitWorld}
