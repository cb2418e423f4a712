"""A PHP-FPM that exists only in memory: the driver's own code on a host of dictionaries, with a clock of its own."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drivers.acts import Act
from drivers.commands import Finished
from drivers.errors import TransientError
from drivers.php_fpm import PhpFpm
from drivers.php_fpm.fastcgi import Answer
from drivers.php_fpm.machine import Machine
from drivers.secret import SecretStore
from tests.drivers.contract import World

POOL = "[www]\npm = dynamic\npm.max_children = 5 ; sized for 2 GB\npm.start_servers = 2\n"
FACTS = {
    "socket": "/run/php/www.sock",
    "pool": "www",
    "pool_file": "/etc/php/pool.d/www.conf",
    "config": "/etc/php/php-fpm.conf",
    "pid_file": "/run/php/php-fpm.pid",
    "program": "/usr/sbin/php-fpm8.2",
    "state": "/var/lib/portal/php",
    "opcache_script": "/srv/opcache/status.php",
    "reset_script": "/srv/opcache/reset.php",
}
EXAMPLES = {
    "reload": {},
    "set-pool-parameter": {"name": "pm.max_children", "value": 8},
    "reset-opcache": {},
}


class MemoryMachine(Machine):
    def __init__(self) -> None:
        self.clock = 1_800_000_000.5
        self.started = int(self.clock)
        self.files = {
            FACTS["pool_file"]: (POOL, self.clock - 60),
            FACTS["config"]: ("[global]\ninclude=/etc/php/pool.d/*.conf\n", self.clock - 60),
        }
        self.first_worker = 100
        self.fence = 0
        self.restarts = 0
        self.up = True

    def now(self) -> float:
        return self.clock

    def pause(self) -> None:
        self.clock += 0.25

    def ask(self, address: Any, params: Any, seconds: float) -> Answer:
        self._running()
        pages = {"/ping": "pong", "/status": json.dumps(self._status()), "/status.php": json.dumps(self._opcache())}
        if params["SCRIPT_FILENAME"] == FACTS["reset_script"]:
            self.restarts += 1
            pages["/reset.php"] = '{"reset": true}'
        body = pages.get(params["SCRIPT_NAME"])
        return Answer(200 if body else 404, {"x-powered-by": "PHP/8.2.36"}, body or "File not found.")

    def _running(self) -> None:
        if not self.up:
            raise TransientError("nobody answers")

    def _status(self) -> dict[str, Any]:
        zero = ("max active processes", "listen queue", "max listen queue", "max children reached", "slow requests")
        return {
            **dict.fromkeys(zero, 0),
            "pool": "www",
            "process manager": "dynamic",
            "start time": self.started,
            "start since": 1,
            "accepted conn": 1,
            "idle processes": 1,
            "active processes": 1,
            "total processes": 2,
        }

    def _opcache(self) -> dict[str, Any]:
        counts = {"start_time": self.started, "last_restart_time": 0, "manual_restarts": self.restarts}
        return {
            "opcache_enabled": True,
            "cache_full": False,
            "restart_pending": False,
            "restart_in_progress": False,
            "memory_usage": {"used_memory": 1, "free_memory": 1},
            "opcache_statistics": {**counts, "num_cached_scripts": 3, "opcache_hit_rate": 99.0},
        }

    def read(self, path: Path) -> str:
        return self.files[str(path)][0]

    def changed_at(self, path: Path) -> float:
        return self.files[str(path)][1]

    def matching(self, pattern: str) -> list[str]:
        return [path for path in self.files if Path(path).match(pattern)]

    def replace(self, path: Path, text: str) -> None:
        self.files[str(path)] = (text, self.clock)

    @contextmanager
    def staged(self, folder: Path, texts: Any) -> Any:
        yield folder

    def run(self, argv: Any) -> Finished:
        return Finished(0, "", "process_control_timeout = 10s\n" if argv[-1] == "-tt" else "")

    def master(self, pid_file: Path) -> int:
        self._running()
        return 99

    def workers(self, master: int, pool: str) -> list[str]:
        return [f"{self.first_worker + number}@{self.started}.00" for number in range(2)]

    def reload(self, master: int) -> None:
        self.first_worker += 10
        self.started = int(self.clock)

    @contextmanager
    def alone(self, folder: Path, fence: int | None) -> Any:
        yield


class PhpFpmWorld(World):
    driver_class = PhpFpm
    examples = EXAMPLES

    def __init__(self) -> None:
        self.machine = MemoryMachine()

    def driver(self) -> PhpFpm:
        return on(self.machine)

    def unreachable(self) -> PhpFpm:
        gone = MemoryMachine()
        gone.up = False
        return on(gone)

    def picture(self) -> Any:
        machine = self.machine
        irreversible = (machine.first_worker, machine.restarts) if self.counted else None
        return machine.files[FACTS["pool_file"]][0], irreversible

    def prepare(self, act: Act[Any, Any]) -> None:
        """A reload always has something to do; whether one happened is only compared where it is not taken back."""
        self.counted = not act.reversible()


def on(machine: Machine) -> PhpFpm:
    return type("PhpFpm", (PhpFpm,), {"machine": machine})(FACTS, SecretStore())


SIMULATED = {"php-fpm": PhpFpmWorld}
