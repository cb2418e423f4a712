"""Ports: remembered between starts, below the range of outgoing connections, probed before use."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable

from lab import files
from lab.errors import LabError
from lab.layout import CELLS, SERVICES, SLOTS, Cell, Lab

BASE = 21000
LIMIT = 32768  # from here on Linux gives ports to outgoing connections

OBJECTS = ("master", "master-grpc", "volume", "volume-grpc", "filer", "filer-grpc", "s3", "s3-grpc")
CACHES = ("production/us-central/cache", "production/us-east/cache", "staging/us-central/cache")
SENTINELS = tuple(f"production/us-central/sentinel-{number}" for number in (1, 2, 3))
DATABASES = ("production/us-central/database", "production/us-east/database")


def slot(cell: Cell, service: str, letter: str) -> str:
    """The name under which the port of one slot of a service is remembered."""
    return f"{cell.key}/{service}-{letter}"


def names() -> list[str]:
    """Every port of the whole lab, in a fixed order, whatever part of it is started."""
    found = [f"{cell.key}/nginx" for cell in CELLS]
    found += [slot(cell, service, letter) for cell in CELLS for service in SERVICES for letter in SLOTS]
    return [*found, *CACHES, *SENTINELS, *(f"objects/{part}" for part in OBJECTS), *DATABASES]


def is_free(port: int) -> bool:
    """Whether a server could listen on 127.0.0.1:`port` now."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        # Without it a port whose connections are still in TIME_WAIT would look taken.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return False
        return True


def choose(wanted: Iterable[str], remembered: dict[str, int], ours: Collection[str], base: int) -> dict[str, int]:
    """A port for each name: the remembered one when it is free or one of `ours` holds it, else the next free one.

    Raises `LabError` when there is none left below `LIMIT`.
    """
    wanted = list(wanted)
    chosen = {
        name: remembered[name]
        for name in wanted
        if name in remembered and base <= remembered[name] < LIMIT and (name in ours or is_free(remembered[name]))
    }
    taken = set(chosen.values())
    candidate = base
    for name in wanted:
        if name in chosen:
            continue
        while candidate < LIMIT and (candidate in taken or not is_free(candidate)):
            candidate += 1
        if candidate >= LIMIT:
            raise LabError(f"no free port between {base} and {LIMIT - 1} for {name}")
        chosen[name] = candidate
        taken.add(candidate)
    return chosen


def allocate(lab: Lab, ours: Collection[str] = (), base: int = BASE) -> dict[str, int]:
    """The ports of the lab by name, remembered in `ports.json`; `ours` are the names that its own daemons listen on."""
    if not 1024 <= base < LIMIT:
        raise LabError(f"the first port must lie between 1024 and {LIMIT - 1}, not {base}")
    with files.locked(lab.root / ".ports.lock"):
        remembered = files.read_json(lab.ports, {})
        chosen = choose(names(), remembered, ours, base)
        if chosen != remembered:
            files.write_json(lab.ports, chosen)
    return chosen


def known(lab: Lab) -> dict[str, int]:
    """The ports chosen at the last start; `LabError` when there was none."""
    found = files.read_json(lab.ports, {})
    if set(names()) - set(found):
        raise LabError("the lab has not been started yet: run `manage.py lab up`")
    return found
