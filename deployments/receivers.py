"""News from below: an operation that ended moves its deployment on at once instead of at the next tick."""

from typing import Any

from portal.dispatch import nudge
from portal.events import subscribe


@subscribe("operations.finish", "operations.undo", "operations.stick", "operations.cancel", "operations.settle")
def operation_ended(event: Any) -> None:
    nudge("deployments.drive")
