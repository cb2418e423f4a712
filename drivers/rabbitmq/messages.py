"""Acts on the messages of a queue: throw them away, or bring dead letters back to where they died."""

from __future__ import annotations

import time
import uuid
from collections import Counter
from typing import TYPE_CHECKING, Annotated, Any

from msgspec import Meta

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.rabbitmq import marks
from drivers.rabbitmq.link import Mover
from drivers.rabbitmq.names import QueueName, checked, exists

if TYPE_CHECKING:
    from drivers.rabbitmq.driver import RabbitMQ

MOVE_SECONDS = 480.0
BATCH = 50
MOST_HELD = 10_000
"""Messages that stay are held until the end, so that the next one can be taken; more would burden the broker."""
STAMP = "x-edye-moved"


class Purge(Parameters):
    queue: QueueName
    confirm: Annotated[str, Meta(title="The queue again", min_length=1, max_length=200)]


class PurgeQueue(Act["RabbitMQ", Purge]):
    """queue.purge. What consumers hold unacknowledged is not thrown away."""

    name = "purge-queue"
    title = "Throw away the messages of {queue}"
    summary = (
        "Every message that waits in the queue is lost, and with it the work that it stood for. Messages that "
        "consumers are working on stay. Publishers and consumers go on undisturbed."
    )
    risk = Risk.HIGH
    Parameters = Purge
    why_no_undo = "The messages are gone; only their senders could send them again."

    def check(self, params: Purge) -> None:
        checked(params.queue)
        if params.confirm != params.queue:
            raise InvalidInput("the queue was not repeated as it is")

    def conditions(self, driver: RabbitMQ, params: Purge) -> list[Condition]:
        return [exists(driver.queue(params.queue), params.queue)]

    def before(self, driver: RabbitMQ, params: Purge) -> Report:
        ready, consumers = driver.counts(params.queue)
        return {"mark": uuid.uuid4().hex, "messages": ready, "consumers": consumers}

    def sends(self, driver: RabbitMQ, params: Purge, before: Facts) -> list[str]:
        return [f"queue.purge {params.queue} ({before['messages']} messages now)"]

    def done(self, driver: RabbitMQ, params: Purge, before: Facts) -> bool:
        return marks.result(driver, self.name, params.queue, before) is not None or driver.counts(params.queue)[0] == 0

    def do(self, driver: RabbitMQ, params: Purge, before: Facts, call: Call) -> Report:
        if (reached := marks.result(driver, self.name, params.queue, before)) is not None:
            return reached
        call.check()
        marks.begin(driver, self.name, params.queue, before)
        with driver.opened() as connection:
            call.check()
            purged = int(connection.channel().queue_purge(params.queue))
        marks.end(driver, self.name, params.queue, before, {"purged": purged})
        call.log(f"{purged} messages of {params.queue} were thrown away")
        return {"purged": purged}


class Move(Parameters):
    queue: QueueName
    to: Annotated[
        str,
        Meta(title="To", description="Empty: each message goes back to the queue in which it died.", max_length=200),
    ] = ""
    limit: Annotated[int, Meta(title="At most", ge=1, le=50_000)] = 10_000


class MoveMessages(Act["RabbitMQ", Move]):
    """Bring messages back, one by one, each confirmed in its new queue before it leaves the old one.

    Each copy is stamped with the run's number. A message that comes back stamped has failed again: it is left where it
    is, so that a poisonous message does not go round for ever, also when another worker goes on with the same run.
    """

    name = "move-messages"
    title = "Move the messages of {queue} back"
    summary = (
        "Takes messages from a dead-letter queue and puts each into the queue in which it died, or into the one named. "
        "None is lost whenever this is interrupted, but one message may then be delivered twice: consumers must bear "
        "that. What fails again returns to the dead-letter queue and is left there."
    )
    risk = Risk.MEDIUM
    Parameters = Move
    why_no_undo = "Consumers take moved messages at once; what was worked on cannot be brought back."
    timeout_seconds = 600

    def check(self, params: Move) -> None:
        checked(params.queue)
        checked(params.to)
        if params.to == params.queue:
            raise InvalidInput("the messages are in that queue already")

    def conditions(self, driver: RabbitMQ, params: Move) -> list[Condition]:
        found = driver.queue(params.queue)
        alarmed = [node["name"] for node in driver.management().get("nodes") if _alarm(node)]
        told = [exists(found, params.queue)]
        if params.to:
            told.append(exists(driver.queue(params.to), params.to))
        told.append(Condition("No node blocks publishers by an alarm", not alarmed, ", ".join(alarmed)))
        limit = _delivery_limit(found or {})
        text = "The queue has no delivery limit, at which a message that is only looked at would be dropped"
        told.append(Condition(text, limit is None, f"the limit is {limit}"))
        return told

    def before(self, driver: RabbitMQ, params: Move) -> Report:
        return {"mark": uuid.uuid4().hex, "messages": driver.counts(params.queue)[0]}

    def sends(self, driver: RabbitMQ, params: Move, before: Facts) -> list[str]:
        target = params.to or "the queue in which it died"
        return [
            f"basic.get {params.queue} (at most {params.limit} messages; {before['messages']} now)",
            f"basic.publish each to {target}, mandatory, and wait for the confirmation",
            "basic.ack",
        ]

    def done(self, driver: RabbitMQ, params: Move, before: Facts) -> bool:
        return marks.result(driver, self.name, params.queue, before) is not None or driver.counts(params.queue)[0] == 0

    def do(self, driver: RabbitMQ, params: Move, before: Facts, call: Call) -> Report:
        if (reached := marks.result(driver, self.name, params.queue, before)) is not None:
            return reached
        call.check()
        marks.begin(driver, self.name, params.queue, before)
        with driver.opened() as connection:
            reached = _move(Mover(connection, params.queue), params, before, call)
        marks.end(driver, self.name, params.queue, before, reached)
        call.log(f"{reached['moved']} messages of {params.queue} were moved")
        if reached["left"]:
            call.log("left where they are: " + "; ".join(f"{n} {why}" for why, n in sorted(reached["left"].items())))
        return reached


def _move(mover: Mover, params: Move, before: Facts, call: Call) -> dict[str, Any]:
    """Move until no message is ready or the limit is reached; those that stay are held until the connection ends."""
    moved, left, limit = 0, Counter[str](), time.monotonic() + MOVE_SECONDS
    whole = min(params.limit, int(before["messages"]))
    while moved < params.limit and left.total() < MOST_HELD and (message := mover.take()) is not None:
        if time.monotonic() > limit:
            raise TransientError(f"{moved} messages are moved and some are left: it goes on in a moment")
        target, why = params.to or _origin(message), ""
        if _headers(message).get(STAMP) == before["mark"]:
            why = "failed again"
        elif not target:
            why = "without a queue of origin"
        elif target == params.queue:
            why = "died in this very queue"
        else:
            call.check()
            if mover.give(_readied(message, before["mark"]), target):
                mover.forget(message)
                moved += 1
            else:
                why = f"for {target}, which does not exist"
        if why:
            left[why] += 1
        if moved % BATCH == 0:
            call.progress(moved, max(whole, moved))
    call.progress(moved, max(whole, moved))
    if left and not moved and left["failed again"] < left.total():
        raise PermanentError("no message could be moved: " + "; ".join(f"{n} {why}" for why, n in sorted(left.items())))
    return {"moved": moved, "left": dict(left)}


def _headers(message: Any) -> dict[str, Any]:
    return dict(message.properties.get("application_headers") or {})


def _origin(message: Any) -> str:
    """The queue in which a message died last (the newest entry of `x-death` stands first); empty when unknown."""
    deaths = _headers(message).get("x-death") or [{}]
    return str(deaths[0].get("queue", ""))


def _readied(message: Any, mark: str) -> Any:
    """The message as it was, stamped, without what the broker would act upon or refuse.

    `user_id` must be the publisher's own; `CC` and `BCC` would send copies to further queues.
    """
    headers = {name: value for name, value in _headers(message).items() if name not in ("CC", "BCC")}
    message.properties["application_headers"] = {**headers, STAMP: mark}
    message.properties.pop("user_id", None)
    return message


def _alarm(node: Facts) -> bool:
    return bool(node.get("mem_alarm") or node.get("disk_free_alarm"))


def _delivery_limit(queue: Facts) -> Any:
    arguments, policy = queue.get("arguments") or {}, queue.get("effective_policy_definition") or {}
    return arguments.get("x-delivery-limit", policy.get("delivery-limit"))
