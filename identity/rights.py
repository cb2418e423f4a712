"""The sole writer of guardian's rows and of ``EffectiveScope``.

Called by verbs inside their transaction, whenever a binding, a membership, a scope or a role changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.db import transaction

from identity.matrix import actions_of
from identity.models import (
    Account,
    EffectiveScope,
    RoleBinding,
    Scope,
    ScopeAccountPermission,
    ScopeTeamPermission,
    Team,
)
from identity.models.rights import scope_permission
from identity.models.scope import ANY


def scope_for(environment: str = ANY, service: str = ANY) -> Scope:
    """The scope of a pair, made when it is new; rights given on wider scopes reach it at once."""
    scope, created = Scope.objects.get_or_create(environment=environment, service=service)
    if created and scope.concrete:
        _reach(scope)
    return scope


def _reach(scope: Scope) -> None:
    wider = Scope.objects.filter(environment__in=[ANY, scope.environment], service__in=[ANY, scope.service])
    bindings = RoleBinding.objects.filter(scope__in=wider)
    direct = bindings.exclude(account=None).values_list("account", flat=True)
    team = bindings.exclude(team=None).values_list("team__members", flat=True)
    rebuild([pk for pk in {*direct, *team} if pk])


def bind(
    role: str,
    scope: Scope,
    *,
    account: Account | None = None,
    team: Team | None = None,
    valid_until: datetime | None = None,
    grant: Any = None,
    given_by: Any = None,
) -> RoleBinding:
    """Give ``role`` on ``scope`` to an account or a team. Authorization and the event are the calling verb's."""
    actions = actions_of(role)
    with transaction.atomic():
        binding = RoleBinding.objects.create(
            role=role,
            scope=scope,
            account=account,
            team=team,
            valid_until=valid_until,
            grant=grant,
            given_by_id=getattr(given_by, "pk", None),
        )
        _write_guardian_rows(binding, actions)
        rebuild([account.pk] if account else team.members.values_list("pk", flat=True) if team else [])
    return binding


def unbind(binding: RoleBinding) -> None:
    """Take a binding away; what other bindings still give stays."""
    with transaction.atomic():
        touched = (
            [binding.account_id] if binding.account_id else list(binding.team.members.values_list("pk", flat=True))
        )
        binding.delete()
        rebuild(touched)


def _write_guardian_rows(binding: RoleBinding, actions: Iterable[str]) -> None:
    common = {
        "content_object": binding.scope,
        "binding": binding,
        "valid_until": binding.valid_until,
        "grant": binding.grant,
    }
    permissions = [scope_permission(action) for action in actions]
    if binding.account_id:
        ScopeAccountPermission.objects.bulk_create(
            ScopeAccountPermission(user=binding.account, permission=permission, **common) for permission in permissions
        )
    else:
        ScopeTeamPermission.objects.bulk_create(
            ScopeTeamPermission(group=binding.team.group, permission=permission, **common) for permission in permissions
        )


def join(team: Team, account: Account) -> None:
    """Make ``account`` a member; the team's rights reach it at once."""
    with transaction.atomic():
        team.members.add(account)
        account.groups.add(team.group)
        rebuild([account.pk])


def rebuild(accounts: Iterable[Any]) -> None:
    """Derive the effective scopes of these accounts anew from guardian's rows."""
    scopes = [scope for scope in Scope.objects.all() if scope.concrete]
    for pk in sorted(set(accounts), key=str):
        # The row lock orders two rebuilds of one account; without it the older answer could win.
        account = Account.objects.select_for_update().get(pk=pk)
        wanted = _derive(account, scopes)
        EffectiveScope.objects.filter(account=account).delete()
        EffectiveScope.objects.bulk_create(
            EffectiveScope(account=account, action=action, scope=scope, valid_until=until)
            for (action, scope), until in wanted.items()
        )


def _derive(account: Account, scopes: list[Scope]) -> dict[tuple[str, Scope], datetime | None]:
    direct = ScopeAccountPermission.objects.filter(user=account)
    by_team = ScopeTeamPermission.objects.filter(group__in=account.groups.all())
    wanted: dict[tuple[str, Scope], datetime | None] = {}
    for row in [*_with_scope(direct), *_with_scope(by_team)]:
        reached = scopes if row.content_object.concrete is False else [row.content_object]
        for scope in reached:
            if row.content_object.covers(scope):
                key = (row.permission.codename, scope)
                wanted[key] = _later(wanted[key], row.valid_until) if key in wanted else row.valid_until
    return wanted


def _with_scope(rows: Any) -> Any:
    return rows.select_related("permission", "content_object")


def _later(one: datetime | None, other: datetime | None) -> datetime | None:
    return None if one is None or other is None else max(one, other)
