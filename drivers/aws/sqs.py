"""One SQS queue. Source: the Amazon SQS API reference (SetQueueAttributes, PurgeQueue, StartMessageMoveTask)."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, cast

from msgspec import Meta

from drivers import names
from drivers.acts import Act, Call, Condition, Facts, Nothing, Parameters, Report, Risk
from drivers.aws.session import AwsDriver
from drivers.base import Observation
from drivers.errors import InvalidInput, PermanentError

if TYPE_CHECKING:
    from mypy_boto3_sqs import SQSClient

PURGED = "edye:purged"


class Attributes(Parameters):
    """What to set; what is left out stays."""

    VisibilityTimeout: Annotated[Annotated[int, Meta(ge=0, le=43200)] | None, Meta(title="Visibility timeout (s)")] = (
        None
    )
    MessageRetentionPeriod: Annotated[Annotated[int, Meta(ge=60, le=1209600)] | None, Meta(title="Retention (s)")] = (
        None
    )
    ReceiveMessageWaitTimeSeconds: Annotated[
        Annotated[int, Meta(ge=0, le=20)] | None, Meta(title="Long polling (s)")
    ] = None
    DelaySeconds: Annotated[Annotated[int, Meta(ge=0, le=900)] | None, Meta(title="Delivery delay (s)")] = None

    def given(self) -> dict[str, str]:
        """Those that are set, the way SQS takes them."""
        listed = {name: getattr(self, name) for name in self.__struct_fields__}
        return {name: str(value) for name, value in listed.items() if value is not None}


class SetAttributes(Act["SqsQueue", Attributes]):
    """Change how the queue behaves."""

    name = "set-attributes"
    title = "Set attributes of the queue"
    summary = (
        "The queue's times are changed; all consumers see it within a minute. A shorter retention deletes messages "
        "that are older than it, also those that wait now, and within 15 minutes."
    )
    risk = Risk.HIGH
    Parameters = Attributes
    undo_title = "Set the former values again"

    def check(self, params: Attributes) -> None:
        if not params.given():
            raise InvalidInput("name at least one attribute")

    def before(self, driver: SqsQueue, params: Attributes) -> Report:
        now = driver.attributes()
        return {name: now[name] for name in params.given()}

    def sends(self, driver: SqsQueue, params: Attributes, before: Facts) -> list[str]:
        words = ",".join(f"{name}={value}" for name, value in params.given().items())
        return [f"aws sqs set-queue-attributes --queue-url {driver.url} --attributes {words}"]

    def done(self, driver: SqsQueue, params: Attributes, before: Facts) -> bool:
        return driver.shows(params.given())

    def do(self, driver: SqsQueue, params: Attributes, before: Facts, call: Call) -> Report:
        return driver.put(params.given(), call)

    def undo(self, driver: SqsQueue, params: Attributes, before: Facts, call: Call) -> Report:
        return driver.put(dict(before), call)


class Purge(Act["SqsQueue", Nothing]):
    """Delete all messages.

    A busy queue is never seen empty and SQS keeps no trace of a purge, so a tag is set after the call. A worker that
    dies between the two purges once more.
    """

    name = "purge"
    title = "Delete all messages of the queue"
    summary = (
        "Every message that was sent before is deleted within a minute, also those that consumers hold just now. What "
        f"is sent afterwards stays. The tag {PURGED} is set as proof; if the worker dies just between the two, the "
        "queue is purged once more."
    )
    risk = Risk.HIGH
    why_no_undo = "The messages are gone for good."

    def before(self, driver: SqsQueue, params: Nothing) -> Report:
        return {"messages": driver.messages(), "purged": driver.purged()}

    def sends(self, driver: SqsQueue, params: Nothing, before: Facts) -> list[str]:
        return [
            f"aws sqs purge-queue --queue-url {driver.url}",
            f"aws sqs tag-queue --queue-url {driver.url} --tags {PURGED}=<this step>",
        ]

    def done(self, driver: SqsQueue, params: Nothing, before: Facts) -> bool:
        return driver.purged() != str(before["purged"])

    def do(self, driver: SqsQueue, params: Nothing, before: Facts, call: Call) -> Report:
        if driver.purged() == call.token:
            return {"purged": False}
        with driver.asking():
            call.check()
            driver.api.purge_queue(QueueUrl=driver.url)
            call.check()
            driver.api.tag_queue(QueueUrl=driver.url, Tags={PURGED: call.token})
        return {"purged": True}


class Redrive(Act["SqsQueue", Nothing]):
    """Bring the messages of the dead-letter queue back."""

    name = "redrive"
    title = "Bring dead letters back into the queue"
    summary = (
        "All messages of the queue's dead-letter queue are moved back into it and are delivered again. Consumers get "
        "them on top of their usual load; a message that fails again returns to the dead-letter queue."
    )
    risk = Risk.MEDIUM
    why_no_undo = "Consumers take the messages as soon as they are back."
    timeout_seconds = 600

    def conditions(self, driver: SqsQueue, params: Nothing) -> list[Condition]:
        arn = driver.dead_letters()
        return [Condition("The queue has a dead-letter queue", bool(arn), arn or "none")]

    def before(self, driver: SqsQueue, params: Nothing) -> Report:
        return {"started": max((one["started"] for one in driver.moves()), default=0)}

    def sends(self, driver: SqsQueue, params: Nothing, before: Facts) -> list[str]:
        return [
            f"aws sqs start-message-move-task --source-arn {driver.dead_letters()} "
            f"--destination-arn {driver.attributes()['QueueArn']}"
        ]

    def done(self, driver: SqsQueue, params: Nothing, before: Facts) -> bool:
        return self._newest(driver, before).get("status") == "COMPLETED"

    def do(self, driver: SqsQueue, params: Nothing, before: Facts, call: Call) -> Report:
        if not self._newest(driver, before):
            with driver.asking():
                call.check()
                driver.api.start_message_move_task(
                    SourceArn=driver.dead_letters(), DestinationArn=driver.attributes()["QueueArn"]
                )
        driver.wait("the messages are moved", lambda: self._moved(driver, before, call), call)
        return {"moved": self._newest(driver, before)["moved"]}

    def _moved(self, driver: SqsQueue, before: Facts, call: Call) -> bool:
        move = self._newest(driver, before)
        call.progress(move.get("moved", 0), max(move.get("of", 0), 1))
        if move.get("status") in ("FAILED", "CANCELLED"):
            raise PermanentError(f"the move ended as {move['status']}: {move['reason'] or 'no reason was given'}")
        return move.get("status") == "COMPLETED"

    @staticmethod
    def _newest(driver: SqsQueue, before: Facts) -> Report:
        """The last move that began after looking; SQS lets only one run at a time."""
        fresh = [one for one in driver.moves() if one["started"] > before["started"]]
        return max(fresh, key=lambda one: int(one["started"]), default={})


class SqsQueue(AwsDriver):
    """Facts: those of `AwsDriver`, and `queue_url`."""

    kind: ClassVar[str] = "aws-sqs"
    service: ClassVar[str] = "SQS"
    required: ClassVar[tuple[str, ...]] = ("region", "queue_url")
    acts: ClassVar[tuple[Any, ...]] = (SetAttributes(), Purge(), Redrive())

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.url = names.url(self.facts["queue_url"])

    @property
    def api(self) -> SQSClient:
        return cast("SQSClient", self.client("sqs"))

    def attributes(self) -> dict[str, str]:
        """All attributes, as text; `Missing` when there is no such queue."""
        with self.asking():
            found = self.api.get_queue_attributes(QueueUrl=self.url, AttributeNames=["All"])["Attributes"]
            return {str(name): value for name, value in found.items()}

    def messages(self) -> int:
        """About how many messages wait."""
        return int(self.attributes().get("ApproximateNumberOfMessages", 0))

    def shows(self, wanted: dict[str, str]) -> bool:
        """Whether the queue has these attributes."""
        now = self.attributes()
        return all(now.get(name) == value for name, value in wanted.items())

    def put(self, wanted: dict[str, str], call: Call) -> Report:
        """Set what differs."""
        now = self.attributes()
        differing = {name: value for name, value in wanted.items() if now.get(name) != value}
        if differing:
            with self.asking():
                call.check()
                self.api.set_queue_attributes(QueueUrl=self.url, Attributes=cast(Any, differing))
        return {"set": differing}

    def purged(self) -> str:
        """The token of the last purge that was asked for here."""
        with self.asking():
            return str(self.api.list_queue_tags(QueueUrl=self.url).get("Tags", {}).get(PURGED, ""))

    def dead_letters(self) -> str:
        """The ARN of the dead-letter queue; empty when it has none."""
        policy = self.attributes().get("RedrivePolicy", "")
        return str(json.loads(policy).get("deadLetterTargetArn", "")) if policy else ""

    def moves(self) -> list[Report]:
        """The last ten moves out of the dead-letter queue: `started` (ms), `status`, `moved`, `of`, `reason`."""
        arn = self.dead_letters()
        if not arn:
            return []
        with self.asking():
            found = self.api.list_message_move_tasks(SourceArn=arn, MaxResults=10).get("Results", [])
            return [
                {
                    "started": int(one["StartedTimestamp"]),
                    "status": one["Status"],
                    "moved": int(one.get("ApproximateNumberOfMessagesMoved", 0)),
                    "of": int(one.get("ApproximateNumberOfMessagesToMove", 0)),
                    "reason": str(one.get("FailureReason", "")),
                }
                for one in found
            ]

    def look(self) -> Observation:
        """Attributes and about how many messages there are. Healthy: it is there."""
        now = self.attributes()
        facts: dict[str, Any] = {
            "arn": now.get("QueueArn", ""),
            "fifo": now.get("FifoQueue") == "true",
            "dead_letter_queue": self.dead_letters(),
            **{name: int(now.get(name, 0)) for name in Attributes.__struct_fields__},
        }
        readings = {
            "messages": float(now.get("ApproximateNumberOfMessages", 0)),
            "messages_in_flight": float(now.get("ApproximateNumberOfMessagesNotVisible", 0)),
            "messages_delayed": float(now.get("ApproximateNumberOfMessagesDelayed", 0)),
        }
        return self.seen(True, facts, readings)
