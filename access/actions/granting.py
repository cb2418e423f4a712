"""The life of a grant: it starts, it ends in time, it ends early."""

from __future__ import annotations

from typing import Any

from django.db import transaction

from access.models import Grant
from identity import rights
from identity.models import EffectiveScope, RoleBinding
from portal import clock, events
from portal.errors import Denied, IllegalTransition, Invalid
from portal.lifecycle import Actor, authorize, move


def _lock(grant: Grant) -> None:
    grant.refresh_from_db(from_queryset=Grant.objects.select_for_update())


def begin(grant: Grant, *, given_by: Any = None) -> None:
    """Bind the role until the grant's end and mark the grant as active. Called by verbs in their transaction."""
    move(grant, "start", by=events.SYSTEM, activated_at=clock.now())
    facts = {"account": grant.account, "valid_until": grant.ends_at, "grant": grant.pk, "given_by": given_by}
    rights.bind(grant.role, grant.scope, **facts)


def _end(grant: Grant, name: str, by: Actor, cause: Grant.Cause) -> None:
    early = cause in (Grant.Cause.REVOKED, Grant.Cause.GIVEN_BACK)
    move(grant, name, by=by, ended_at=clock.now(), end_cause=cause, ended_by_id=by.pk if early else None)
    for binding in RoleBinding.objects.filter(grant=grant.pk):
        rights.unbind(binding)


def _left(grant: Grant) -> dict[str, Any]:
    """Read back what the holder can still do there, through whatever else they hold: evidence of the end."""
    if RoleBinding.objects.filter(grant=grant.pk).exists():
        raise RuntimeError(f"{grant}: the binding is still there after it was taken away")
    held = EffectiveScope.objects.live().filter(account=grant.account_id, scope=grant.scope_id)
    return {"bindings": 0, "actions_left": sorted(held.values_list("action", flat=True))}


@transaction.atomic
def start(grant: Grant, *, by: Actor) -> Grant:
    """Begin a scheduled grant when its time has come. A holder who was switched off meanwhile gets nothing."""
    _lock(grant)
    authorize(by, "access.start", grant)
    if not grant.starts_at <= clock.now() < grant.ends_at:
        raise IllegalTransition("Its time has not come, or is over.")
    if not grant.account.is_active:
        _end(grant, "expire", by, Grant.Cause.INELIGIBLE)
        events.record("access.expire", grant, by=by, reason=Grant.Cause.INELIGIBLE.label)
        return grant
    begin(grant, given_by=grant.request.decided_by)
    events.record("access.start", grant, by=by, after={"ends_at": grant.ends_at})
    return grant


@transaction.atomic
def expire(grant: Grant, *, by: Actor) -> Grant:
    """Mark a grant whose time is over as ended; clear its binding, which stopped counting at that instant."""
    _lock(grant)
    if grant.ends_at > clock.now():
        raise IllegalTransition("Its time is not over.")
    _end(grant, "expire", by, Grant.Cause.EXPIRED)
    events.record("access.expire", grant, by=by, after=_left(grant))
    return grant


@transaction.atomic
def revoke(grant: Grant, *, by: Actor, reason: str) -> Grant:
    """End somebody's access now, with a sentence that says why; what is left to them afterwards goes into the event."""
    _lock(grant)
    authorize(by, "access.revoke", grant)
    if not reason.strip():
        raise Invalid("Say why.", fields={"reason": ["The holder has to know why."]})
    _end(grant, "revoke", by, Grant.Cause.REVOKED)
    events.record("access.revoke", grant, by=by, reason=reason.strip(), after=_left(grant))
    return grant


@transaction.atomic
def give_back(grant: Grant, *, by: Actor) -> Grant:
    """End one's own access early."""
    _lock(grant)
    if grant.account_id != by.pk:
        raise Denied("Only the holder can give it back.")
    _end(grant, "give_back", by, Grant.Cause.GIVEN_BACK)
    events.record("access.give_back", grant, by=by, after=_left(grant))
    return grant
