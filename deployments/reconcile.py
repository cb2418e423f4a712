"""What drives deployments: looks at each open one and does the next thing. Harmless to repeat, safe to kill."""

from __future__ import annotations

from collections.abc import Callable

import structlog
from django.db import transaction

from deployments import actions
from deployments.actions.deployments import DRIVER
from deployments.models import Deployment, Wave
from drivers.errors import DriverError
from operations import actions as operations
from operations import lifecycle as op
from operations.models import Operation
from portal.errors import Conflict, IllegalTransition, Refused

log = structlog.get_logger(__name__)


def drive() -> int:
    """Take every open deployment one move further where that is possible; the number of moves made.

    A fault in one of them does not hold up the others; it is raised once all had their turn, for the status page.
    """
    moved, faults = 0, []
    for deployment in Deployment.objects.open().select_related("artifact", "environment", "service").order_by("number"):
        step = MOVES.get(deployment.state)
        if step is None:
            continue
        try:
            moved += step(deployment)
        except (Conflict, IllegalTransition) as refusal:
            # Somebody else was faster, or the place is taken: the next round sees the new state.
            log.info("deployment_waits", deployment=str(deployment), reason=refusal.detail)
        except Exception as fault:
            log.exception("deployment_failed", deployment=str(deployment))
            faults.append(fault)
    if faults:
        raise faults[0]
    return moved


def _waves(deployment: Deployment) -> list[Wave]:
    return list(deployment.waves.select_related("operation", "back", "component__data_center", "component__scope"))


def prepare(deployment: Deployment) -> bool:
    """Draft the steps of every wave from what runs now. Talks to the hosts, so never inside a transaction.

    While another deployment of the service is under way here, what runs is about to change: this one waits.
    """
    if _under_way_beside(deployment):
        return False
    kind = "deployments.canary" if deployment.gated else "deployments.direct"
    artifact = deployment.artifact
    params = {"version": artifact.version, "digest": artifact.digest, "location": artifact.location}
    try:
        for wave in _waves(deployment):
            if wave.operation_id is None:
                key = f"deployment:{deployment.pk}:wave:{wave.position}"
                wave.operation = operations.request(
                    kind, wave.component, by=DRIVER, params=params, key=key, cause=deployment, draft=True
                )
                wave.save(update_fields=["operation"])
    except (Refused, DriverError) as error:
        if not getattr(error, "permanent", True):
            log.info("deployment_not_planned_yet", deployment=str(deployment), reason=str(error))
            return False
        actions.cancel(deployment, by=DRIVER, reason=f"It could not be planned: {error}")
        return True
    (actions.submit if deployment.gated else actions.enqueue)(deployment, by=DRIVER)
    return True


def begin(deployment: Deployment) -> bool:
    """Start, unless another deployment of the service is under way here, or whoever approved it lost that right."""
    if _under_way_beside(deployment):
        return False
    if reason := deployment.lost_ground:
        actions.cancel(deployment, by=DRIVER, reason=reason)
        return True
    actions.start(deployment, by=DRIVER)
    return True


def _under_way_beside(deployment: Deployment) -> bool:
    here = {"service": deployment.service_id, "environment": deployment.environment_id}
    return Deployment.objects.active().filter(**here).exists()


def outlast(deployment: Deployment) -> bool:
    """A part was called off before anybody decided, mostly for its age: there is nothing whole left to agree to."""
    if not deployment.waves.filter(operation__state=op.CANCELLED).exists():
        return False
    actions.cancel(deployment, by=DRIVER, reason="A part of its plan was called off before anybody decided.")
    return True


def advance(deployment: Deployment) -> bool:
    """Run the waves one after the other; one that was undone takes the whole deployment back."""
    for wave in _waves(deployment):
        operation = wave.operation
        assert operation is not None
        if operation.state == op.DONE:
            continue
        if operation.state == op.PLANNED:
            return _confirm(operation)
        if operation.state == op.STUCK:
            actions.escalate(deployment, by=DRIVER, reason=f"{operation.label} is stuck: {operation.stuck_reason}")
            return True
        if operation.state in (op.UNDONE, op.CANCELLED):
            actions.back_out(deployment, by=DRIVER, reason=operation.failure or f"{operation.label} was undone.")
            return True
        return False
    actions.succeed(deployment, by=DRIVER)
    return True


def _confirm(operation: Operation) -> bool:
    operations.confirm(operation, by=DRIVER)
    return True


def retreat(deployment: Deployment) -> bool:
    """Stop what runs, switch finished waves back, and end when the old version serves everywhere."""
    moves = [_take_back(deployment, wave) for wave in reversed(_waves(deployment))]
    stuck = next((reason for reason in moves if isinstance(reason, str)), None)
    if stuck:
        actions.escalate(deployment, by=DRIVER, reason=stuck)
        return True
    if all(move is None for move in moves):
        actions.roll_back(deployment, by=DRIVER)
        return True
    return any(move is True for move in moves)


def _take_back(deployment: Deployment, wave: Wave) -> bool | str | None:
    """Take one wave back. ``None``: it is back. A text: it is stuck, and why. Otherwise: whether something was done."""
    operation = wave.operation
    if operation is None or operation.state in (op.UNDONE, op.CANCELLED):
        return None
    if operation.state == op.STUCK:
        return f"{operation.label} is stuck: {operation.stuck_reason}"
    if operation.state in op.WAITING:
        operations.cancel(operation, by=DRIVER, reason="The deployment was taken back.")
        return True
    if operation.state == op.DONE:
        return _switch_back(deployment, wave, operation)
    if operation.state in op.operation["stop"].sources and not operation.cancel_requested:
        operations.stop(operation, by=DRIVER, reason=deployment.outcome or "The deployment was taken back.")
        return True
    return False


def _switch_back(deployment: Deployment, wave: Wave, operation: Operation) -> bool | str | None:
    if wave.back is None:
        slots = operation.steps.get(act="check").arguments
        params = {name: slots[name] for name in ("from_slot", "to_slot", "from_version")}
        key = f"deployment:{deployment.pk}:back:{wave.position}"
        try:
            wave.back = operations.request(
                "deployments.switch_back", wave.component, by=DRIVER, params=params, key=key, cause=deployment
            )
        except (Refused, DriverError) as error:
            if not getattr(error, "permanent", True):
                log.info("deployment_not_back_yet", deployment=str(deployment), reason=str(error))
                return False
            return f"{wave.component} cannot be switched back: {error}"
        with transaction.atomic():
            wave.save(update_fields=["back"])
        return True
    if wave.back.state == op.DONE:
        return None
    if wave.back.state in (op.UNDONE, op.STUCK, op.CANCELLED):
        return f"{wave.back.label} did not switch {wave.component} back: {wave.back.failure}"
    return False


MOVES: dict[str, Callable[[Deployment], bool]] = {
    "preparing": prepare,
    "awaiting_approval": outlast,
    "queued": begin,
    "running": advance,
    "rolling_back": retreat,
}
