"""A planned switchover of a MariaDB cluster: another member becomes the primary, and no acknowledged write is lost."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, cast

from drivers.base import Driver, DriverError
from drivers.mariadb import switchover
from drivers.mariadb.node import Node
from drivers.mariadb.switchover import STEPS, Switchover
from inventory.models import Component, Environment
from inventory.plans import connect
from operations.plan import Act, Approvers, Plan, StepContext, StepDraft, failing
from portal.errors import Conflict, Invalid

Output = dict[str, Any]
CATCHES_UP_SECONDS = 120


def members_of(key: str) -> dict[str, Driver]:
    """The drivers of the cluster that the connection ``key`` belongs to, itself included, by connection key."""
    return {each: connect.driver(each) for each in connect.cluster(key)}


class SwitchOver(Plan):
    """The seven steps of ``drivers.mariadb.switchover`` as steps of an operation, each with its own way back.

    ``members`` gives the drivers of a cluster for the key of one of its connections.
    """

    kind = "mariadb.switch-over"
    title = "Switch over from {subject}"
    summary = (
        "Another member of the cluster takes the writes. Writes are refused for a moment, usually well below two "
        "seconds; sessions that hold transactions or locks on the old primary are closed. No acknowledged write is "
        "lost."
    )
    permission = "inventory.operate_risky"
    observes = True
    approval_step_up = True
    risk = "high"
    applies_to = "the primary of a MariaDB cluster whose connections name each other as peers"
    needs = "A replica that follows closely and has no transaction of its own, and an account to follow with."
    params_schema = {
        "type": "object",
        "properties": {
            "to": {
                "type": "string",
                "title": "New primary",
                "description": "The connection key of the member that takes over, such as production/us-east/database.",
                "minLength": 1,
                "maxLength": 200,
            }
        },
        "required": ["to"],
        "additionalProperties": False,
    }

    def __init__(self, members: Callable[[str], dict[str, Driver]] = members_of) -> None:
        self.members = members
        self.acts = tuple(self._act(step) for step in STEPS)

    def _act(self, step: switchover.Step) -> Act:
        looks_only = type(step).undo is switchover.Step.undo
        return Act(
            step.name,
            step.title,
            partial(self._do, step),
            None if looks_only else partial(self._undo, step),
            partial(self._done, step),
            step.undo_title + "." if looks_only else "",
            timeout_seconds=CATCHES_UP_SECONDS,
            undo_title=step.undo_title + ".",
            conditions=self._conditions if step is STEPS[0] else None,
        )

    def fits(self, subject: Any) -> bool:
        key = getattr(subject, "connection", "")
        return (
            isinstance(subject, Component) and connect.driver_kind(key) == Node.kind and len(connect.cluster(key)) > 1
        )

    def heading(self, subject: Any, params: Output) -> str:
        return f"Switch over from {subject} to {params['to']}"

    def target(self, subject: Component) -> str:
        return connect.changed_together(subject)

    def queue(self, subject: Component) -> str:
        return connect.queue_of(subject)

    def approvals(self, subject: Component) -> list[Approvers]:
        return [Approvers("operations_owner")] if subject.environment.kind == Environment.Kind.PRODUCTION else []

    def draft(self, subject: Component, params: Output) -> list[StepDraft]:
        """Look at every member, refuse what cannot go well, and write the seven steps down."""
        members = self.members(subject.connection)
        if params["to"] == subject.connection or params["to"] not in members:
            others = ", ".join(sorted(set(members) - {subject.connection})) or "none is known"
            raise Invalid(
                "That is no other member of this cluster.", fields={"to": [f"Its other members are: {others}."]}
            )
        try:
            cluster = self._cluster(members, subject.connection, params["to"])
            conditions = cluster.conditions()
            if against := failing(conditions):
                raise Conflict(f"It cannot be done now: {' '.join(against)}")
            seen = cluster.look()
        except DriverError as error:
            raise Conflict(f"The cluster cannot be looked at now: {error}") from None
        where = {"connection": subject.connection, "to": params["to"]}
        held = [each.text for each in conditions]
        sends = _sends(cluster)
        # What is there before is shown once; the other steps keep it to find the way back.
        first, rest = STEPS[0], STEPS[1:]
        steps = [StepDraft(each.name, each.title, {**where, "seen": seen}, sends[each.name]) for each in rest]
        return [StepDraft(first.name, first.title, {**where, "before": seen}, sends[first.name], held), *steps]

    @staticmethod
    def _cluster(members: dict[str, Driver], old: str, new: str) -> Switchover:
        return Switchover(cast(dict[str, Node], members), old, new)

    def _of(self, ctx: StepContext) -> Switchover:
        arguments = ctx.arguments
        return self._cluster(self.members(arguments["connection"]), arguments["connection"], arguments["to"])

    def _conditions(self, ctx: StepContext) -> Any:
        return self._of(ctx).conditions()

    def _done(self, step: switchover.Step, ctx: StepContext) -> bool:
        return step.done(self._of(ctx), _seen(ctx))

    def _do(self, step: switchover.Step, ctx: StepContext) -> Output:
        return step.do(self._of(ctx), _seen(ctx), connect.call(ctx))

    def _undo(self, step: switchover.Step, ctx: StepContext) -> Output:
        step.undo(self._of(ctx), _seen(ctx), connect.call(ctx))
        return {}


def _seen(ctx: StepContext) -> Output:
    """Where every member stood when the plan was made."""
    seen: Output = ctx.arguments.get("before") or ctx.arguments["seen"]
    return seen


def _sends(cluster: Switchover) -> dict[str, list[str]]:
    """The statements of each step, as an operator would type them, by the step's name."""
    old, new = cluster.old.where, cluster.new.where
    host, _, port = new.rpartition(":")
    follow = f"CHANGE MASTER TO MASTER_HOST='{host}', MASTER_PORT={port}, MASTER_USE_GTID=slave_pos; START SLAVE"
    return {
        "fence": [f"{old}: SET GLOBAL read_only = 1", f"{old}: KILL CONNECTION of each session that writes"],
        "catch-up": [f"{new}: SELECT MASTER_GTID_WAIT(the position of {old}, {switchover.CATCH_UP_SECONDS})"],
        "promote": [f"{new}: STOP SLAVE; RESET SLAVE ALL", f"{new}: SET GLOBAL read_only = 0"],
        "rejoin": [f"{old}: {follow}"],
        "repoint": [f"{node.where}: {follow}" for node in cluster.others.values()],
        "protect": [f"{new}: SET GLOBAL rpl_semi_sync_master_enabled = 1, if it was on at {old}"],
        "verify": [f"{node.where}: SHOW ALL SLAVES STATUS" for node in cluster.members.values()],
    }
