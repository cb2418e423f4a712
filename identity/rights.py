"""The sole writer of guardian's rows and of ``EffectiveScope``.

Called by verbs inside their transaction, whenever a binding, a membership, a scope or a role changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db import transaction
from django.db.models import Q

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
from identity.models.rights import scope_permissions
from identity.models.scope import ANY
from portal import clock
from portal.errors import Invalid


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
        touched = _holders(binding)
        binding.delete()
        rebuild(touched)


def _write_guardian_rows(binding: RoleBinding, actions: Iterable[str]) -> None:
    common = {
        "content_object": binding.scope,
        "binding": binding,
        "valid_until": binding.valid_until,
        "grant": binding.grant,
    }
    permissions = scope_permissions(actions)
    if binding.account_id:
        ScopeAccountPermission.objects.bulk_create(
            ScopeAccountPermission(user=binding.account, permission=permission, **common) for permission in permissions
        )
    elif binding.team is not None:
        group = binding.team.group
        ScopeTeamPermission.objects.bulk_create(
            ScopeTeamPermission(group=group, permission=permission, **common) for permission in permissions
        )


def holds_widely(account: Account, action: str, scope: Scope) -> bool:
    """Whether ``account`` holds ``action`` on the whole of a wildcard scope, scopes added later included."""
    wider = {
        "content_object__environment__in": {ANY, scope.environment},
        "content_object__service__in": {ANY, scope.service},
        "permission__codename": action,
    }
    live = Q(valid_until=None) | Q(valid_until__gt=clock.now())
    direct = ScopeAccountPermission.objects.filter(live, user=account, **wider)
    by_team = ScopeTeamPermission.objects.filter(live, group__user=account, **wider)
    return direct.exists() or by_team.exists()


def sync_roles() -> int:
    """Make every binding mean what its role means today; returns how many bindings were rewritten.

    Called after migrations: an action added to a role in the matrix, or taken from it, reaches everybody bound to it.
    Two queries when nothing changed.
    """
    changed: list[RoleBinding] = []
    with transaction.atomic():
        for holder in ("account", "team"):
            codename = f"{holder}_permissions__permission__codename"
            held = ArrayAgg(codename, distinct=True, default=[], filter=Q(**{f"{codename}__isnull": False}))
            rows = RoleBinding.objects.exclude(**{holder: None}).annotate(held=held)
            changed += [row for row in rows if set(row.held) != set(_declared(row.role))]
        for binding in changed:
            binding.account_permissions.all().delete()
            binding.team_permissions.all().delete()
            _write_guardian_rows(binding, _declared(binding.role))
        if changed:
            rebuild({pk for binding in changed for pk in _holders(binding)})
    return len(changed)


def _declared(role: str) -> list[str]:
    """A role that the matrix no longer knows gives nothing."""
    try:
        return actions_of(role)
    except Invalid:
        return []


def _holders(binding: RoleBinding) -> list[Any]:
    if binding.account_id:
        return [binding.account_id]
    assert binding.team is not None
    return list(binding.team.members.values_list("pk", flat=True))


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
