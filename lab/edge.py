"""The edge of a cell: one nginx, laid out and read through the portal's own driver."""

from __future__ import annotations

from typing import Any

from drivers.nginx import Nginx, lay_out
from drivers.secret import SecretStore
from lab import broken, ports, programs
from lab.daemon import Daemon
from lab.layout import SERVICES, SLOTS, Cell, Lab
from lab.unit import Row, Unit, require


class Edge(Unit):
    """nginx of one cell, key `<env>/<dc>/nginx`."""

    def __init__(self, lab: Lab, cell: Cell, numbers: dict[str, int]) -> None:
        super().__init__(lab, f"{cell.key}/nginx", {cell.environment})
        self.port = numbers[self.name]
        self.slots = {
            service: {letter: numbers[ports.slot(cell, service, letter)] for letter in SLOTS} for service in SERVICES
        }
        self.prefix = lab.of(cell.key) / "nginx"
        self.binary = programs.nginx()
        self.facts: dict[str, Any] = {
            "driver": "nginx",
            "prefix": str(self.prefix),
            "binary": str(self.binary),
            "url": f"http://127.0.0.1:{self.port}",
            "access_log": str(self.prefix / "logs" / "access.json"),
            "fragments": ["headers"],
        }
        self.driver = Nginx(self.facts, SecretStore())
        self.daemon = Daemon(lab, self.name, self.driver.command(), self.check, prepare=self.prepare, grace=3)
        self.stages = [[self.daemon]]

    def prepare(self) -> None:
        """Write the tree; the weights of an earlier run are kept."""
        lay_out(self.prefix, self.binary, self.port, self.slots)

    def check(self) -> str:
        """Ready when the serving port answers with the generation that is on disk."""
        served, on_disk = self.driver.served_generation(), self.driver.generation()
        require(served == on_disk, f"serves generation {served}, on disk is {on_disk}")
        return f"generation {served}"

    def connections(self) -> dict[str, dict[str, Any]]:
        return {self.name: self.facts}

    def rows(self) -> list[Row]:
        return [self.probe(self.name, "nginx", self.facts["url"], self.daemon, broken.daemons(self.lab))]
