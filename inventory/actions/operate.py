"""Act on a component: any plan that fits it, planned here, carried out as an operation."""

from __future__ import annotations

from typing import Any

from inventory.models import Component
from operations import plan as plans
from operations.actions import request
from operations.models import Operation
from portal.errors import Invalid
from portal.lifecycle import Actor


def fitting(component: Component) -> list[plans.Plan]:
    """The plans that can be asked for on ``component``, newest versions, by kind."""
    return [known for known in plans.newest() if not known.steered and known.fits(component)]


def operate(
    component: Component,
    *,
    by: Actor,
    plan: str,
    params: dict[str, Any] | None = None,
    reason: str = "",
    key: str | None = None,
    cause: Any = None,
    draft: bool = False,
    **how: Any,
) -> Operation:
    """Ask for ``plan`` (its kind) on ``component``, with ``params`` as the plan's schema describes them.

    ``by`` must hold the plan's own permission on the component's scope. With ``draft`` the operation waits for somebody
    to read its steps and confirm. ``how`` is passed on to ``operations.request`` (priority, on_failure, in_window).
    Raises ``Invalid`` for a plan that does not exist, does not fit the component, or for wrong parameters, ``Conflict``
    when the component cannot be looked at or a condition does not hold. Must not be called inside a transaction.
    """
    try:
        chosen = plans.get(plan)
    except plans.UnknownPlan:
        raise Invalid("There is no such plan.", fields={"plan": [f"There is no plan “{plan[:80]}”."]}) from None
    if chosen.steered or not chosen.fits(component):
        sentence = f"“{plan[:80]}” cannot be asked for on {component}."
        raise Invalid(sentence, fields={"plan": [f"It works on {chosen.applies_to or 'nothing by itself'}."]})
    asked = {"params": params, "reason": reason, "key": key, "cause": cause, "draft": draft}
    return request(plan, component, by=by, **asked, **how)
