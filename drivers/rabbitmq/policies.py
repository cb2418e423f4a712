"""Policies: limits and dead-lettering for all queues whose names match. Source: rabbitmq.com/docs/policies."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated, Any, Literal

from msgspec import Meta

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.errors import InvalidInput

if TYPE_CHECKING:
    from drivers.rabbitmq.driver import RabbitMQ

PolicyName = Annotated[str, Meta(title="Policy", pattern="^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$")]
_FIELDS = ("pattern", "definition", "priority", "apply-to")


class Policy(Parameters):
    name: PolicyName
    pattern: Annotated[
        str, Meta(title="Pattern", description="A regular expression over queue names.", min_length=1, max_length=200)
    ]
    priority: Annotated[int, Meta(title="Priority", ge=0, le=1000)] = 0
    message_ttl_ms: Annotated[int, Meta(title="Message lifetime in ms (0: no limit)", ge=0, le=2_592_000_000)] = 0
    max_length: Annotated[int, Meta(title="Most messages (0: no limit)", ge=0, le=1_000_000_000)] = 0
    overflow: Annotated[
        Literal["drop-head", "reject-publish"], Meta(title="When full", description="What happens beyond the limit.")
    ] = "reject-publish"
    dead_letter_exchange: Annotated[
        str, Meta(title="Dead-letter exchange", pattern="^([A-Za-z0-9][A-Za-z0-9._-]{0,99})?$")
    ] = ""


class SetPolicy(Act["RabbitMQ", Policy]):
    """PUT of one policy for queues."""

    name = "set-policy"
    title = "Set the policy {name} for queues that match {pattern}"
    summary = (
        "Creates or replaces a policy. A limit counts at once for every queue that matches: older messages expire, "
        "or publishers are refused, or the oldest messages are dropped, as the policy says. Of several policies only "
        "the one with the highest priority counts for a queue."
    )
    risk = Risk.HIGH
    Parameters = Policy
    undo_title = "Bring the former policy back, or remove the new one"

    def check(self, params: Policy) -> None:
        if not (params.message_ttl_ms or params.max_length or params.dead_letter_exchange):
            raise InvalidInput("a policy must limit lifetime or length, or name a dead-letter exchange")

    def conditions(self, driver: RabbitMQ, params: Policy) -> list[Condition]:
        found = []
        if params.dead_letter_exchange:
            there = driver.management().get("exchanges", driver.vhost, params.dead_letter_exchange) is not None
            found.append(Condition(f"The exchange {params.dead_letter_exchange} exists", there, "there is none"))
        if params.max_length and params.overflow == "drop-head":
            longer = _longer(driver, params)
            found.append(Condition("No queue would lose messages at once", not longer, ", ".join(longer)))
        return found

    def before(self, driver: RabbitMQ, params: Policy) -> Report:
        return {"policy": current(driver, params.name)}

    def sends(self, driver: RabbitMQ, params: Policy, before: Facts) -> list[str]:
        definition = " ".join(f"{name}={value}" for name, value in _wanted(params)["definition"].items())
        return [f"set_policy {params.name} {params.pattern!r} {definition} priority={params.priority} apply-to=queues"]

    def done(self, driver: RabbitMQ, params: Policy, before: Facts) -> bool:
        return current(driver, params.name) == _wanted(params)

    def do(self, driver: RabbitMQ, params: Policy, before: Facts, call: Call) -> Report:
        if current(driver, params.name) != _wanted(params):
            put(driver, params.name, _wanted(params), call)
        return {"policy": _wanted(params)}

    def undo(self, driver: RabbitMQ, params: Policy, before: Facts, call: Call) -> Report:
        if current(driver, params.name) not in (before["policy"], _wanted(params)):
            call.log(f"the policy {params.name} was changed by somebody else since and is left alone")
        elif current(driver, params.name) != before["policy"]:
            put(driver, params.name, before["policy"], call)
        return {"policy": current(driver, params.name)}


class Named(Parameters):
    name: PolicyName


class DeletePolicy(Act["RabbitMQ", Named]):
    """DELETE of one policy."""

    name = "delete-policy"
    title = "Remove the policy {name}"
    summary = (
        "Its limits and its dead-lettering end at once for every queue that it applies to; the matching policy with "
        "the next highest priority takes its place. Queues may grow without a limit afterwards."
    )
    risk = Risk.MEDIUM
    Parameters = Named
    undo_title = "Bring the policy back as it was"

    def before(self, driver: RabbitMQ, params: Named) -> Report:
        return {"policy": current(driver, params.name)}

    def sends(self, driver: RabbitMQ, params: Named, before: Facts) -> list[str]:
        return [f"clear_policy {params.name}"]

    def done(self, driver: RabbitMQ, params: Named, before: Facts) -> bool:
        return current(driver, params.name) is None

    def do(self, driver: RabbitMQ, params: Named, before: Facts, call: Call) -> Report:
        if current(driver, params.name) is not None:
            put(driver, params.name, None, call)
        return {"policy": None}

    def undo(self, driver: RabbitMQ, params: Named, before: Facts, call: Call) -> Report:
        if current(driver, params.name) is None and before["policy"] is not None:
            put(driver, params.name, before["policy"], call)
        return {"policy": current(driver, params.name)}


def current(driver: RabbitMQ, name: str) -> dict[str, Any] | None:
    """The policy as it is now; None when there is none of that name."""
    found = driver.management().get("policies", driver.vhost, name)
    return {field: found[field] for field in _FIELDS} if found else None


def put(driver: RabbitMQ, name: str, policy: dict[str, Any] | None, call: Call) -> None:
    """Set the policy, or remove it when it is None."""
    call.check()
    if policy is None:
        driver.management().delete("policies", driver.vhost, name)
    else:
        driver.management().put("policies", driver.vhost, name, content=policy)
    call.log(f"the policy {name} {'is removed' if policy is None else 'is set'}")


def _wanted(params: Policy) -> dict[str, Any]:
    definition: dict[str, Any] = {}
    if params.message_ttl_ms:
        definition["message-ttl"] = params.message_ttl_ms
    if params.max_length:
        definition |= {"max-length": params.max_length, "overflow": params.overflow}
    if params.dead_letter_exchange:
        definition["dead-letter-exchange"] = params.dead_letter_exchange
    return {"pattern": params.pattern, "definition": definition, "priority": params.priority, "apply-to": "queues"}


def _longer(driver: RabbitMQ, params: Policy) -> list[str]:
    """The queues that match and hold more messages than the limit, as the management API counts them."""
    try:
        pattern = re.compile(params.pattern)
    except re.error as error:
        raise InvalidInput(f"the pattern is not a regular expression: {error}") from None
    found = driver.management().get("queues", driver.vhost, columns="name,messages") or []
    return sorted(
        f"{one['name']} holds {one['messages']}"
        for one in found
        if one.get("messages", 0) > params.max_length and pattern.search(one["name"])
    )
