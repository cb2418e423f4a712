"""Deciding on a request: approve, deny, cancel, lapse."""

from __future__ import annotations

from datetime import timedelta

from django.db import transaction

from access.actions.granting import begin
from access.models import AccessRequest, Grant
from access.models.request import SHORTEST
from portal import clock, events
from portal.errors import Conflict, Denied, IllegalTransition, Invalid
from portal.lifecycle import Actor, authorize, move


def _lock(request: AccessRequest) -> None:
    """Read the row again under its lock, so that what is judged is what is decided on."""
    request.refresh_from_db(from_queryset=AccessRequest.objects.select_for_update())


def _refuse_for_reason(request: AccessRequest, name: str, by: Actor) -> None:
    transition = request.lifecycle[name]
    authorize(by, transition.permission, request)
    if request.state in transition.sources and (reason := request.reason_against(transition, by)):
        raise (IllegalTransition if reason.startswith("The time") else Denied)(reason)


def _granted_seconds(request: AccessRequest, minutes: int | None) -> int:
    seconds = request.seconds if minutes is None else minutes * 60
    if not SHORTEST.total_seconds() <= seconds <= request.seconds:
        text = f"Between 5 and the {request.minutes} minutes that were asked for; it can be shortened, never widened."
        raise Invalid("This duration is not possible.", fields={"minutes": [text]})
    return seconds


@transaction.atomic
def approve(
    request: AccessRequest, *, by: Actor, minutes: int | None = None, note: str = "", content_hash: str = ""
) -> AccessRequest:
    """Agree, and grant the role for ``minutes`` (default: as asked; may be shorter, never longer), all at once.

    Needs ``access.approve`` on the scope, a fresh second factor, and another person than requester and beneficiary.
    Everything is judged again under the row's lock at this instant. ``content_hash`` says which content the approver
    read. Raises ``Denied``, ``StepUpRequired``, ``IllegalTransition`` (decided, lapsed), ``Conflict``, ``Invalid``.
    """
    _lock(request)
    _refuse_for_reason(request, "approve", by)
    if request.content() != request.content_hash or content_hash not in ("", request.content_hash):
        raise Conflict("What you read is not what was asked for. Look again, then decide.")
    if not (request.beneficiary.is_active and request.requester.is_active):
        raise Conflict("An account of this request is no longer active.")
    if not request.beneficiary.has_perm("inventory.view", request.scope):
        raise Conflict(f"{request.beneficiary} can no longer see {request.scope}.")
    seconds = _granted_seconds(request, minutes)
    now = clock.now()
    move(request, "approve", by=by, granted_seconds=seconds, decision_note=note, **_decision(request, by))
    starts_at = max(now, request.wanted_from or now)
    grant = Grant.objects.create(
        key=request.key,
        request=request,
        account=request.beneficiary,
        scope=request.scope,
        role=request.role,
        starts_at=starts_at,
        ends_at=starts_at + timedelta(seconds=seconds),
    )
    if starts_at <= now:
        begin(grant, given_by=by)
    after = {
        "minutes": seconds // 60,
        "content": request.content_hash,
        "starts_at": starts_at,
        "ends_at": grant.ends_at,
    }
    events.record("access.approve", request, by=by, reason=note, after=after)
    return request


def _decision(request: AccessRequest, by: Actor) -> dict[str, object]:
    return {
        "decided_at": clock.now(),
        "decided_by_id": by.pk,
        "decided_person": getattr(by, "person_id", None),
        "decided_hash": request.content_hash,
    }


@transaction.atomic
def deny(request: AccessRequest, *, by: Actor, note: str) -> AccessRequest:
    """Say no, and why. Needs ``access.deny`` and another person than requester and beneficiary."""
    _lock(request)
    _refuse_for_reason(request, "deny", by)
    if not note.strip():
        raise Invalid("Say why.", fields={"note": ["Whoever asked has to know why."]})
    move(request, "deny", by=by, decision_note=note.strip(), **_decision(request, by))
    events.record("access.deny", request, by=by, reason=note.strip(), after={"content": request.content_hash})
    return request


@transaction.atomic
def cancel(request: AccessRequest, *, by: Actor) -> AccessRequest:
    """Take a request back before anybody decided: whoever asked for it, or whom it was asked for."""
    _lock(request)
    _refuse_for_reason(request, "cancel", by)
    move(request, "cancel", by=by, closed_at=clock.now())
    events.record("access.cancel", request, by=by)
    return request


@transaction.atomic
def lapse(request: AccessRequest, *, by: Actor) -> AccessRequest:
    """Close a request that nobody decided in time. Raises ``IllegalTransition`` while there still is time."""
    _lock(request)
    if request.decide_by > clock.now():
        raise IllegalTransition("There still is time to decide.")
    move(request, "lapse", by=by, closed_at=clock.now())
    events.record("access.lapse", request, by=by)
    return request
