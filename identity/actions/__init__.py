"""Verbs of identity. Each records one event; views, API and commands all call these."""

from identity.actions.factors import enrol, remove_factor
from identity.actions.roles import bind_role, unbind
from identity.actions.sign_in import (
    create_link,
    end_session,
    refuse_sign_in,
    sign_in,
    sign_out,
    step_up,
    use_link,
    welcome,
)
from identity.actions.tokens import create_token, revoke_token

__all__ = [
    "bind_role",
    "create_link",
    "create_token",
    "end_session",
    "enrol",
    "refuse_sign_in",
    "remove_factor",
    "revoke_token",
    "sign_in",
    "sign_out",
    "step_up",
    "unbind",
    "use_link",
    "welcome",
]
