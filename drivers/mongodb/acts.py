"""What can be done to a member: have another one elected, keep it from being elected."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from msgspec import Meta
from pymongo.errors import AutoReconnect

from drivers.acts import Act, Call, Condition, Facts, Parameters, Report, Risk
from drivers.errors import TransientError
from drivers.mongodb import replica_set

if TYPE_CHECKING:
    from drivers.mongodb.server import MongoDB

CATCH_UP_SECONDS = 10
ELECTION_SECONDS = 45.0
"""Four times the time after which members call an election when nothing else is set."""
PAUSE_SECONDS = 0.5


class SteppingDown(Parameters):
    lag_limit_seconds: Annotated[
        int, Meta(title="Greatest lag of a successor", description="In seconds.", ge=0, le=600)
    ] = 10
    stay_down_seconds: Annotated[
        int,
        Meta(title="Not to be elected again for", description="In seconds.", ge=CATCH_UP_SECONDS + 1, le=3600),
    ] = 120


class StepDown(Act["MongoDB", SteppingDown]):
    """Source: mongodb.com/docs/manual/reference/command/replSetStepDown."""

    name = "step-down"
    title = "Step down as primary"
    summary = (
        "The primary stops taking writes, waits up to 10 seconds for a secondary to catch up, and another member is "
        "elected. Writes, and reads of the primary, fail or wait for some seconds; open transactions are ended. "
        "Where this member has the highest priority it takes over again when its time is over."
    )
    risk = Risk.HIGH
    Parameters = SteppingDown
    why_no_undo = (
        "An election cannot be taken back: a second one would interrupt writers again and need not choose the same "
        "member. To have the former primary back, let the new one step down."
    )
    timeout_seconds = 120

    def conditions(self, driver: MongoDB, params: SteppingDown) -> list[Condition]:
        found = driver.members()
        leader, own = replica_set.primary(found), replica_set.itself(found)
        leads = own is not None and own["name"] == leader
        ready = replica_set.candidates(found, params.lag_limit_seconds)
        lags = ", ".join(f"{each['name']} {each['state']} {each['lag_seconds']}" for each in found if each is not own)
        return [
            Condition("This member is the primary.", leads, f"the primary is {leader or 'unknown'}"),
            Condition(
                f"A secondary that can be elected is at most {params.lag_limit_seconds} seconds behind.",
                bool(ready),
                ", ".join(ready) or lags or "there is no other member",
            ),
            Condition("Most of the voting members are up.", replica_set.has_majority(found)),
        ]

    def before(self, driver: MongoDB, params: SteppingDown) -> Report:
        found = driver.members()
        own = replica_set.itself(found) or {}
        others = [each["priority"] or 0 for each in found if not each["itself"]]
        return {
            "member": own.get("name", driver.where),
            "primary": replica_set.primary(found),
            "returns": (own.get("priority") or 0) > max(others, default=0),
            "members": [{"name": each["name"], "lag_seconds": each["lag_seconds"]} for each in found],
        }

    def sends(self, driver: MongoDB, params: SteppingDown, before: Facts) -> list[str]:
        words = f"replSetStepDown: {params.stay_down_seconds}, secondaryCatchUpPeriodSecs: {CATCH_UP_SECONDS}"
        return [f"{driver.where} db.adminCommand({{{words}}})"]

    def done(self, driver: MongoDB, params: SteppingDown, before: Facts) -> bool:
        leader = replica_set.primary(driver.members())
        if leader is None:
            raise TransientError(f"the members of {driver.where} have not elected a primary yet")
        return bool(leader != before["member"])

    def do(self, driver: MongoDB, params: SteppingDown, before: Facts, call: Call) -> Report:
        if replica_set.primary(driver.members()) == before["member"]:
            call.check()
            self._send(driver, params, call)
        return {"primary": self._successor(driver, before["member"], call)}

    @staticmethod
    def _send(driver: MongoDB, params: SteppingDown, call: Call) -> None:
        with driver.connected(read_seconds=CATCH_UP_SECONDS + 5) as client:
            try:
                client.admin.command(
                    "replSetStepDown", params.stay_down_seconds, secondaryCatchUpPeriodSecs=CATCH_UP_SECONDS
                )
            except AutoReconnect as error:
                # It is no longer primary, or closed all connections (before 4.2): who leads now will tell.
                call.log(f"{driver.where} broke off: {error}"[:200])
            else:
                call.log(f"{driver.where} stepped down")

    @staticmethod
    def _successor(driver: MongoDB, former: str, call: Call) -> str:
        deadline = time.monotonic() + ELECTION_SECONDS
        while True:
            leader = replica_set.primary(driver.members())
            if leader is not None and leader != former:
                call.log(f"{leader} is primary")
                return leader
            if time.monotonic() >= deadline:
                raise TransientError(f"no other member became primary within {ELECTION_SECONDS:g} seconds")
            time.sleep(PAUSE_SECONDS)


class Freezing(Parameters):
    seconds: Annotated[int, Meta(title="Seconds", ge=10, le=86_400)]


class Freeze(Act["MongoDB", Freezing]):
    """A server does not tell that it is frozen, so the process that has frozen it remembers.

    One that dies meanwhile is followed by one that freezes anew, for the same time from then on. Source:
    mongodb.com/docs/manual/reference/command/replSetFreeze.
    """

    name = "freeze"
    title = "Keep this member from being elected for {seconds} seconds"
    summary = (
        "This secondary goes on replicating and answering reads, but does not become primary until the time is over. "
        "Nobody notices, unless the primary is lost meanwhile: where no other member can be elected, the replica set "
        "then has no primary."
    )
    risk = Risk.MEDIUM
    Parameters = Freezing
    undo_title = "Let it be elected again at once"
    _frozen: ClassVar[set[str]] = set()

    def conditions(self, driver: MongoDB, params: Freezing) -> list[Condition]:
        found = driver.members()
        own, leader = replica_set.itself(found), replica_set.primary(found)
        state = own["state"] if own else "unknown"
        return [
            Condition("This member is a secondary.", state == "SECONDARY", f"it is {state}"),
            Condition("The replica set has a primary.", leader is not None),
        ]

    def before(self, driver: MongoDB, params: Freezing) -> Report:
        found = driver.members()
        others = replica_set.candidates([each for each in found if not each["itself"]], float("inf"))
        return {"look": str(uuid.uuid4()), "primary": replica_set.primary(found), "other_candidates": others}

    def sends(self, driver: MongoDB, params: Freezing, before: Facts) -> list[str]:
        return [f"{driver.where} db.adminCommand({{replSetFreeze: {params.seconds}}})"]

    def done(self, driver: MongoDB, params: Freezing, before: Facts) -> bool:
        return before["look"] in self._frozen

    def do(self, driver: MongoDB, params: Freezing, before: Facts, call: Call) -> Report:
        if before["look"] not in self._frozen:
            self._send(driver, params.seconds, call)
            self._frozen.add(before["look"])
        return {"frozen_seconds": params.seconds}

    def undo(self, driver: MongoDB, params: Freezing, before: Facts, call: Call) -> Report:
        # Unfreezing what is not frozen changes nothing; a member that has become primary refuses, and needs it not.
        if not _is_primary(driver.members()):
            self._send(driver, 0, call)
        self._frozen.discard(before["look"])
        return {"frozen_seconds": 0}

    @staticmethod
    def _send(driver: MongoDB, seconds: int, call: Call) -> None:
        call.check()
        with driver.connected() as client:
            client.admin.command("replSetFreeze", seconds)


def _is_primary(found: list[dict[str, Any]]) -> bool:
    own = replica_set.itself(found)
    return own is not None and own["state"] == "PRIMARY"
