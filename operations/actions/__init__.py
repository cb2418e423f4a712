"""Verbs of operations. People's: request, confirm, approve, cancel, stop, retry, settle. The engine's: the others."""

from operations.actions.asking import approve, cancel, confirm, request
from operations.actions.queueing import expedite, override
from operations.actions.running import (
    FREE,
    HeldUp,
    fail,
    finish,
    halt,
    pause,
    proceed,
    resume,
    retry,
    settle,
    start,
    stick,
    stop,
    undo,
)
from operations.actions.schedules import reactivate, retire, schedule, suspend
from operations.actions.windows import declare, lift

__all__ = [
    "FREE",
    "HeldUp",
    "approve",
    "cancel",
    "confirm",
    "declare",
    "expedite",
    "fail",
    "finish",
    "halt",
    "lift",
    "override",
    "pause",
    "proceed",
    "reactivate",
    "request",
    "resume",
    "retire",
    "retry",
    "schedule",
    "settle",
    "start",
    "stick",
    "stop",
    "suspend",
    "undo",
]
