"""The parameters that may be set while a server runs, and what their values may be.

An allow-list, because CONFIG SET can also write files, change the port or switch protection off. Each value is brought
into the form in which CONFIG GET answers it, so that "is it so already" is a comparison of texts. Source:
valkey.io/topics/valkey.conf.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Literal

from drivers.errors import InvalidInput

Name = Literal[
    "active-expire-effort",
    "appendfsync",
    "hz",
    "latency-monitor-threshold",
    "lazyfree-lazy-eviction",
    "lazyfree-lazy-expire",
    "maxclients",
    "maxmemory",
    "maxmemory-policy",
    "maxmemory-samples",
    "min-replicas-max-lag",
    "min-replicas-to-write",
    "repl-backlog-size",
    "slowlog-log-slower-than",
    "slowlog-max-len",
    "tcp-keepalive",
    "timeout",
]
POLICIES = (
    *("allkeys-lru", "allkeys-lfu", "allkeys-random"),
    *("volatile-lru", "volatile-lfu", "volatile-random", "volatile-ttl", "noeviction"),
)
_UNITS = {"": 1, "b": 1, "k": 1000, "kb": 1024, "m": 1000**2, "mb": 1024**2, "g": 1000**3, "gb": 1024**3}
_SIZE = re.compile(r"([0-9]{1,15})([a-z]{0,2})")
_WHOLE = re.compile(r"-?[0-9]{1,12}")


def _whole(low: int, high: int) -> Callable[[str], str]:
    def canonical(text: str) -> str:
        if _WHOLE.fullmatch(text) and low <= int(text) <= high:
            return str(int(text))
        raise InvalidInput(f"a whole number from {low} to {high} is needed")

    return canonical


def _size(low: int, *, or_zero: bool = False) -> Callable[[str], str]:
    def canonical(text: str) -> str:
        found = _SIZE.fullmatch(text.lower())
        if found and found[2] in _UNITS:
            size = int(found[1]) * _UNITS[found[2]]
            if low <= size <= 2**50 or (or_zero and size == 0):
                return str(size)
        raise InvalidInput(f"a size of at least {low} bytes is needed, such as 512mb or 2gb")

    return canonical


def _one_of(*choices: str) -> Callable[[str], str]:
    def canonical(text: str) -> str:
        if text in choices:
            return text
        raise InvalidInput(f"one of {', '.join(choices)} is needed")

    return canonical


SETTINGS: dict[str, Callable[[str], str]] = {
    "active-expire-effort": _whole(1, 10),
    "appendfsync": _one_of("always", "everysec", "no"),
    "hz": _whole(1, 500),
    "latency-monitor-threshold": _whole(0, 3_600_000),
    "lazyfree-lazy-eviction": _one_of("yes", "no"),
    "lazyfree-lazy-expire": _one_of("yes", "no"),
    "maxclients": _whole(32, 1_000_000),
    "maxmemory": _size(1024**2, or_zero=True),
    "maxmemory-policy": _one_of(*POLICIES),
    "maxmemory-samples": _whole(1, 64),
    "min-replicas-max-lag": _whole(0, 3600),
    "min-replicas-to-write": _whole(0, 16),
    "repl-backlog-size": _size(16 * 1024),
    "slowlog-log-slower-than": _whole(-1, 3_600_000_000),
    "slowlog-max-len": _whole(0, 1_000_000),
    "tcp-keepalive": _whole(0, 86_400),
    "timeout": _whole(0, 86_400),
}


def canonical(name: str, value: str) -> str:
    """`value` as CONFIG GET would answer it (`512mb` becomes `536870912`); `InvalidInput` when it is none."""
    try:
        return SETTINGS[name](value)
    except InvalidInput as error:
        raise InvalidInput(f"{name}: {error}") from None
