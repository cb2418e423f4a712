"""Where identity shows up in the navigation."""

from portal import ui

ui.nav("Accounts", "account-list", icon="user", order=80, action="identity.view", section="People")
ui.nav("Teams", "team-list", icon="users", order=81, action="identity.view", section="People")
ui.nav("Roles", "rolebinding-list", icon="id-badge-2", order=82, action="identity.view", section="People")
