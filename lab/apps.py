"""The seven services of a cell under PM2, each in slot a at first and with slot b free."""

from __future__ import annotations

import json
from typing import Any

from drivers import web
from drivers.errors import DriverError
from drivers.nginx.generations import Store
from drivers.pm2 import Process
from lab import broken, files, ports, releases
from lab.layout import FIRST_VERSION, SERVICES, SLOTS, Cell, Lab
from lab.processes import Pm2Daemon, definition
from lab.unit import BROKEN, DOWN, UP, Row, Unit, require


class Apps(Unit):
    """PM2 and its applications in one cell, keys `<env>/<dc>/pm2` and `<env>/<dc>/<service>`."""

    def __init__(self, lab: Lab, cell: Cell, numbers: dict[str, int]) -> None:
        super().__init__(lab, f"{cell.key}/pm2", {cell.environment})
        self.cell = cell
        self.faults = lab.of(cell.key) / "faults.json"
        self.tree = Store(lab.of(cell.key) / "nginx")
        self.slots = {
            service: {letter: numbers[ports.slot(cell, service, letter)] for letter in SLOTS} for service in SERVICES
        }
        wanted = {
            service: definition(
                cell,
                service,
                "a",
                lab.releases(cell.key, service) / FIRST_VERSION,
                self.slots[service]["a"],
            )
            for service in SERVICES
        }
        every_port = {port for pair in self.slots.values() for port in pair.values()}
        self.daemon = Pm2Daemon(lab, cell, wanted, every_port)
        self.stages = [[self.daemon]]

    def up(self, owner: str, seconds: float, skip: Any = ()) -> str:
        releases.lay_out(self.lab, self.cell)
        return super().up(owner, seconds, skip)

    def finish(self, seconds: float) -> None:
        """Ready when every service answers on the port of one of its slots."""
        for service in SERVICES:
            require(bool(self.versions(service)), f"{self.cell.key}/{service} does not answer")

    def versions(self, service: str) -> dict[str, str]:
        """The version that answers in each slot; a slot that does not answer is left out."""
        found = {}
        for letter, port in self.slots[service].items():
            try:
                answer = web.get(f"http://127.0.0.1:{port}/version", seconds=3.0)
                found[letter] = str(json.loads(answer.body)["version"])
            except (DriverError, ValueError, KeyError):
                continue
        return found

    def connections(self) -> dict[str, dict[str, Any]]:
        key = self.cell.key
        apps = {
            f"{key}/{service}": {
                "driver": "app",
                "pm2": f"{key}/pm2",
                "nginx": f"{key}/nginx",
                "service": service,
                "upstream": f"edye_{service}",
                "slots": {letter: {"process": f"{service}-{letter}", "port": port} for letter, port in pair.items()},
                "instances": self.cell.instances(service),
                "releases": str(self.lab.releases(key, service)),
                "path": f"/{service}/",
            }
            for service, pair in self.slots.items()
        }
        return {self.daemon.name: dict(self.daemon.facts), **apps}

    def rows(self) -> list[Row]:
        key = self.daemon.name
        rows = [self.probe(key, "pm2", str(self.daemon.home), self.daemon, broken.daemons(self.lab))]
        faults = files.read_json(self.faults, {})
        try:
            processes = self.daemon.driver.processes()
        except DriverError:
            processes = []
        return rows + [self._row(service, processes, faults.get(service)) for service in SERVICES]

    def _row(self, service: str, processes: list[Process], fault: dict[str, Any] | None) -> Row:
        pair = self.slots[service]
        versions = self.versions(service)
        parts = [
            f"{versions[letter]} in slot {letter}"
            f" ({sum(one.online for one in processes if one.name == f'{service}-{letter}')} workers)"
            for letter in versions
        ]
        # Judged by the slots that carry traffic: the other one may be empty.
        silent = sorted({one.slot for one in self.tree.members().get(service, []) if one.weight} - set(versions))
        parts += [f"slot {letter} carries traffic and does not answer" for letter in silent]
        state = UP if versions and not silent else DOWN
        if fault:
            state = BROKEN
            parts += [f"{name.replace('_', ' ')} {fault[name]}" for name in ("error_rate", "delay_ms") if fault[name]]
        address = " ".join(f"{letter}=127.0.0.1:{port}" for letter, port in pair.items())
        return Row(f"{self.cell.key}/{service}", "app", address, state, ", ".join(parts) or "no slot answers")
