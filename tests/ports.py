"""Ports of this test process. Every worker of pytest-xdist draws from a range of its own, so that no two of them find
the same port free at the same moment. A portal with its lab, started as people start it, keeps to 8400 and 21000.
"""

from __future__ import annotations

import os
import random

from portal.embedded import ports

_FIRST, _LAST = 22000, 32000
_WORKERS = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
_WORKER = int(os.environ.get("PYTEST_XDIST_WORKER", "gw0").removeprefix("gw"))
_SPAN = (_LAST - _FIRST) // _WORKERS
LOW = _FIRST + _WORKER * _SPAN
HIGH = LOW + _SPAN
_LAB = 300
"""More than a whole lab takes from its first port on."""


def somewhere() -> int:
    """A port of this worker's own, anywhere in the first half of its range: where a search may begin."""
    return random.randrange(LOW, LOW + _SPAN // 2)


def for_a_lab() -> int:
    """Where a lab begins: in the second half, so that what is started beside it takes none of its ports."""
    return random.randrange(LOW + _SPAN // 2, HIGH - _LAB)


def free() -> int:
    """A port on which a server could listen now."""
    return ports.first_free(somewhere())
