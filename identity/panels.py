"""Where identity shows up in the navigation and in the search."""

from typing import Any

from django.db.models import QuerySet

from identity.models import Account, Team
from identity.scoping import for_who_holds
from portal import search, ui

ui.nav("Accounts", "account-list", icon="user", order=80, action="identity.view", section="People")
ui.nav("Teams", "team-list", icon="users", order=81, action="identity.view", section="People")
ui.nav("Roles", "rolebinding-list", icon="id-badge-2", order=82, action="identity.view", section="People")


def _accounts(reader: Any) -> QuerySet[Account]:
    return for_who_holds(Account.objects.all(), reader, "identity.view")


search.source(
    "person", "People", icon="user", listed="account-list", words="person__name", title="person__name",
    detail="username", key="username", order="username", place=70, exact=("username",),
    rows=lambda reader: _accounts(reader).filter(kind=Account.Kind.HUMAN),
)  # fmt: skip
search.source(
    "service-account", "Service accounts", icon="robot", listed="account-list", title="username", key="username",
    order="username", place=71, rows=lambda reader: _accounts(reader).filter(kind=Account.Kind.SERVICE),
)  # fmt: skip
search.source(
    "team", "Teams", icon="users", listed="team-list", detail="slug", exact=("slug",), place=72,
    rows=lambda reader: for_who_holds(Team.objects.all(), reader, "identity.view"),
)  # fmt: skip
