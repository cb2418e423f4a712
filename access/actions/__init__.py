"""Verbs of temporary access."""

from access.actions.deciding import approve, cancel, deny, lapse
from access.actions.granting import expire, give_back, revoke, start
from access.actions.requesting import extend, request_access

__all__ = [
    "approve",
    "cancel",
    "deny",
    "expire",
    "extend",
    "give_back",
    "lapse",
    "request_access",
    "revoke",
    "start",
]
