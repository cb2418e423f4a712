"""Django's own authorisation question, answered from effective scopes."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.backends import ModelBackend
from django.db.models import QuerySet
from django.http import HttpRequest

from identity import rights
from identity.models import Account, EffectiveScope, Scope
from portal.prepared import prepared


@prepared
def _account(pk: Any) -> QuerySet[Account]:
    return Account.objects.filter(pk=pk)


def _held(account: Any, scope: Any) -> QuerySet[EffectiveScope]:
    held = EffectiveScope.objects.live().filter(account=account.pk)
    return held if scope is None else held.filter(scope=scope)


@prepared
def _holding(account: Any, action: str, scope: Any) -> QuerySet[EffectiveScope, Any]:
    return _held(account, scope).filter(action=action).values_list("pk", flat=True)[:1]


@prepared
def _actions(account: Any, scope: Any) -> QuerySet[EffectiveScope, Any]:
    return _held(account, scope).values_list("action", flat=True).distinct()


class ScopeBackend(ModelBackend):
    """Password sign-in of the embedded default, and ``user.has_perm("incidents.acknowledge", incident)``.

    With an object: is the action held on the object's scope now? Without one: is it held anywhere?
    An object without ``scope_id`` (a scope of its own is passed as it is) counts as "anywhere". A scope that
    is no row, or stands for several, asks whether the right was given on all of it.
    """

    def authenticate(
        self, request: HttpRequest | None, username: str | None = None, password: str | None = None, **kwargs: Any
    ) -> Any:
        """A person with the right password. Service accounts have tokens and never sign in."""
        account = super().authenticate(request, username=username, password=password, **kwargs)
        return account if account is not None and account.kind == Account.Kind.HUMAN else None

    def get_user(self, user_id: Any) -> Any:
        account = next(iter(_account(user_id)), None)
        return account if account is not None and self.user_can_authenticate(account) else None

    def has_perm(self, user_obj: Any, perm: str, obj: Any = None) -> bool:
        if not isinstance(user_obj, Account) or not user_obj.is_active:
            return False
        if isinstance(obj, Scope) and (obj._state.adding or not obj.concrete):
            return rights.holds_widely(user_obj, perm, obj)
        return bool(_holding(user_obj, perm, obj.pk if isinstance(obj, Scope) else getattr(obj, "scope_id", None)))

    def has_module_perms(self, user_obj: Any, app_label: str) -> bool:
        return False

    def get_all_permissions(self, user_obj: Any, obj: Any = None) -> set[str]:
        if not isinstance(user_obj, Account) or not user_obj.is_active:
            return set()
        return set(_actions(user_obj, getattr(obj, "scope_id", None)))
