"""A private RabbitMQ for the tests: its own Erlang port mapper, folders and ports, and helpers past the driver."""

from __future__ import annotations

import os
import shutil
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import quote

import amqp
import httpx
from amqp.exceptions import AMQPError

from drivers.rabbitmq import RabbitMQ
from drivers.secret import SecretStore
from tests.drivers import daemons
from tests.drivers.daemons import free_port, listening, running, until
from tests.need import need

PASSWORD = "broker-password"
_CONFIGURATION = """
listeners.tcp.1 = 127.0.0.1:{amqp}
management.tcp.ip = 127.0.0.1
management.tcp.port = {web}
default_user = portal
default_pass = {password}
log.file = false
log.console = true
collect_statistics_interval = 500
"""


class Broker:
    """What the tests do past the driver. `place` is the virtual host."""

    def __init__(self, web: int, port: int, secret: str, place: str = "/") -> None:
        self.web, self.port, self.secret, self.place = web, port, secret, place
        self.http = httpx.Client(base_url=f"http://127.0.0.1:{web}/api", auth=("portal", PASSWORD), timeout=20)

    def ask(self, method: str, *parts: str, content: Any = None) -> Any:
        answer = self.http.request(method, "/" + "/".join(quote(part, safe="") for part in parts), json=content)
        assert answer.status_code < 300, (parts, answer.status_code, answer.text)
        return answer.json() if answer.content else None

    def account(self, name: str, read: str = ".*", tags: str = "") -> None:
        """An account that may write and configure anything in the virtual host, and read what matches `read`."""
        self.ask("PUT", "users", name, content={"password": PASSWORD, "tags": tags})
        rights = {"configure": ".*", "write": ".*", "read": read}
        self.ask("PUT", "permissions", self.place, name, content=rights)

    def rights(self) -> dict[str, str]:
        return {one["user"]: one["read"] for one in self.ask("GET", "vhosts", self.place, "permissions")}

    def driver(self, **more: Any) -> RabbitMQ:
        facts = {
            "driver": "rabbitmq",
            "url": f"http://127.0.0.1:{self.web}",
            "amqp_port": self.port,
            "user": "portal",
            "password": self.secret,
            "vhost": self.place,
        }
        return RabbitMQ({**facts, **more}, SecretStore())

    @contextmanager
    def channel(self, user: str = "portal") -> Iterator[Any]:
        link = amqp.Connection(
            host=f"127.0.0.1:{self.port}",
            userid=user,
            password=PASSWORD,
            virtual_host=self.place,
            connect_timeout=10,
            read_timeout=20,
            write_timeout=20,
            confirm_publish=True,
        )
        link.connect()
        try:
            yield link.channel()
        finally:
            with suppress(AMQPError, OSError):
                link.close()

    def queue(self, name: str, **arguments: Any) -> None:
        self.ask("PUT", "queues", self.place, name, content={"durable": True, "arguments": arguments})

    def publish(self, queue: str, *bodies: str, **properties: Any) -> None:
        with self.channel() as channel:
            for body in bodies:
                channel.basic_publish(amqp.Message(body, **properties), routing_key=queue, mandatory=True)

    def dead(self, queue: str, dead: str, *bodies: str, **properties: Any) -> None:
        """Let messages die in `queue` (made here) and be found in `dead`."""
        self.queue(dead)
        self.queue(queue, **{"x-dead-letter-exchange": "", "x-dead-letter-routing-key": dead})
        self.publish(queue, *bodies, **properties)
        with self.channel() as channel:
            while message := channel.basic_get(queue):
                channel.basic_reject(message.delivery_info["delivery_tag"], requeue=False)
            until(lambda: channel.queue_declare(dead, passive=True).message_count >= len(bodies))

    def ready(self, queue: str) -> int:
        with self.channel() as channel:
            return channel.queue_declare(queue, passive=True).message_count

    def drained(self, queue: str) -> list[amqp.Message]:
        """All messages, taken out of the queue."""
        with self.channel() as channel:
            return list(iter(lambda: channel.basic_get(queue, no_ack=True), None))


class Application:
    """A consumer that tries again for as long as it lives, with an account of its own."""

    def __init__(self, broker: Broker, queue: str, user: str = "shop", *, works: bool = True) -> None:
        self.broker, self.queue, self.user, self.works = broker, queue, user, works
        self.worked: list[str] = []
        self.refused = 0
        self.over = threading.Event()
        self.thread = threading.Thread(target=self._live, daemon=True)

    def __enter__(self) -> Application:
        self.thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.over.set()
        self.thread.join()

    def _live(self) -> None:
        while not self.over.wait(0.05):
            with suppress(AMQPError, OSError), self.broker.channel(self.user) as channel:
                channel.basic_qos(0, 5, False)
                try:
                    channel.basic_consume(self.queue, callback=lambda message: self._work(channel, message))
                except AMQPError:
                    self.refused += 1
                    continue
                while not self.over.is_set():
                    with suppress(TimeoutError):
                        channel.connection.drain_events(timeout=0.2)

    def _work(self, channel: Any, message: amqp.Message) -> None:
        if self.works:
            channel.basic_ack(message.delivery_info["delivery_tag"])
            self.worked.append(message.body)


@contextmanager
def started(ground: Path) -> Iterator[Broker]:
    """A broker in the foreground, run by an ordinary user, ready for its first command."""
    need(daemons.RABBITMQ, package="rabbitmq-server")
    place = ground / "rabbit"
    place.mkdir()
    web, port, distribution, mapper = (free_port() for _ in range(4))
    (place / "rabbitmq.conf").write_text(_CONFIGURATION.format(amqp=port, web=web, password=PASSWORD))
    (place / "enabled").write_text("[rabbitmq_management].\n")
    (place / "password").write_text(PASSWORD)
    who: dict[str, Any] = {}
    if os.geteuid() == 0:
        who = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        for path in (place, *place.iterdir()):
            shutil.chown(path, "nobody", "nogroup")
    environment = {
        "PATH": "/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "HOME": str(place),
        "ERL_EPMD_PORT": str(mapper),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_NODENAME": f"portal{web}@localhost",
        "RABBITMQ_NODE_PORT": str(port),
        "RABBITMQ_DIST_PORT": str(distribution),
        "RABBITMQ_MNESIA_BASE": str(place / "data"),
        "RABBITMQ_LOG_BASE": str(place / "log"),
        "RABBITMQ_ENABLED_PLUGINS_FILE": str(place / "enabled"),
        "RABBITMQ_CONFIG_FILE": str(place / "rabbitmq"),
        # schedulers that wait for work without spinning, and one of them: the machine has other tests to run
        "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "+sbwt none +sbwtdcpu none +sbwtdio none +S 1:1",
    }
    options: dict[str, Any] = {"env": environment, "cwd": place, **who}
    with ExitStack() as stack:
        # our own port mapper, because the broker would leave one behind
        mapping = [shutil.which("epmd") or "epmd", "-port", str(mapper)]
        stack.enter_context(running(mapping, ground / "epmd.log", **options))
        until(lambda: listening(mapper))
        stack.enter_context(running([daemons.RABBITMQ], ground / "rabbitmq.log", 30, **options))
        broker = Broker(web, port, f"file:{place / 'password'}")
        stack.callback(broker.http.close)
        until(lambda: listening(port) and broker.ask("GET", "overview"), 100)
        yield broker
