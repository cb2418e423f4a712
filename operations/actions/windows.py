"""Verbs of freezes and maintenance windows."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import transaction

from identity.models import Scope
from identity.models.scope import ANY
from operations import lifecycle
from operations.models import ChangeWindow, Operation
from operations.models.windows import reached
from portal import clock, events
from portal.errors import Invalid
from portal.lifecycle import Actor, authorize, move

LONGEST = timedelta(days=92)


@transaction.atomic
def declare(
    *,
    by: Actor,
    kind: str,
    starts_at: datetime,
    ends_at: datetime,
    reason: str,
    environment: str = ANY,
    service: str = ANY,
) -> ChangeWindow:
    """Declare a freeze or a maintenance window over an environment and a service ("*": all).

    ``by`` must hold ``operations.declare`` wherever it reaches. Operations that wait are asked again at once. Raises
    ``Invalid`` for a span that ends before it starts, has ended, or lasts more than 92 days.
    """
    _authorize(by, environment, service)
    if faults := {**_wrong_place(environment, service), **_wrong_span(kind, starts_at, ends_at, reason)}:
        raise Invalid("This window cannot be declared.", fields=faults)
    window = ChangeWindow.objects.create(
        kind=kind,
        environment=environment,
        service=service,
        starts_at=starts_at,
        ends_at=ends_at,
        reason=reason.strip()[:500],
        declared_by_id=by.pk,
        declared_label=str(by)[:200],
    )
    after = {"kind": kind, "reach": window.reach, "starts_at": starts_at.isoformat(), "ends_at": ends_at.isoformat()}
    events.record("operations.declare", window, by=by, reason=reason, after=after)
    _ask_again(window)
    return window


@transaction.atomic
def lift(window: ChangeWindow, *, by: Actor, reason: str = "") -> ChangeWindow:
    """End a freeze or call off a window before its time; what waited because of it is asked again at once."""
    _authorize(by, window.environment, window.service)
    if window.ends_at <= clock.now():
        raise Invalid("It is over already.")
    move(window, "lift", by=by)
    events.record("operations.lift", window, by=by, reason=reason)
    _ask_again(window)
    return window


def _wrong_place(environment: str, service: str) -> dict[str, list[str]]:
    """A slip of the pen would freeze nothing, and everybody would rely on it."""
    named = {"environment": environment, "service": service}
    unknown = {
        field: name
        for field, name in named.items()
        if name != ANY and not Scope.objects.filter(**{field: name}).exists()
    }
    return {field: [f"There is no {field} “{name[:64]}”; * stands for all."] for field, name in unknown.items()}


def _wrong_span(kind: str, starts_at: datetime, ends_at: datetime, reason: str) -> dict[str, list[str]]:
    faults: dict[str, list[str]] = {}
    if kind not in ChangeWindow.Kind.values:
        faults["kind"] = ["It is either “freeze” or “maintenance”."]
    if ends_at <= max(starts_at, clock.now()):
        faults["ends_at"] = ["It must end after it starts, and not in the past."]
    elif ends_at - starts_at > LONGEST:
        faults["ends_at"] = [f"It lasts at most {LONGEST.days} days."]
    if not reason.strip():
        faults["reason"] = ["Say what it is for: people who have to wait will read it."]
    return faults


def _authorize(by: Actor, environment: str, service: str) -> None:
    """The right is needed on everything the window reaches, also on what is declared there later."""
    authorize(by, "operations.declare", reached(environment, service))


def _ask_again(window: ChangeWindow) -> None:
    waiting = Operation.objects.filter(state=lifecycle.QUEUED).exclude(waiting_for="")
    if window.environment != ANY:
        waiting = waiting.filter(scope__environment=window.environment)
    if window.service != ANY:
        waiting = waiting.filter(scope__service=window.service)
    waiting.update(not_before=None, waiting_for="", sent_at=None)
