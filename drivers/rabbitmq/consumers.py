"""Refusing the consumers of a queue for a while, and letting them back in; see `guards` for why it is done so."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.errors import TransientError
from drivers.rabbitmq.names import QueueName, checked, exists

if TYPE_CHECKING:
    from drivers.rabbitmq.driver import RabbitMQ
    from drivers.rabbitmq.guards import Guard

POLL_SECONDS = 0.5
WAIT_SECONDS = 60.0
"""A new consumer appears in the management API with its statistics, after 5 s by default."""
_REASON = "the queue is paused by the infrastructure portal"


class Paused(Parameters):
    queue: QueueName


class PauseConsumers(Act["RabbitMQ", Paused]):
    """Leave the queue out of what each account may read, then end the connections that consume from it."""

    name = "pause-consumers"
    title = "Refuse the consumers of {queue}"
    summary = (
        "Nobody but the portal may read from the queue any more, and the connections that do are cut. Messages go on "
        "arriving and wait; those being worked on return to the queue and will be delivered again. The consumers get "
        "the error ACCESS_REFUSED until they are let back in, and what else they do on the same connections is "
        "interrupted once."
    )
    risk = Risk.HIGH
    Parameters = Paused
    undo_title = "Let the consumers back in"
    timeout_seconds = 120

    def check(self, params: Paused) -> None:
        checked(params.queue)

    def conditions(self, driver: RabbitMQ, params: Paused) -> list[Condition]:
        found = driver.queue(params.queue)
        known, users = driver.guards(), _users(found or {})
        strange = sorted(users - set(known))
        text = "The broker itself keeps the accounts of all consumers (those of LDAP or OAuth cannot be refused here)"
        return [
            exists(found, params.queue),
            Condition("No consumer uses the portal's own account", driver.user not in users, f"{driver.user} does"),
            Condition(text, not strange, ", ".join(strange)),
        ]

    def before(self, driver: RabbitMQ, params: Paused) -> Report:
        ready, consumers = driver.counts(params.queue)
        refused = [user for user, guard in driver.guards().items() if params.queue in guard.queues]
        return {
            "messages": ready,
            "consumers": consumers,
            "readers": list(_readers(driver, params.queue)),
            "refused_already": sorted(refused),
        }

    def sends(self, driver: RabbitMQ, params: Paused, before: Facts) -> list[str]:
        rights = [f"set_permissions {user}: read all it may now, but not {params.queue}" for user in before["readers"]]
        return [*rights, f"close the connections of {before['consumers']} consumers"]

    def done(self, driver: RabbitMQ, params: Paused, before: Facts) -> bool:
        return not _readers(driver, params.queue) and driver.counts(params.queue)[1] == 0

    def do(self, driver: RabbitMQ, params: Paused, before: Facts, call: Call) -> Report:
        pause(driver, params.queue, call)
        return {"refused": sorted(user for user, guard in driver.guards().items() if params.queue in guard.queues)}

    def undo(self, driver: RabbitMQ, params: Paused, before: Facts, call: Call) -> Report:
        return {"admitted": resume(driver, params.queue, call, but=before["refused_already"])}


class ResumeConsumers(Act["RabbitMQ", Paused]):
    """Give each account its former permission back; the consumers come back by themselves."""

    name = "resume-consumers"
    title = "Let the consumers of {queue} back in"
    summary = (
        "Every account may again read what it might before the queue was paused. Consumers that keep trying come back "
        "by themselves and find all messages that have waited, which may be many at once."
    )
    risk = Risk.MEDIUM
    Parameters = Paused
    undo_title = "Refuse them again"
    timeout_seconds = 120

    def check(self, params: Paused) -> None:
        checked(params.queue)

    def conditions(self, driver: RabbitMQ, params: Paused) -> list[Condition]:
        return [exists(driver.queue(params.queue), params.queue)]

    def before(self, driver: RabbitMQ, params: Paused) -> Report:
        refused = [user for user, guard in driver.guards().items() if params.queue in guard.queues]
        return {"refused": sorted(refused), "messages": driver.counts(params.queue)[0]}

    def sends(self, driver: RabbitMQ, params: Paused, before: Facts) -> list[str]:
        return [f"set_permissions {user}: read {params.queue} again" for user in before["refused"]] or ["nothing"]

    def done(self, driver: RabbitMQ, params: Paused, before: Facts) -> bool:
        return not any(params.queue in guard.queues for guard in driver.guards().values())

    def do(self, driver: RabbitMQ, params: Paused, before: Facts, call: Call) -> Report:
        return {"admitted": resume(driver, params.queue, call)}

    def undo(self, driver: RabbitMQ, params: Paused, before: Facts, call: Call) -> Report:
        if before["refused"]:
            pause(driver, params.queue, call, only=before["refused"])
        return {"refused": before["refused"]}


def pause(driver: RabbitMQ, queue: str, call: Call, only: list[str] | None = None) -> None:
    """Refuse the readers of `queue` (all, or `only` these), and cut connections until nobody consumes."""
    for user, guard in _readers(driver, queue).items():
        if only is None or user in only:
            call.check()
            driver.set_guard(user, guard.without(queue))
            call.log(f"{user} may not read from {queue}")
    limit = time.monotonic() + WAIT_SECONDS
    while driver.counts(queue)[1]:
        for name in sorted(_connections(driver.queue(queue) or {})):
            call.check()
            driver.management().delete("connections", name, reason=_REASON)
            call.log(f"the connection {name} was closed")
        if time.monotonic() > limit:
            raise TransientError(f"{queue} still has consumers that the management API does not name")
        time.sleep(POLL_SECONDS)


def resume(driver: RabbitMQ, queue: str, call: Call, but: list[str] | None = None) -> list[str]:
    """Let every account read from `queue` again, apart from `but`; the accounts that were let in."""
    admitted = []
    for user, guard in sorted(driver.guards().items()):
        if queue in guard.queues and user not in (but or ()):
            call.check()
            driver.set_guard(user, guard.again(queue))
            call.log(f"{user} may read from {queue} again")
            admitted.append(user)
    return admitted


def _readers(driver: RabbitMQ, queue: str) -> dict[str, Guard]:
    """The accounts that may read from the queue now, apart from the portal's own."""
    return {
        user: guard
        for user, guard in sorted(driver.guards().items())
        if user != driver.user and guard.reads(queue) and queue not in guard.queues
    }


def _users(queue: Facts) -> set[str]:
    return {one["channel_details"]["user"] for one in _consumers(queue)}


def _connections(queue: Facts) -> set[str]:
    return {one["channel_details"]["connection_name"] for one in _consumers(queue)}


def _consumers(queue: Facts) -> list[Facts]:
    """Consumers whose channel is known; a broker that has just begun to count tells none."""
    return [one for one in queue.get("consumer_details", []) if one.get("channel_details")]
