"""How readings are written for people."""

from __future__ import annotations

import json
from typing import Any

from django import template
from django.template.defaultfilters import filesizeformat

register = template.Library()
_UNITS = ("bytes", "seconds", "percent", "ratio")
_INITIALS = ("cpu", "tls", "ttl")


@register.filter
def readable(name: str) -> str:
    """``memory_bytes`` as “Memory”: the unit stands beside the value."""
    words = name.split("_")
    if len(words) > 1 and words[-1] in _UNITS:
        words.pop()
    text = " ".join(words)
    return text.upper() if text in _INITIALS else text.capitalize()


@register.filter
def measure(value: float, name: str) -> str:
    """A reading with the unit that its name ends in."""
    unit = name.rpartition("_")[2]
    if unit == "bytes":
        return filesizeformat(value)
    if unit == "ratio":
        return f"{value:.1%}"
    if unit == "percent":
        return f"{value:.1f} %"
    if unit == "seconds":
        return _duration(value)
    return f"{value:,.0f}" if value == int(value) else f"{value:,.2f}"


def _duration(seconds: float) -> str:
    if abs(seconds) < 1:
        return f"{seconds * 1000:.1f} ms"
    for size, name in ((86400, "d"), (3600, "h"), (60, "min")):
        if abs(seconds) >= size:
            return f"{seconds / size:.1f} {name}"
    return f"{seconds:.0f} s"


@register.filter
def pretty(facts: Any) -> str:
    """Facts as indented JSON."""
    return json.dumps(facts, indent=2, ensure_ascii=False)
