"""The PHP-FPM driver: what a pool does, whether its configuration would load, and a proved reload.

A reload replaces every pool of the master. It is seen by the pool's `start time` on the status page, which has whole
seconds, so a reload is not asked for within the second of the last start. With `process_control_timeout` unset the
master kills its workers in the middle of requests: measured, 20 of 1,600 were lost; with 30 s none.
Sources: php.net/manual/en/fpm.status.php, …/install.fpm.configuration.php.
"""

from __future__ import annotations

import json
import re
import time
from pathlib import Path
from typing import Any, ClassVar

from drivers import names
from drivers.acts import Call
from drivers.base import Driver, Observation
from drivers.discovery import Listing
from drivers.errors import InvalidInput, PermanentError, TransientError
from drivers.php_fpm import discovery, pool_file
from drivers.php_fpm.acts import ACTS
from drivers.php_fpm.fastcgi import Answer
from drivers.php_fpm.machine import Address, Machine

ASK_SECONDS = 5.0
START_SECONDS = 15.0
_TIMEOUT = re.compile(r"process_control_timeout = (\d+)(s|m|h|d)?")
_UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400, None: 1}


class PhpFpm(Driver):
    """Facts: `socket` (path), or `host` and `port`; `pool` (its name), `pool_file`, `config` (the main file),
    `pid_file`, `program` (php-fpm8.2), `state` (a folder of the portal's own on this host). Optionally `arguments`
    (further ones that the program was started with), `status_path` (/status), `ping_path` (/ping), and two scripts of
    the operator that print JSON: `opcache_script` gives `opcache_get_status(false)`, `reset_script` calls
    `opcache_reset()`.
    """

    kind: ClassVar[str] = "php-fpm"
    required: ClassVar[tuple[str, ...]] = ("pool", "pool_file", "config", "pid_file", "program", "state")
    acts: ClassVar[tuple[Any, ...]] = ACTS
    machine: Machine = Machine()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.pool = names.name(self.facts["pool"], "pool")
        paths = ("pool_file", "config", "pid_file", "program", "state")
        self.pool_file, self.config, self.pid_file, self.program, self.state = (
            names.path(self.facts[name]) for name in paths
        )
        self.address = self._address()
        self.status_path = names.url_path(self.facts.get("status_path", "/status"))
        self.ping_path = names.url_path(self.facts.get("ping_path", "/ping"))
        arguments = self.facts.get("arguments", [])
        if not isinstance(arguments, list) or not all(isinstance(one, str) for one in arguments):
            raise InvalidInput("arguments must be a list of texts")
        self.command = [str(self.program), *arguments]

    def _address(self) -> Address:
        if "socket" in self.facts:
            return str(names.path(self.facts["socket"]))
        if "host" not in self.facts or "port" not in self.facts:
            raise InvalidInput("a php-fpm connection needs a socket, or a host and a port")
        return names.host(self.facts["host"]), names.port(self.facts["port"])

    # -- reading ---------------------------------------------------------------------------------------------------

    def observe(self) -> Observation:
        """Workers, queue and opcache of the pool.

        Healthy means: it answers its ping, and no request waits while all allowed workers are busy.
        """
        begun = time.monotonic()
        try:
            pong = self._page(self.ping_path)
            latency = time.monotonic() - begun
            status = self.status()
            facts: dict[str, Any] = {"pool": self.pool, "process_manager": status["process manager"]}
            readings = _readings(status) | {"latency_seconds": latency}
            if "opcache_script" in self.facts:
                readings |= self._opcache_seen(facts)
        except TransientError as error:
            return self.down(error)
        facts["full"] = status["listen queue"] > 0 and status["idle processes"] == 0
        if facts["full"]:
            facts["error"] = f"{status['listen queue']} requests wait for a worker"
        version = pong.headers.get("x-powered-by", "").removeprefix("PHP/") or None
        return self.seen(not facts["full"], facts, readings, version)

    def discover(self) -> list[Listing]:
        """The pool, and the others of its master (see `drivers.php_fpm.discovery`)."""
        return discovery.discover(self)

    def _opcache_seen(self, facts: dict[str, Any]) -> dict[str, float]:
        try:
            opcache = self.opcache()
        except PermanentError as error:  # a pool without an opcache serves all the same
            facts["opcache"] = {"error": str(error)}
            return {}
        facts["opcache"] = {"full": opcache["cache_full"]}
        return _opcache_readings(opcache)

    def status(self) -> dict[str, Any]:
        """The status page (`pm.status_path`) as JSON."""
        status = self._json(self._page(self.status_path, "json"), self.status_path)
        if status.get("pool") != self.pool:
            raise PermanentError(f"the pool that answers is {str(status.get('pool'))[:60]!r}, not {self.pool}")
        return status

    def opcache(self) -> dict[str, Any]:
        """What the operator's script says of the opcache; shared by all pools of the master."""
        said = self._script("opcache_script")
        if said.get("opcache_enabled") is not True or "opcache_statistics" not in said:
            raise PermanentError("the opcache is switched off, or its script does not print its status")
        return said

    def reset_opcache(self) -> None:
        """Have the operator's script call `opcache_reset()`."""
        self._script("reset_script")

    def generation(self) -> dict[str, Any]:
        """What a reload changes: the master's pid stays; `started` (seconds since 1970) and `workers` do not."""
        master = self.machine.master(self.pid_file)
        started = int(self.status()["start time"])
        return {"master": master, "started": started, "workers": self.machine.workers(master, self.pool)}

    def parameter(self, name: str) -> str | None:
        """The line that sets a parameter in the pool's file."""
        return pool_file.line_of(self.pool_text(), self.pool, name)

    def pool_text(self) -> str:
        """The pool's file; `PermanentError` when it has no such pool."""
        text = self.machine.read(self.pool_file)
        if not pool_file.has_pool(text, self.pool):
            raise PermanentError(f"{self.pool_file} has no pool {self.pool}")
        return text

    def loaded(self) -> bool:
        """Whether the pool has certainly started after its file was last written."""
        return int(self.status()["start time"]) > self.machine.changed_at(self.pool_file)

    def faults(self) -> str:
        """What PHP-FPM finds wrong in the configuration as it lies there; empty when it would load."""
        return self._faults(self.config)

    def grace_seconds(self) -> int:
        """`process_control_timeout` of the configuration; 0 means that a reload kills requests."""
        shown = self.machine.run([*self.command, "-y", str(self.config), "-tt"])
        found = _TIMEOUT.search(shown.error + shown.output)
        return int(found.group(1)) * _UNITS[found.group(2)] if found else 0

    # -- changing --------------------------------------------------------------------------------------------------

    def proved(self, text: str) -> None:
        """`PermanentError` unless PHP-FPM would load its configuration with `text` as the pool's file."""
        main = self.machine.read(self.config)
        if self.config == self.pool_file:
            main, others = text, []
        else:
            others = [path for pattern in pool_file.includes(main) for path in self.machine.matching(pattern)]
            if str(self.pool_file) not in others:
                raise PermanentError(f"{self.config} does not include {self.pool_file}")
            main = pool_file.without_includes(main)
        with self.machine.staged(self.state, {"pool.conf": text}) as folder:
            here = {str(self.pool_file): str(folder / "pool.conf")}
            lines = "".join(f"include={here.get(path, path)}\n" for path in others)
            with self.machine.staged(self.state, {"main.conf": main + lines}) as second:
                if faults := self._faults(second / "main.conf"):
                    raise PermanentError(f"PHP-FPM refuses this configuration: {faults}")

    def restart_workers(self, before: dict[str, Any], call: Call) -> dict[str, Any]:
        """Reload and wait until no worker of `before` (a `generation`) is left; the generation that runs then.

        A configuration that would not load is a `PermanentError` before anything is signalled: the master would end.
        """
        if faults := self.faults():
            raise PermanentError(f"PHP-FPM would not come back with this configuration: {faults}")
        # the status page has whole seconds: the start must show as later than the last one, and than the file
        while self.machine.now() < max(before["started"], int(self.machine.changed_at(self.pool_file))) + 1:
            self.machine.pause()
        call.check()
        self.machine.reload(self.machine.master(self.pid_file))
        until = self.machine.now() + self.grace_seconds() + START_SECONDS
        while True:
            try:
                now = self.generation()
                if now["started"] != before["started"] and not set(now["workers"]) & set(before["workers"]):
                    call.log(f"{len(now['workers'])} new workers")
                    return now
            except TransientError:  # between two masters nobody answers
                pass
            if self.machine.now() > until:
                raise TransientError(f"pool {self.pool} has not come back after the reload")
            self.machine.pause()

    # -- means -----------------------------------------------------------------------------------------------------

    def _faults(self, config: Path) -> str:
        tested = self.machine.run([*self.command, "-y", str(config), "-t"])
        return "" if tested.status == 0 else (tested.tail[-300:] or f"exit status {tested.status}")

    def _page(self, path: str, query: str = "", script: str | None = None) -> Answer:
        params = {"REQUEST_METHOD": "GET", "SCRIPT_NAME": path, "SCRIPT_FILENAME": script or path}
        answer = self.machine.ask(self.address, {**params, "QUERY_STRING": query}, ASK_SECONDS)
        if answer.status >= 500:
            raise TransientError(f"{path} answered {answer.status}")
        if answer.status != 200:
            raise PermanentError(f"{path} answered {answer.status}: it is not switched on in pool {self.pool}")
        return answer

    def _script(self, fact: str) -> dict[str, Any]:
        if fact not in self.facts:
            raise InvalidInput(f"the connection names no {fact}")
        path = str(names.path(self.facts[fact]))
        return self._json(self._page(f"/{Path(path).name}", script=path), path)

    @staticmethod
    def _json(answer: Answer, place: str) -> dict[str, Any]:
        try:
            content = json.loads(answer.body)
        except ValueError:
            content = None
        if not isinstance(content, dict):
            raise PermanentError(f"{place} does not print a JSON object")
        return content


def _readings(status: dict[str, Any]) -> dict[str, float]:
    pages = {
        "workers": "total processes",
        "workers_active": "active processes",
        "workers_idle": "idle processes",
        "workers_active_max": "max active processes",
        "queue": "listen queue",
        "queue_max": "max listen queue",
        "max_children_reached": "max children reached",
        "slow_requests": "slow requests",
        "connections": "accepted conn",
        "uptime_seconds": "start since",
    }
    return {name: float(status[key]) for name, key in pages.items()}


def _opcache_readings(opcache: dict[str, Any]) -> dict[str, float]:
    memory, counts = opcache["memory_usage"], opcache["opcache_statistics"]
    return {
        "opcache_used_bytes": float(memory["used_memory"]),
        "opcache_free_bytes": float(memory["free_memory"]),
        "opcache_scripts": float(counts["num_cached_scripts"]),
        "opcache_hit_percent": round(float(counts["opcache_hit_rate"]), 2),
    }
