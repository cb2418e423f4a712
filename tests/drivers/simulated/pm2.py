"""A PM2 without processes: the driver's own code over a daemon that exists only in memory."""

from __future__ import annotations

import itertools
import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from drivers.acts import Act
from drivers.errors import PermanentError, TransientError
from drivers.pm2 import Pm2
from drivers.secret import SecretStore
from tests.drivers.contract import World
from tests.drivers.simulated.nginx import folder

EXAMPLES: dict[str, dict[str, Any]] = {
    "reload": {"process": "api-a"},
    "scale": {"process": "api-a", "instances": 3},
    "start": {"process": "api-a"},
    "stop": {"process": "api-a"},
    "restart": {"process": "api-a"},
}


class FakeDaemon:
    """A daemon whose processes come and go at once. A version with `sick` in it answers its probe with 503."""

    def __init__(self, *, running: bool = True) -> None:
        self.running = running
        self.listed: dict[int, dict[str, Any]] = {}
        self.ids, self.pids = itertools.count(), itertools.count(1000)

    def pid(self) -> int | None:
        return 1 if self.running else None

    def call(self, method: str, *arguments: Any, seconds: float = 60.0) -> Any:
        if not self.running:
            raise TransientError("the pm2 daemon does not answer: connection refused")
        return getattr(self, method)(*arguments)

    def calls(self, wanted: Iterable[tuple[str, Sequence[Any]]], *, seconds: float = 60.0) -> list[Any]:
        return [self.call(method, *arguments) for method, arguments in wanted]

    def run(self, *words: str, seconds: float) -> None:
        if words[0] != "start":
            raise PermanentError(f"pm2 {words[0]} failed: nobody knows how")
        for app in json.loads(Path(words[1]).read_text())["apps"]:
            for _ in range(app["instances"]):
                env = {**app["env"], "pm_exec_path": app["script"], "pm_cwd": app["cwd"]}
                self._add(app["name"], env)

    def status(self, url: str, seconds: float) -> int:
        port = int(url.split(":")[2].split("/")[0])
        answering = [one for one in self.listed.values() if one["pid"] and one["pm2_env"]["PORT"] == str(port)]
        if not answering:
            raise TransientError(f"{url} does not answer: connection refused")
        return 503 if "sick" in answering[0]["pm2_env"]["VERSION"] else 200

    def getMonitorData(self, _: Any) -> list[dict[str, Any]]:
        return json.loads(json.dumps(list(self.listed.values())))

    def startProcessId(self, pm_id: int) -> None:
        self._put(pm_id, "online")

    def stopProcessId(self, pm_id: int) -> None:
        self._put(pm_id, "stopped")

    def restartProcessId(self, options: dict[str, Any]) -> None:
        self._put(options["id"], "online", again=self._of(options["id"])["pid"] > 0)

    def reloadProcessId(self, options: dict[str, Any]) -> None:
        self._put(options["id"], "online", again=True)

    def duplicateProcessId(self, pm_id: int) -> None:
        one = self._of(pm_id)
        self._add(one["name"], one["pm2_env"])

    def deleteProcessId(self, pm_id: int) -> None:
        self._of(pm_id)
        del self.listed[pm_id]

    def _of(self, pm_id: int) -> dict[str, Any]:
        if pm_id not in self.listed:
            raise PermanentError(f"pm2 refused: {pm_id} id unknown")
        return self.listed[pm_id]

    def _add(self, name: str, env: dict[str, Any]) -> None:
        pm_id = next(self.ids)
        self.listed[pm_id] = {"name": name, "pm_id": pm_id, "pid": 0, "pm2_env": {**env, "restart_time": 0}}
        self._put(pm_id, "online")

    def _put(self, pm_id: int, status: str, *, again: bool = False) -> None:
        env = self._of(pm_id)["pm2_env"]
        env |= {"status": status, "pm_uptime": int(time.time() * 1000), "restart_time": env["restart_time"] + again}
        self.listed[pm_id]["pid"] = next(self.pids) if status == "online" else 0


class ProcessesWorld(World):
    """What both worlds of PM2 share: one service `api-a` with two workers."""

    driver_class = Pm2
    examples = EXAMPLES

    def picture(self) -> Any:
        return [(one.name, one.pm_id, one.pid, one.status) for one in self.driver().processes()]

    def clean(self, before: Any, act: Act[Any, Any]) -> bool:
        """The same number of processes in the same states; a process that came back has another number."""
        return [(name, status) for name, _, _, status in self.picture()] == [
            (name, status) for name, _, _, status in before
        ]

    def prepare(self, act: Act[Any, Any]) -> None:
        pm2 = self.driver()
        pm2.resume("api-a")
        pm2.scale("api-a", 2)
        if act.name == "start":
            pm2.stop("api-a")


class Pm2World(ProcessesWorld):
    def __init__(self) -> None:
        self.home = folder(self)
        (self.home / "server.js").touch()
        self.daemon, self.dead = FakeDaemon(), FakeDaemon(running=False)
        pm2 = self.driver()
        pm2.start("api-a", self.home / "server.js", self.home, 2, {"VERSION": "1.0.0"}, 20001)

    def driver(self) -> Pm2:
        return self._over(self.daemon)

    def unreachable(self) -> Pm2:
        return self._over(self.dead)

    def _over(self, daemon: FakeDaemon) -> Pm2:
        class OverFakeDaemon(Pm2):
            def __init__(self, *args: Any, **kwargs: Any) -> None:
                super().__init__(*args, **kwargs)
                self.daemon = daemon  # type: ignore[assignment]

        facts = {"home": str(self.home), "node": "/usr/bin/node", "pm2": "/usr/lib/pm2/bin/pm2"}
        return OverFakeDaemon(facts, SecretStore())


SIMULATED = {"pm2": Pm2World}
