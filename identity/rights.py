"""The sole writer of guardian's rows and of ``EffectiveScope``.

Called by verbs inside their transaction, whenever a binding, a membership, a scope or a role changes.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from django.contrib.postgres.aggregates import ArrayAgg
from django.db import connection, transaction
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
from identity.models.rights import permission_keys
from identity.models.scope import ANY
from portal import clock
from portal.errors import Invalid


def scope_for(environment: str = ANY, service: str = ANY) -> Scope:
    """The scope of a pair, made when it is new; rights given on wider scopes reach it at once."""
    scope, created = Scope.objects.get_or_create(environment=environment, service=service)
    if created and scope.concrete:
        _reach(scope)
    return scope


def scopes_for(pairs: Iterable[tuple[str, str]]) -> dict[tuple[str, str], Scope]:
    """The scopes of many pairs, made where they are new: one query, and few more whatever the number of new ones."""
    wanted = set(pairs)
    found = _scopes_at(wanted)
    if missing := sorted(wanted - found.keys()):
        made = [Scope(environment=environment, service=service) for environment, service in missing]
        Scope.objects.bulk_create(made, ignore_conflicts=True)
        found = _scopes_at(wanted)
        _reach(*(found[pair] for pair in missing if found[pair].concrete))
    return found


def _scopes_at(pairs: set[tuple[str, str]]) -> dict[tuple[str, str], Scope]:
    environments, services = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    rows = Scope.objects.filter(environment__in=environments, service__in=services)
    return {(row.environment, row.service): row for row in rows if (row.environment, row.service) in pairs}


def _reach(*scopes: Scope) -> None:
    environments, services = ({ANY, *(getattr(scope, name) for scope in scopes)} for name in ("environment", "service"))
    bindings = RoleBinding.objects.filter(scope__environment__in=environments, scope__service__in=services)
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
    """One statement, whatever the number of actions: the largest roles hold dozens."""
    model: type[ScopeAccountPermission | ScopeTeamPermission]
    holder: Any  # the key of an account or of a group
    if binding.account_id:
        model, column, holder = ScopeAccountPermission, "user_id", binding.account_id
    elif binding.team is not None:
        model, column, holder = ScopeTeamPermission, "group_id", binding.team.group_id
    else:
        return
    values = {
        "scope": binding.scope_id,
        "binding": binding.pk,
        "holder": holder,
        "until": binding.valid_until,
        "grant": binding.grant,
        "permissions": permission_keys(actions),
    }
    with connection.cursor() as cursor:
        cursor.execute(_GIVE.format(table=model._meta.db_table, holder=column), values)


# The names of table and column are this module's own, never input.
_GIVE = """
    INSERT INTO {table} (content_object_id, binding_id, {holder}, valid_until, "grant", permission_id)
    SELECT %(scope)s, %(binding)s, %(holder)s, %(until)s::timestamptz, %(grant)s::uuid, permission
      FROM unnest(%(permissions)s::integer[]) permission
"""


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
    """Derive the effective scopes of these accounts (their keys) anew from guardian's rows: three statements in all."""
    keys = sorted(set(accounts), key=str)
    # The row locks order two rebuilds of one account; without them the older answer could win.
    list(Account.objects.select_for_update().filter(pk__in=keys).order_by("pk").values_list("pk"))
    EffectiveScope.objects.filter(account__in=keys).delete()
    with connection.cursor() as cursor:
        cursor.execute(_DERIVE, {"accounts": keys, "any": ANY})


# One statement, because a scope that is added may reach thousands of accounts. The latest end wins, and none is latest.
_DERIVE = """
    INSERT INTO identity_effectivescope (account_id, action, scope_id, valid_until)
    SELECT held.account_id, held.action, reached.id,
           CASE WHEN bool_and(held.valid_until IS NOT NULL) THEN max(held.valid_until) END
      FROM (SELECT direct.user_id AS account_id, permission.codename AS action, direct.content_object_id, valid_until
              FROM identity_scopeaccountpermission direct
              JOIN auth_permission permission ON permission.id = direct.permission_id
             WHERE direct.user_id = ANY(%(accounts)s)
             UNION ALL
            SELECT member.account_id, permission.codename, team.content_object_id, valid_until
              FROM identity_scopeteampermission team
              JOIN identity_account_groups member ON member.group_id = team.group_id
              JOIN auth_permission permission ON permission.id = team.permission_id
             WHERE member.account_id = ANY(%(accounts)s)) held
      JOIN identity_scope given ON given.id = held.content_object_id
      JOIN identity_scope reached
        ON given.environment IN (%(any)s, reached.environment) AND given.service IN (%(any)s, reached.service)
     WHERE reached.environment <> %(any)s AND reached.service <> %(any)s
     GROUP BY held.account_id, held.action, reached.id
"""
