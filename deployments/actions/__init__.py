"""The verbs of deployments, one module a noun."""

from deployments.actions.artifacts import announce
from deployments.actions.deployments import (
    approve,
    back_out,
    cancel,
    enqueue,
    escalate,
    reject,
    request,
    roll_back,
    settle,
    start,
    submit,
    succeed,
    supersede,
    withdraw,
)

__all__ = [
    "announce",
    "approve",
    "back_out",
    "cancel",
    "enqueue",
    "escalate",
    "reject",
    "request",
    "roll_back",
    "settle",
    "start",
    "submit",
    "succeed",
    "supersede",
    "withdraw",
]
