"""Reload an application component: planned here, carried out as an operation."""

from __future__ import annotations

from typing import Any

from inventory.models import Component
from operations.actions import request
from operations.models import Operation
from portal.lifecycle import Actor, Tone, Transition

# A component has no state of its own to move; this is how the verb looks on its page.
RELOAD = Transition("reload", (), "", "inventory.reload", "Reload", "planned", fields=("reason",), tone=Tone.WARN)


def reload(
    component: Component,
    *,
    by: Actor,
    reason: str = "",
    key: str | None = None,
    cause: Any = None,
    draft: bool = False,
) -> Operation:
    """Replace every worker of an application component by a fresh one of the same version, one at a time.

    Looks at the workers that run now and plans one step for each; with ``draft`` the plan waits for somebody to
    confirm it, otherwise it is queued at once. ``by`` must hold ``inventory.reload`` on the component's scope.
    Raises ``Invalid`` for a component that is not an application, ``Conflict`` when it cannot be observed or nothing
    of it runs. Must not be called inside a transaction, because it looks at the world.
    """
    return request("inventory.reload", component, by=by, reason=reason, key=key, cause=cause, draft=draft)
