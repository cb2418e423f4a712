"""What one account may do on many scopes, asked once: for verbs that touch many rows."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import OuterRef, Q

from identity.models import Account, EffectiveScope, Scope, ScopeAccountPermission, ScopeTeamPermission
from identity.models.scope import ANY
from portal import clock

Pair = tuple[str, str]


@dataclass
class Standing:
    """The actions held on each scope. ``names``: scope → what people call it."""

    held: dict[Any, set[str]] = field(default_factory=dict)
    names: dict[Any, str] = field(default_factory=dict)
    pairs: dict[Pair, Any] = field(default_factory=dict)
    wide: list[tuple[str, str, str]] = field(default_factory=list)

    def on(self, scope: Any, action: str) -> bool:
        """Whether ``action`` is held on a scope that was asked for by its key."""
        return action in self.held.get(scope, ())

    def at(self, pair: Pair, action: str) -> bool:
        """The same by environment and service, also where no scope was made yet."""
        if pair in self.pairs:
            return self.on(self.pairs[pair], action)
        return any(
            held == action and environment in (ANY, pair[0]) and service in (ANY, pair[1])
            for held, environment, service in self.wide
        )


def standing(account: Account, actions: Iterable[str], *, ids: set[Any], pairs: set[Pair]) -> Standing:
    """What ``account`` holds of ``actions`` on these scopes: one query, and one more when a pair has no scope yet."""
    wanted = list(actions)
    environments, services = {pair[0] for pair in pairs}, {pair[1] for pair in pairs}
    here = Q(pk__in=ids) | (Q(environment__in=environments, service__in=services) if pairs else Q())
    live = EffectiveScope.objects.live().filter(account=account.pk, action__in=wanted, scope=OuterRef("pk"))
    rows = Scope.objects.filter(here).annotate(held=ArraySubquery(live.values("action")))
    found = Standing()
    for scope in rows if ids or pairs else ():
        found.names[scope.pk] = str(scope)
        found.pairs[scope.environment, scope.service] = scope.pk
        found.held[scope.pk] = set(scope.held)
    if pairs - found.pairs.keys():
        found.wide = _wide(account, wanted)
    return found


def _wide(account: Account, actions: list[str]) -> list[tuple[str, str, str]]:
    live = Q(valid_until=None) | Q(valid_until__gt=clock.now())
    columns = ("permission__codename", "content_object__environment", "content_object__service")
    direct = ScopeAccountPermission.objects.filter(live, user=account, permission__codename__in=actions)
    team = ScopeTeamPermission.objects.filter(live, group__user=account, permission__codename__in=actions)
    return list(direct.values_list(*columns).union(team.values_list(*columns)))
