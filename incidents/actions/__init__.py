"""Every verb of the app. Only these functions change an incident's state or append its events."""

from incidents.actions.ending import cancel, close, finish, improve, merge, write_post_mortem
from incidents.actions.oncall import override
from incidents.actions.opening import classify, open, reclassify
from incidents.actions.working import (
    acknowledge,
    comment,
    escalate,
    investigate,
    mitigate,
    regress,
    resolve,
    retry_mitigation,
    take_command,
)

__all__ = [
    "acknowledge",
    "cancel",
    "classify",
    "close",
    "comment",
    "escalate",
    "finish",
    "improve",
    "investigate",
    "merge",
    "mitigate",
    "open",
    "override",
    "reclassify",
    "regress",
    "resolve",
    "retry_mitigation",
    "take_command",
    "write_post_mortem",
]
