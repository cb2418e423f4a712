"""AMQP 0-9-1: exact counts, and messages that are taken and given one by one (rabbitmq.com/docs/confirms)."""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import amqp
from amqp.exceptions import (
    AccessRefused,
    AMQPError,
    ChannelError,
    ConnectionError,
    ConsumerCancelled,
    MessageNacked,
    NotFound,
    PreconditionFailed,
)

from drivers.errors import PermanentError, TransientError
from drivers.secret import Secret

CONNECT_SECONDS = 2.0
READ_SECONDS = 10.0
NO_ROUTE = 312
_REFUSED = (AccessRefused, NotFound, PreconditionFailed)
_BROKEN = (AMQPError, ConsumerCancelled, OSError)


@dataclass(frozen=True, slots=True)
class Gate:
    """Where AMQP is spoken, and as whom."""

    host: str
    port: int
    user: str
    password: Secret
    vhost: str
    tls: bool
    ca: Path | None


def connection(gate: Gate) -> Any:
    """A connection that is not yet opened; every publication on it is confirmed by the broker."""
    verified = {"server_hostname": gate.host, "cert_reqs": ssl.CERT_REQUIRED, "ca_certs": gate.ca and str(gate.ca)}
    return amqp.Connection(
        host=f"{gate.host}:{gate.port}",
        userid=gate.user,
        password=gate.password.reveal(),
        virtual_host=gate.vhost,
        ssl=verified if gate.tls else False,
        connect_timeout=CONNECT_SECONDS,
        read_timeout=READ_SECONDS,
        write_timeout=READ_SECONDS,
        confirm_publish=True,
        client_properties={"product": "EDYE Infrastructure Portal"},
    )


@contextmanager
def opened(link: Any, where: str) -> Iterator[Any]:
    """The connection, open, and closed at the end, whose failures are ours."""
    try:
        link.connect()
        yield link
    except _REFUSED as error:
        raise PermanentError(f"{where} refuses: {error}") from None
    except _BROKEN as error:
        raise TransientError(f"{where} does not answer: {error or type(error).__name__}") from None
    finally:
        with suppress(*_BROKEN):
            link.close()
        with suppress(*_BROKEN, AttributeError):
            link.collect()


class Mover:
    """Takes messages from one queue and gives them to another, so that each is always in one of the two.

    A message is acknowledged only after the broker has confirmed the copy. Whoever dies in between leaves the original
    in its queue: a duplicate, never a loss. Taking and giving have a channel each, because a returned message is
    followed by a confirmation of its own, which would be taken for that of the next one.
    """

    def __init__(self, link: Any, source: str) -> None:
        self.link = link
        self.source = source
        self.taking = link.channel()
        self.taking.auto_decode = False
        self.giving = link.channel()

    def take(self) -> Any:
        """The next message, which stays in the queue until `forget`; None when no other is ready."""
        return self.taking.basic_get(self.source, no_ack=False)

    def give(self, message: Any, target: str) -> bool:
        """Put a copy into the queue `target`, confirmed; False when there is no such queue.

        `TransientError` when the queue takes no more (a length limit that rejects).
        """
        try:
            self.giving.basic_publish(message, exchange="", routing_key=target, mandatory=True)
        except MessageNacked:
            raise TransientError(f"the queue {target} takes no more messages now") from None
        except (ChannelError, ConnectionError) as error:
            if getattr(error, "reply_code", 0) != NO_ROUTE:
                raise
            self.giving.close()
            self.giving = self.link.channel()
            return False
        return True

    def forget(self, message: Any) -> None:
        """Acknowledge the original, whose copy is safe."""
        self.taking.basic_ack(message.delivery_info["delivery_tag"])
