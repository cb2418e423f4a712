"""Roles for accounts and teams, on scopes."""

from __future__ import annotations

from datetime import datetime

from django.db import IntegrityError, transaction

from identity import matrix, rights
from identity.models import Account, RoleBinding, Scope, Team
from identity.second_factor import require_fresh
from portal import clock, events
from portal.errors import Conflict, Denied, Invalid
from portal.lifecycle import Actor, authorize


def _another_person(by: Actor, accounts: list[Account]) -> None:
    person = getattr(by, "person_id", None)
    if person and person in {account.person_id for account in accounts}:
        raise Denied("Nobody changes their own roles. Another security officer has to do it.")


@transaction.atomic
def bind_role(
    holder: Account | Team,
    *,
    by: Actor,
    role: str,
    scope: Scope,
    valid_until: datetime | None = None,
    reason: str = "",
) -> RoleBinding:
    """Give ``role`` on ``scope`` to an account or a team; it works at once and until ``valid_until``.

    Needs ``identity.bind_role`` on the whole scope, a fresh second factor, and another person than the holder.
    Raises ``Invalid`` for an unknown role or an end that has passed, ``Conflict`` when it is held already.
    """
    authorize(by, "identity.bind_role", scope)
    team = holder if isinstance(holder, Team) else None
    account = holder if isinstance(holder, Account) else None
    _another_person(by, list(team.members.all()) if team else [holder])  # type: ignore[list-item]
    require_fresh(by)
    matrix.actions_of(role)
    if valid_until is not None and valid_until <= clock.now():
        raise Invalid("The end lies in the past.", fields={"valid_until": ["Choose an instant that is still to come."]})
    try:
        with transaction.atomic():
            binding = rights.bind(role, scope, account=account, team=team, valid_until=valid_until, given_by=by)
    except IntegrityError as error:
        raise Conflict(f"{holder} is {role} on {scope} already.") from error
    after = {"holder": str(holder), "role": role, "scope": str(scope), "valid_until": valid_until}
    events.record("identity.bind_role", binding, by=by, reason=reason, after=after)
    return binding


@transaction.atomic
def unbind(binding: RoleBinding, *, by: Actor, reason: str = "") -> None:
    """Take a standing role away; what other bindings give stays. Same conditions as ``bind_role``.

    A binding that an access grant made ends with its grant, so it is refused here (``Conflict``).
    """
    authorize(by, "identity.unbind", binding.scope)
    team = binding.team
    _another_person(by, list(team.members.all()) if team else [binding.account])  # type: ignore[list-item]
    require_fresh(by)
    if binding.grant:
        raise Conflict("This role comes from an access grant. Revoke the grant instead.")
    before = {"holder": str(binding.account or team), "role": binding.role, "scope": str(binding.scope)}
    events.record("identity.unbind", binding, by=by, reason=reason, before=before)
    rights.unbind(binding)
