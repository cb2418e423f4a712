"""What the profile and the people screens show."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from django.db.models import Q

from identity.matrix import load
from identity.models import Account, RoleBinding, Scope, Session
from identity.models.scope import ANY
from portal import clock


def sessions_of(account: Account) -> list[dict[str, Any]]:
    """The live browser sessions of ``account``, newest first, with where and how each began."""
    rows = []
    for session in Session.objects.filter(account=account, expire_date__gt=clock.now()).order_by("-expire_date"):
        facts = session.get_decoded()
        rows.append(
            {
                "id": session.public_id,
                "key": session.session_key,
                "began": facts.get("signed_in_at", ""),
                "address": facts.get("address", ""),
                "browser": facts.get("browser", ""),
                "methods": facts.get("authentication_methods", []),
                "ends": session.expire_date,
            }
        )
    return rows


def session_named(account: Account, public_id: str) -> Session | None:
    """The session of ``account`` that ``public_id`` names."""
    mine = Session.objects.filter(account=account, expire_date__gt=clock.now())
    return next((session for session in mine if session.public_id == public_id), None)


def roles_on(accounts: Iterable[Account], scope: Scope) -> dict[Any, set[str]]:
    """The roles that each account holds on ``scope`` now, its own and its teams', by the account's key."""
    held: dict[Any, set[str]] = {account.pk: set() for account in accounts}
    covering = Q(scope__environment__in=[ANY, scope.environment], scope__service__in=[ANY, scope.service])
    live = Q(valid_until=None) | Q(valid_until__gt=clock.now())
    bindings = RoleBinding.objects.filter(covering, live).order_by()
    own = bindings.filter(account__in=held).values_list("account", "role")
    of_teams = bindings.filter(team__members__in=held).values_list("team__members", "role")
    for account, role in own.union(of_teams).order_by():
        if account in held:
            held[account].add(role)
    return held


def role_label(role: str) -> str:
    """The role as people read it."""
    return str(load()["roles"].get(role, {}).get("label", role))
