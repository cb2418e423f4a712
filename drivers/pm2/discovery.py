"""What runs under one PM2: a thing for each name, however many processes it has."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from drivers.discovery import Listing, Relation, Thing, listing, tcp
from drivers.pm2.processes import Process

if TYPE_CHECKING:
    from drivers.pm2.reading import Reader


def discover(driver: Reader) -> list[Listing]:
    """The process manager and its processes by name. Numbers and process ids change at each start, names do not."""
    by_name: defaultdict[str, list[Process]] = defaultdict(list)
    for process in driver.processes():
        by_name[process.name].append(process)
    online = sum(process.online for found in by_name.values() for process in found)
    fields = {"software": "PM2", "version": driver.version(), "processes": online or None}
    manager = Thing("process_manager", "PM2", fields=fields)
    return [listing("processes", [manager, *(_application(name, found) for name, found in sorted(by_name.items()))])]


def _application(name: str, found: list[Process]) -> Thing:
    versions = {process.version for process in found if process.online}
    fields = {
        "version": versions.pop() if len(versions) == 1 else None,
        "processes": sum(process.online for process in found),
        "manager": "pm2",
        "state": ", ".join(sorted({process.status for process in found})),
    }
    ports = sorted({process.port for process in found if process.port})
    places = tuple(tcp("127.0.0.1", port) for port in ports)
    return Thing("app", name, f"process/{name}", fields, addresses=places, relations=(Relation("runs_on", "#"),))
