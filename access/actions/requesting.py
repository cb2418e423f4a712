"""Asking for access."""

from __future__ import annotations

from datetime import datetime, timedelta

from django.db import IntegrityError, transaction

from access import queries
from access.models import AccessRequest, Grant
from access.models.request import LONGEST, REASON_LENGTH, ROLE, SHORTEST
from identity.models import Account, Scope
from portal import clock, events
from portal.errors import Conflict, Denied, Invalid
from portal.lifecycle import Actor, authorize

DECIDE_WITHIN = timedelta(hours=24)
FURTHEST_START = timedelta(days=7)


@transaction.atomic
def request_access(
    scope: Scope,
    *,
    by: Actor,
    minutes: int,
    reason: str,
    wanted_from: datetime | None = None,
    beneficiary: Account | None = None,
    extends: Grant | None = None,
) -> AccessRequest:
    """Ask that ``beneficiary`` (default: ``by``) may operate one service in one environment for ``minutes`` (5–480).

    Whoever asks must be a person who may ask there; the beneficiary must see the service and not hold the role already
    (unless this ``extends`` their grant). Raises ``Invalid`` naming everything that is wrong, ``Conflict`` when the
    same is held or being asked for. The request lapses when nobody decides within 24 hours of the wanted start.
    """
    authorize(by, "access.request", scope)
    if not isinstance(by, Account) or by.person_id is None:
        raise Denied("Only a person can ask for access.")
    target = beneficiary or by
    reason = reason.strip()
    _check(scope, target, minutes, reason, wanted_from)
    if extends is None and queries.holds(target, ROLE, scope):
        raise Conflict(f"{target} can already do all of this on {scope}.")
    request = _draft(scope, by, target, reason, timedelta(minutes=minutes), wanted_from, extends)
    try:
        with transaction.atomic():
            request.save(force_insert=True)
    except IntegrityError as error:
        raise Conflict(f"A request for {target} on {scope} is already waiting.") from error
    after = {"for": str(target), "role": ROLE, "scope": str(scope), "minutes": minutes, "content": request.content_hash}
    events.record("access.request", request, by=by, reason=reason, after=after)
    return request


def _draft(
    scope: Scope,
    by: Account,
    target: Account,
    reason: str,
    duration: timedelta,
    wanted_from: datetime | None,
    extends: Grant | None,
) -> AccessRequest:
    """The request that is about to be written, with the hash of its content."""
    now = clock.now()
    request = AccessRequest(
        scope=scope,
        requester=by,
        requester_person=by.person_id,
        beneficiary=target,
        beneficiary_person=target.person_id,  # type: ignore[misc]  # _check saw to it
        reason=reason,
        seconds=int(duration.total_seconds()),
        wanted_from=wanted_from,
        extends=extends,
        requested_at=now,
        decide_by=(wanted_from or now) + DECIDE_WITHIN,
    )
    request.content_hash = request.content()
    return request


def _check(scope: Scope, target: Account, minutes: int, reason: str, wanted_from: datetime | None) -> None:
    now = clock.now()
    fields: dict[str, list[str]] = {}
    if not queries.exists(scope):
        fields["service"] = ["There is no such service in this environment."]
    if not SHORTEST <= timedelta(minutes=minutes) <= LONGEST:
        fields["minutes"] = ["Between 5 minutes and 8 hours."]
    if len(reason) < REASON_LENGTH:
        fields["reason"] = [f"Say why, in at least {REASON_LENGTH} characters."]
    if wanted_from is not None and not now - timedelta(minutes=5) <= wanted_from <= now + FURTHEST_START:
        fields["wanted_from"] = ["Choose a start within the next seven days."]
    if not target.is_active or target.person_id is None or not target.has_perm("inventory.view", scope):
        fields["beneficiary"] = ["This account cannot see the service, or is no person's."]
    if fields:
        raise Invalid("This cannot be asked for.", [text for texts in fields.values() for text in texts], fields)


@transaction.atomic
def extend(grant: Grant, *, by: Actor, minutes: int, reason: str) -> AccessRequest:
    """Ask for more time before the grant ends: a new request, which again somebody else decides.

    Raises ``Denied`` for anybody but the holder and ``Conflict`` when the grant works no longer.
    """
    if grant.account_id != by.pk:
        raise Denied("Only the holder can ask for more time.")
    if not grant.is_live:
        raise Conflict("This access has ended. Ask for it anew.")
    return request_access(grant.scope, by=by, minutes=minutes, reason=reason, extends=grant)
