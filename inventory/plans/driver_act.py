"""Every act that a driver declares, as a plan of its own: look, act, look again."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from drivers.acts import Act as DriverAct
from drivers.acts import Parameters, Risk
from drivers.base import Driver, DriverError, InvalidInput
from drivers.registry import LABELS
from inventory.models import Component, Environment
from inventory.plans import connect
from operations.plan import Act, Approvers, Plan, StepContext, StepDraft, failing
from portal.errors import Conflict, Invalid

Output = dict[str, Any]
PERMISSIONS = {Risk.LOW: "inventory.operate", Risk.MEDIUM: "inventory.operate", Risk.HIGH: "inventory.operate_risky"}


class DriverPlan(Plan):
    """One act of one driver on one component.

    ``driver`` gives the driver for a connection key. What the act saw when it was planned is kept in the step's
    arguments as ``before``: an approver reads it, and undoing goes back to it.
    """

    observes = True

    def __init__(
        self, kind: type[Driver], act: DriverAct[Any, Any], driver: Callable[[str], Driver] = connect.driver
    ) -> None:
        self.driver_kind = kind.kind
        self.offered = act
        self.driver = driver
        self.kind = f"{kind.kind}.{act.name}"
        named = re.sub(r"\{\w+\}", "…", act.title)
        self.title = named + ": {subject}"
        self.summary = act.summary
        self.risk = act.risk.value
        self.permission = PERMISSIONS[act.risk]
        self.approval_step_up = act.risk is Risk.HIGH
        self.family = LABELS.get(kind.kind, kind.kind)
        self.applies_to = f"components with a {kind.kind} connection"
        self.simulated = kind.simulated
        self.params_schema = act.schema()
        undo = self.undo if act.reversible() else None
        self.acts = (
            Act(
                act.name,
                named,
                self.do,
                undo,
                self.done,
                act.why_no_undo,
                act.timeout_seconds,
                undo_title=act.undo_title,
                conditions=self.conditions,
            ),
        )

    def fits(self, subject: Any) -> bool:
        key = getattr(subject, "connection", "")
        return isinstance(subject, Component) and bool(key) and connect.driver_kind(key) == self.driver_kind

    def heading(self, subject: Any, params: Output) -> str:
        return f"{self._says(params)}: {subject}"

    def target(self, subject: Component) -> str:
        return connect.changed_together(subject)

    def queue(self, subject: Component) -> str:
        return connect.queue_of(subject)

    def approvals(self, subject: Component) -> list[Approvers]:
        """In production somebody who answers for the environment agrees to what users may notice."""
        production = subject.environment.kind == Environment.Kind.PRODUCTION
        return [Approvers("operations_owner")] if production and self.risk == Risk.HIGH else []

    def draft(self, subject: Component, params: Output) -> list[StepDraft]:
        """Look at the component and write down what is there, what must hold, and what would be sent."""
        try:
            given = self.offered.parse(params)
            driver = self.driver(subject.connection)
            conditions = self.offered.conditions(driver, given)
            if against := failing(conditions):
                raise Conflict(f"It cannot be done now: {' '.join(against)}")
            before = self.offered.before(driver, given)
            if self.offered.done(driver, given, before):
                raise Conflict("It is so already; there is nothing to do.")
            sends = self.offered.sends(driver, given, before)
        except InvalidInput as error:
            raise Invalid(str(error)) from None
        except DriverError as error:
            raise Conflict(f"{subject} cannot be looked at now: {error}") from None
        arguments = {"connection": subject.connection, "before": before}
        held = [each.text for each in conditions]
        return [StepDraft(self.offered.name, self._says(params), arguments, sends, held)]

    def _says(self, params: Output) -> str:
        filled = {**dict.fromkeys(self.params_schema["properties"], "…"), **params}
        return self.offered.title.format_map(filled)

    def _at(self, ctx: StepContext) -> tuple[Driver, Parameters, Output]:
        return self.driver(ctx.arguments["connection"]), self.offered.parse(ctx.params), ctx.arguments["before"]

    def conditions(self, ctx: StepContext) -> Any:
        driver, params, _ = self._at(ctx)
        return self.offered.conditions(driver, params)

    def done(self, ctx: StepContext) -> bool:
        return self.offered.done(*self._at(ctx))

    def do(self, ctx: StepContext) -> Output:
        return self.offered.do(*self._at(ctx), connect.call(ctx))

    def undo(self, ctx: StepContext) -> Output:
        return self.offered.undo(*self._at(ctx), connect.call(ctx))
