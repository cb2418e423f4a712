"""Who holds which right where, and until when.

``RoleBinding`` is what people decide. ``ScopeAccountPermission`` and ``ScopeTeamPermission``
(django-guardian, direct foreign keys) are what it means permission by permission.
``EffectiveScope`` is the same flattened to (account, action, concrete scope) for fast EXISTS filters;
``identity.rights`` alone writes it.
"""

from __future__ import annotations

from collections.abc import Iterable

from django.contrib.auth.models import Permission
from django.db import models
from django.db.models import Q
from guardian.models import GroupObjectPermissionBase, UserObjectPermissionBase
from uuid_utils.compat import uuid7

from identity.models.people import Account, Team
from identity.models.scope import Scope
from portal import clock


class RoleBinding(models.Model):
    """A role for an account or a team on a scope, for ever or until ``valid_until``.

    ``grant`` names the access grant that caused it; empty for a standing binding.
    """

    id = models.UUIDField(primary_key=True, default=uuid7, editable=False)
    account = models.ForeignKey(Account, null=True, on_delete=models.CASCADE, related_name="bindings")
    team = models.ForeignKey(Team, null=True, on_delete=models.CASCADE, related_name="bindings")
    role = models.CharField(max_length=40)
    scope = models.ForeignKey(Scope, on_delete=models.PROTECT, related_name="bindings")
    valid_until = models.DateTimeField(null=True)
    grant = models.UUIDField(null=True, db_index=True)
    given_by = models.ForeignKey(Account, null=True, on_delete=models.PROTECT, related_name="+")
    created_at = models.DateTimeField(default=clock.now, editable=False)

    class Meta:
        ordering = ["role", "created_at"]
        constraints = [
            models.CheckConstraint(
                condition=Q(account__isnull=True) ^ Q(team__isnull=True), name="binding_account_or_team"
            ),
            models.UniqueConstraint(
                fields=["account", "team", "role", "scope", "grant"], name="binding_once", nulls_distinct=False
            ),
        ]

    def __str__(self) -> str:
        return f"{self.role} on {self.scope}"

    @property
    def holder(self) -> str:
        return f"Team {self.team}" if self.team_id else str(self.account)

    @property
    def origin(self) -> str:
        """What this binding comes from, for people who review it."""
        if self.grant:
            return "access grant"
        return str(self.given_by) if self.given_by_id else "set up on the server"


class ScopeAccountPermission(UserObjectPermissionBase):
    """Guardian's row: an account holds a permission on a scope, because of a binding."""

    content_object = models.ForeignKey(Scope, on_delete=models.CASCADE)
    binding = models.ForeignKey(RoleBinding, on_delete=models.CASCADE, related_name="account_permissions")
    valid_until = models.DateTimeField(null=True)
    grant = models.UUIDField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["user", "permission", "content_object", "binding"], name="scope_account_permission_once"
            )
        ]


class ScopeTeamPermission(GroupObjectPermissionBase):
    """Guardian's row: a team's group holds a permission on a scope, because of a binding."""

    content_object = models.ForeignKey(Scope, on_delete=models.CASCADE)
    binding = models.ForeignKey(RoleBinding, on_delete=models.CASCADE, related_name="team_permissions")
    valid_until = models.DateTimeField(null=True)
    grant = models.UUIDField(null=True)

    class Meta:
        constraints = [
            models.UniqueConstraint(
                fields=["group", "permission", "content_object", "binding"], name="scope_team_permission_once"
            )
        ]


class EffectiveScopeQuerySet(models.QuerySet["EffectiveScope"]):
    def live(self) -> EffectiveScopeQuerySet:
        """Only what has not ended, by the clock: an end needs no sweeper to be felt."""
        return self.filter(Q(valid_until__isnull=True) | Q(valid_until__gt=clock.now()))


class EffectiveScope(models.Model):
    """Account may do action on scope. Derived; rebuilt in the transaction that changes its sources."""

    account = models.ForeignKey(Account, on_delete=models.CASCADE, related_name="effective_scopes")
    action = models.CharField(max_length=80)
    scope = models.ForeignKey(Scope, on_delete=models.CASCADE, related_name="+")
    valid_until = models.DateTimeField(null=True)

    objects = EffectiveScopeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["account", "action", "scope"], name="effective_scope_once"),
        ]

    def __str__(self) -> str:
        return f"{self.account_id} may {self.action} on {self.scope_id}"


def permission_keys(actions: Iterable[str]) -> list[int]:
    """The keys of guardian's permissions of these actions ("incidents.acknowledge"); the missing ones are made."""
    from django.contrib.contenttypes.models import ContentType

    wanted = set(actions)
    rows = Permission.objects.filter(content_type=ContentType.objects.get_for_model(Scope), codename__in=wanted)
    known = dict(rows.order_by().values_list("codename", "pk"))
    if missing := sorted(wanted - known.keys()):
        content_type = ContentType.objects.get_for_model(Scope)
        Permission.objects.bulk_create(
            [Permission(content_type=content_type, codename=action, name=action) for action in missing],
            ignore_conflicts=True,
        )
        known |= dict(rows.order_by().values_list("codename", "pk"))
    return sorted(known.values())
