"""One virtual host of a RabbitMQ broker.

Facts come from the management API, whose counts are up to one statistics interval old (5 s by default); acts count by
AMQP, which is exact.
"""

from __future__ import annotations

import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, ClassVar
from urllib.parse import urlsplit

import httpx

from drivers import names
from drivers.base import Driver, Observation
from drivers.discovery import Listing
from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.rabbitmq import discovery, link, reading
from drivers.rabbitmq.consumers import PauseConsumers, ResumeConsumers
from drivers.rabbitmq.guards import Guard
from drivers.rabbitmq.management import Management
from drivers.rabbitmq.messages import MoveMessages, PurgeQueue
from drivers.rabbitmq.policies import DeletePolicy, SetPolicy


class RabbitMQ(Driver):
    """Facts: `url` of the management API, `user`, `password` (a secret reference), `vhost` (default `/`).

    AMQP is spoken with the same host and account, on `amqp_port` (default 5672, 5671 with TLS), on `amqp_host` where
    that is another. `ca` is the file with a private certificate authority; AMQP uses TLS when the url is https, unless
    `amqp_tls` says otherwise.
    """

    kind: ClassVar[str] = "rabbitmq"
    required: ClassVar[tuple[str, ...]] = ("url", "user", "password")
    acts = (PurgeQueue(), MoveMessages(), PauseConsumers(), ResumeConsumers(), SetPolicy(), DeletePolicy())
    transport: ClassVar[httpx.BaseTransport | None] = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.url = names.url(self.facts["url"])
        self.user = names.name(self.facts["user"], "user")
        self.vhost = str(self.facts.get("vhost", "/"))
        if not 0 < len(self.vhost.encode()) <= 255 or not self.vhost.isprintable():
            raise InvalidInput("vhost must be the name of a virtual host")
        secure = self.url.startswith("https:")
        self.amqp_tls = self.facts.get("amqp_tls", secure)
        if not isinstance(self.amqp_tls, bool):
            raise InvalidInput("amqp_tls must be true or false")
        self.amqp_host = names.host(self.facts.get("amqp_host", urlsplit(self.url).hostname))
        self.amqp_port = names.port(self.facts.get("amqp_port", 5671 if self.amqp_tls else 5672))
        self.ca = names.path(self.facts["ca"]) if "ca" in self.facts else None

    def management(self) -> Management:
        """The management API as the connection's user."""
        password = self.secrets.resolve(self.facts["password"])
        return Management(self.url, self.user, password, self._trust(), self.transport)

    def connection(self) -> Any:
        """An AMQP connection that is not yet open."""
        password = self.secrets.resolve(self.facts["password"])
        return link.connection(
            link.Gate(self.amqp_host, self.amqp_port, self.user, password, self.vhost, self.amqp_tls, self.ca)
        )

    @contextmanager
    def opened(self) -> Iterator[Any]:
        """An open AMQP connection for one act."""
        with link.opened(self.connection(), f"{self.amqp_host}:{self.amqp_port}") as connection:
            yield connection

    def queue(self, name: str) -> dict[str, Any] | None:
        """One queue as the management API tells it; None when there is none."""
        found = self.management().get("queues", self.vhost, name)
        return dict(found) if isinstance(found, dict) else None

    def counts(self, name: str) -> tuple[int, int]:
        """Messages ready and consumers of one queue, exactly; `PermanentError` when there is no such queue."""
        with self.opened() as connection:
            told = connection.channel().queue_declare(name, passive=True)
            return int(told.message_count), int(told.consumer_count)

    def guards(self) -> dict[str, Guard]:
        """The read permission of each account in this virtual host."""
        found = self.management().get("vhosts", self.vhost, "permissions")
        if found is None:
            raise PermanentError(f"there is no virtual host {self.vhost}")
        return {one["user"]: Guard.parse(one["read"]) for one in found}

    def set_guard(self, user: str, guard: Guard) -> None:
        """Replace what `user` may read, leaving what it may configure and write as it is now."""
        management = self.management()
        now = management.get("permissions", self.vhost, user)
        if now is None:
            return  # the account is gone, and with it what it may do
        rights = {"configure": now["configure"], "write": now["write"], "read": guard.expression}
        management.put("permissions", self.vhost, user, content=rights)

    def observe(self) -> Observation:
        """Nodes and alarms, queues with depth, consumers and rates, dead-letter queues, paused queues.

        Healthy means: every node runs, none raises an alarm, and no partition was seen.
        """
        begun = time.monotonic()
        try:
            management = self.management()
            overview = management.get("overview")
            latency = time.monotonic() - begun
            nodes = reading.nodes(management.get("nodes"))
            queues = reading.queues(management, self.vhost)
            paused = reading.paused(self)
        except TransientError as error:
            return self.down(error)
        facts = {
            "cluster": overview.get("cluster_name"),
            "vhost": self.vhost,
            "nodes": nodes,
            "alarms": sorted({f"{node['name']}: {alarm}" for node in nodes for alarm in node["alarms"]}),
            "queues": queues["shown"],
            "queues_left_out": queues["left_out"],
            "paused": paused,
        }
        readings = {**reading.totals(overview, nodes, queues), "latency_seconds": latency}
        well = all(node["running"] and not node["alarms"] and not node["partitions"] for node in nodes)
        return self.seen(well, facts, readings, overview.get("rabbitmq_version"))

    def discover(self) -> list[Listing]:
        """The broker and its queues (see `drivers.rabbitmq.discovery`)."""
        return discovery.discover(self)

    def _trust(self) -> ssl.SSLContext | None:
        if not self.url.startswith("https:"):
            return None
        try:
            return ssl.create_default_context(cafile=str(self.ca) if self.ca else None)
        except OSError as error:
            raise PermanentError(f"the certificate authority {self.ca} cannot be read: {error.strerror}") from None
