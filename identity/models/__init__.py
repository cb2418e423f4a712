"""People, how they sign in, and what they may do where."""

from identity.models.people import Account, Membership, Person, Team
from identity.models.requests import AnsweredRequest
from identity.models.rights import EffectiveScope, RoleBinding, ScopeAccountPermission, ScopeTeamPermission
from identity.models.scope import Scope
from identity.models.sign_in import FailedSignIns, Session, SignInLink
from identity.models.tokens import ApiToken

__all__ = [
    "Account",
    "AnsweredRequest",
    "ApiToken",
    "EffectiveScope",
    "FailedSignIns",
    "Membership",
    "Person",
    "RoleBinding",
    "Scope",
    "ScopeAccountPermission",
    "ScopeTeamPermission",
    "Session",
    "SignInLink",
    "Team",
]
