"""Values as YAML that reads back as it was."""

from __future__ import annotations

from typing import Any

import yaml

NEXT_LINE = "\x85"


def dump(value: Any, *, Dumper: Any = yaml.SafeDumper, **style: Any) -> str:
    """``yaml.dump`` with letters of every script as they are.

    PyYAML writes the sign U+0085 raw and reads it as a space, so a text that holds one is written with escapes.
    """
    text = str(yaml.dump(value, Dumper=Dumper, allow_unicode=True, **style))
    return str(yaml.dump(value, Dumper=Dumper, **style)) if NEXT_LINE in text else text
