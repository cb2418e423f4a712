"""What a decision on access looks at."""

from __future__ import annotations

from typing import Any

from access.models import Grant
from identity.matrix import actions_of
from identity.models import Account, EffectiveScope, Scope
from inventory.models import Component, Environment, Service
from portal.errors import Denied


def holds(account: Account, role: str, scope: Scope) -> bool:
    """Whether ``account`` can do there now all that ``role`` would let it do."""
    held = EffectiveScope.objects.live().filter(account=account, scope=scope).values_list("action", flat=True)
    return set(actions_of(role)) <= set(held)


def exists(scope: Scope) -> bool:
    """Whether the service runs in the environment at all."""
    return scope.concrete and Component.objects.filter(scope=scope).exists()


def choices(account: Any) -> dict[str, list[tuple[str, str]]]:
    """The environments and services on which ``account`` may ask for access."""
    return {
        "environment": [(row.slug, row.name) for row in Environment.objects.visible_to(account, "access.request")],
        "service": [(row.slug, row.name) for row in Service.objects.visible_to(account, "access.request")],
    }


def on_service(slug: str, reader: Any) -> Any:
    """Open grants on a service in every environment, as far as ``reader`` may see them, the ones ending first first."""
    return (
        Grant.objects.visible_to(reader)
        .open()
        .filter(scope__service=slug)
        .select_related("account__person", "scope")
        .order_by("ends_at")
    )


def scope_named(environment: str, service: str) -> Scope:
    """The concrete scope of these slugs. An unknown one is refused in the words of one where nothing may be asked."""
    scope = Scope.objects.filter(environment=environment, service=service).first()
    if scope is None or not scope.concrete:
        raise Denied("You do not hold the right “access.request” here.")
    return scope
