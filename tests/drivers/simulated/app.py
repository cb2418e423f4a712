"""A service in two slots without processes: the drivers' own code over a PM2 and an nginx that exist only in memory."""

from __future__ import annotations

import json
from typing import Any

from drivers.acts import Act
from drivers.app import App
from drivers.errors import TransientError
from drivers.nginx import Nginx
from drivers.pm2 import Pm2
from drivers.secret import SecretStore
from drivers.web import Answer
from tests.drivers.contract import World
from tests.drivers.simulated.nginx import PORTS, NginxWorld, folder
from tests.drivers.simulated.pm2 import Pm2World

EXAMPLES: dict[str, dict[str, Any]] = {
    "reload": {"slot": "a"},
    "return-to-slot": {"slot": "b"},
    "shift": {"a": 75, "b": 25},
    "start-slot": {"slot": "b", "version": "1.1.0"},
    "stop-slot": {"slot": "b"},
}


class ServiceWorld(World):
    """What both worlds of a service share: slot a has 1.0.0 and all the traffic, slot b has 1.0.0 or nothing."""

    driver_class = App
    examples = EXAMPLES

    def picture(self) -> Any:
        app: Any = self.driver()
        workers = {slot: [(one.version, one.pid, one.status) for one in app.workers(slot)] for slot in "ab"}
        return {"workers": workers, "weights": app.weights(), "generation": app.nginx.served_generation()}

    def clean(self, before: Any, act: Act[Any, Any]) -> bool:
        return _without_numbers(self.picture()) == _without_numbers(before)

    def prepare(self, act: Act[Any, Any]) -> None:
        app: Any = self.driver()
        app.start_slot("a", "1.0.0")
        app.shift({"a": 100, "b": 0}, "prepare")
        if act.name != "reload":
            app.start_slot("b", "1.0.0")


def _without_numbers(seen: Any) -> Any:
    workers = {slot: [(version, status) for version, _, status in found] for slot, found in seen["workers"].items()}
    return {"workers": workers, "weights": seen["weights"]}


class AppWorld(ServiceWorld):
    def __init__(self) -> None:
        self.edge, self.processes = NginxWorld(), Pm2World()
        self.processes.daemon.listed.clear()
        self.releases = folder(self)
        for version in ("1.0.0", "1.1.0"):
            (self.releases / version).mkdir()
            (self.releases / version / "server.js").touch()
        self.edge.host.answers = self.answer
        self.edge.host.open = lambda port: any(one["pid"] for one in self._on(port))
        self.driver().start_slot("a", "1.0.0")

    def _on(self, port: int) -> list[dict[str, Any]]:
        return [one for one in self.processes.daemon.listed.values() if one["pm2_env"]["PORT"] == str(port)]

    def answer(self, port: int, path: str) -> Answer:
        running = [one for one in self._on(port) if one["pid"]]
        if not running:
            raise TransientError(f"port {port} does not answer: connection refused")
        return Answer(200, {}, json.dumps({"version": running[0]["pm2_env"]["VERSION"]}), 0.001)

    def driver(self) -> App:
        return self._over(self.processes.driver(), self.edge.driver())

    def unreachable(self) -> App:
        return self._over(self.processes.unreachable(), self.edge.unreachable())

    def _over(self, pm2: Pm2, nginx: Nginx) -> App:
        slots = {slot: {"process": f"api-{slot}", "port": port} for slot, port in PORTS["api"].items()}
        facts = {"driver": "app", "service": "api", "slots": slots, "instances": 2, "releases": str(self.releases)}
        app = App({**facts, "pm2": "p", "nginx": "n"}, SecretStore(), {"pm2": pm2, "nginx": nginx})
        app.health_seconds = 0.2
        return app


SIMULATED = {"app": AppWorld}
