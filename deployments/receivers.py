"""News from below: an operation that ended moves its deployment on at once instead of at the next tick."""

from typing import Any

from django.db.models import Q

from deployments.models import Wave
from portal.dispatch import nudge
from portal.events import subscribe


@subscribe("operations.finish", "operations.undo", "operations.stick", "operations.cancel", "operations.settle")
def operation_ended(event: Any) -> None:
    if Wave.objects.filter(Q(operation=event.subject_id) | Q(back=event.subject_id)).exists():
        nudge("deployments.drive")
