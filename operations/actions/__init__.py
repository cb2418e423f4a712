"""Verbs of operations. People's: request, confirm, approve, cancel, stop, retry, settle. The engine's: the others."""

from operations.actions.asking import approve, cancel, confirm, request
from operations.actions.running import (
    FREE,
    fail,
    finish,
    retry,
    settle,
    start,
    stick,
    stop,
    undo,
)

__all__ = [
    "FREE",
    "approve",
    "cancel",
    "confirm",
    "fail",
    "finish",
    "request",
    "retry",
    "settle",
    "start",
    "stick",
    "stop",
    "undo",
]
