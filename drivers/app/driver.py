"""One service: PM2 processes in two port slots behind an edge.

A version is never changed in place. The new one starts in the slot without traffic, is proved on its own port, and
then the edge shifts weights between the slots. Both old and new stay warm, so going back is one switch.

What a release must bring: `<releases>/<version>/server.js`, which listens on 127.0.0.1:`PORT`, tells PM2 when it is
ready, answers `GET /healthz` with 200 when it can serve and `GET /version` with `{"version": "…"}`. It receives
`SERVICE`, `SLOT`, `VERSION` and `PORT` in its environment.

Leaving without losing a request (measured under load; `http.Server.close()` and an immediate exit lose one now and
then): on SIGINT stop accepting but leave idle connections open (`net.Server.prototype.close.call(server, …)`), answer
what still comes with `Connection: close`, let the edge end its idle connections (it does after 2 s), and exit a moment
after the last one, so that a connection which the cluster's primary has just handed over goes back to another worker.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, ClassVar

from drivers import names, web
from drivers.acts import Call
from drivers.app import discovery
from drivers.app.acts import ACTS
from drivers.base import Driver, Observation
from drivers.discovery import Listing
from drivers.errors import DriverError, InvalidInput, PermanentError, TransientError
from drivers.nginx import Nginx, Switched, Traffic
from drivers.pm2 import Pm2, Process

_DIRECT = Call("direct")


@dataclass(frozen=True, slots=True)
class Health:
    """What a slot answers on its own port: status of `/healthz`, seconds it took, the version it claims to be."""

    ok: bool
    status: int | None
    seconds: float | None
    version: str | None
    error: str | None


class App(Driver):
    """One service in two slots.

    Facts: `service`, `slots` ({"a": {"process", "port"}, "b": …}), `instances`, `releases` (folder of versions), and
    the connection keys `pm2` and `nginx`.
    """

    kind: ClassVar[str] = "app"
    required: ClassVar[tuple[str, ...]] = ("service", "slots", "instances", "releases")
    references: ClassVar[tuple[str, ...]] = ("pm2", "nginx")
    acts: ClassVar[tuple[Any, ...]] = ACTS
    health_seconds: float = 10.0
    drain_seconds: float = 35.0
    """Longer than the edge's `worker_shutdown_timeout`, after which no old worker can hold a connection."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        pm2, nginx = self.related.get("pm2"), self.related.get("nginx")
        if not isinstance(pm2, Pm2) or not isinstance(nginx, Nginx):
            raise InvalidInput("an app needs a pm2 and an nginx driver")
        self.pm2, self.nginx, self.host = pm2, nginx, nginx.host
        self.service = names.name(self.facts["service"], "service")
        self.instances = names.whole(self.facts["instances"], 1, 64, "number of instances")
        self.releases = names.path(self.facts["releases"])
        slots = self.facts["slots"]
        if not isinstance(slots, Mapping) or set(slots) != set(names.SLOTS):
            raise InvalidInput("an app needs the slots a and b")
        self.process_names = {slot: names.name(slots[slot].get("process"), "process name") for slot in names.SLOTS}
        self.ports = {slot: names.port(slots[slot].get("port")) for slot in names.SLOTS}

    # -- reading ---------------------------------------------------------------------------------------------------

    def weights(self) -> dict[str, int]:
        """The weight of each slot at the edge."""
        return self.nginx.weights(self.service)

    def serving(self) -> str:
        """The slot with the larger weight (slot a when equal)."""
        weights = self.weights()
        return max(names.SLOTS, key=lambda slot: weights[slot])

    def workers(self, slot: str) -> list[Process]:
        """The slot's processes under PM2, by id."""
        return self.pm2.processes(self.process_names[names.slot(slot)])

    def version(self, slot: str) -> str | None:
        """The version that answers on the slot's port; None when nothing does."""
        return self.health(slot).version

    def health(self, slot: str) -> Health:
        """Ask the slot directly, past the edge. A slot that does not answer is a result, not an exception."""
        address = f"http://127.0.0.1:{self.ports[names.slot(slot)]}"
        try:
            answer = self.host.get(f"{address}/healthz", 5.0)
            claimed = self._version_in(self.host.get(f"{address}/version", 5.0))
        except TransientError as error:
            return Health(False, None, None, None, str(error))
        refusal = None if answer.status == 200 else f"/healthz answered {answer.status}"
        return Health(refusal is None, answer.status, answer.seconds, claimed, refusal)

    @staticmethod
    def _version_in(answer: web.Answer) -> str | None:
        try:
            return names.version(json.loads(answer.body)["version"])
        except (ValueError, KeyError, TypeError, DriverError):
            return None

    def traffic(self, since: datetime, generation: str | None = None) -> dict[str, Traffic]:
        """What the edge saw of each slot since `since`: first attempts, their errors and latency (see `Traffic`)."""
        seen = self.nginx.traffic(self.service, since, generation)
        nothing = {slot: f"127.0.0.1:{port}" for slot, port in self.ports.items()}
        return {slot: seen.get(at, Traffic(at, 0, 0, 0.0, 0.0, True)) for slot, at in nothing.items()}

    def probe_edge(self, requests: int) -> int:
        """Send `requests` plain GETs for this service through the edge; how many failed (no answer, or 5xx)."""
        failed = 0
        for _ in range(names.whole(requests, 1, 1000, "number of requests")):
            try:
                failed += self.host.get(f"{self.nginx.url}/{self.service}/", 5.0).status >= 500
            except TransientError:
                failed += 1
        return failed

    def observe(self) -> Observation:
        """Both slots. Healthy means: every slot with traffic is healthy with all its instances online."""
        weights, serving = self.weights(), self.serving()
        slots: dict[str, dict[str, Any]] = {}
        readings: dict[str, float] = {"instances": 0.0, "memory_bytes": 0.0, "cpu_percent": 0.0, "restarts": 0.0}
        listed = self.pm2.processes()  # once for both slots: each call costs the start of a Node.js
        for slot in names.SLOTS:
            workers = [process for process in listed if process.name == self.process_names[slot]]
            health = self.health(slot)
            online = sum(worker.online for worker in workers)
            slots[slot] = {
                "weight": weights[slot],
                "process": self.process_names[slot],
                "port": self.ports[slot],
                "online": online,
                "expected": self.instances if weights[slot] or workers else 0,
                "memory_bytes": sum(worker.memory_bytes for worker in workers),
                "workers": [{"pm_id": w.pm_id, "pid": w.pid, "status": w.status} for w in workers],
                "healthy": health.ok and online == self.instances,
                "health": asdict(health),
                "version": health.version,
            }
            readings["instances"] += online
            for worker in workers:
                readings["memory_bytes"] += worker.memory_bytes
                readings["cpu_percent"] += worker.cpu_percent
                readings["restarts"] += worker.restarts
        latency = slots[serving]["health"]["seconds"]
        if latency is not None:
            readings["latency_seconds"] = latency
        facts: dict[str, Any] = {"serving": serving, "slots": slots}
        if slots[serving]["health"]["error"]:
            facts["error"] = slots[serving]["health"]["error"]
        healthy = all(slots[slot]["healthy"] for slot in names.SLOTS if weights[slot])
        return self.seen(healthy, facts, readings, slots[serving]["version"])

    def discover(self) -> list[Listing]:
        """The service as one thing (see `drivers.app.discovery`)."""
        return discovery.discover(self)

    # -- acting ----------------------------------------------------------------------------------------------------

    def start_slot(self, slot: str, version: str, call: Call = _DIRECT) -> list[Process]:
        """Run `version` in `slot`, proved healthy on its own port; return its workers.

        Nothing changes when it runs there already. Otherwise what is in the slot is replaced, unless it takes traffic
        (`PermanentError`). A release that is not there, a port that another program holds, a worker that crashes or
        is not healthy in time: `PermanentError`, and nothing of the attempt is left running. PM2's list is saved, so
        that a restart of PM2 brings back what runs now.
        """
        release = self.release_folder(names.version(version))
        process, port = self.process_names[names.slot(slot)], self.ports[slot]
        running = self.workers(slot)
        if self._complete(running, version) and self._becomes_healthy(slot, version):
            return running
        if any(worker.online for worker in running) and self.weights()[slot]:
            raise PermanentError(f"slot {slot} of {self.service} takes traffic; shift it away first")
        self.pm2.delete(process, call)
        self._needs_free(port)
        env = {"SERVICE": self.service, "SLOT": slot, "VERSION": version}
        started = self.pm2.start(process, release / "server.js", release, self.instances, env, port, call)
        if not self._becomes_healthy(slot, version):
            health = self.health(slot)
            self.pm2.delete(process, call)
            raise PermanentError(
                f"{self.service} {version} never became healthy in slot {slot}: "
                f"{health.error or f'it says it is version {health.version}'}"
            )
        self.pm2.save()
        return started

    def stop_slot(self, slot: str, call: Call = _DIRECT) -> bool:
        """Drain and stop `slot`; False when nothing ran there. `PermanentError` while it has a weight at the edge.

        Draining waits until no connection to the slot's port is left, at most `drain_seconds`: old edge workers may
        still send requests by the old weights.
        """
        if self.weights()[names.slot(slot)]:
            raise PermanentError(f"slot {slot} of {self.service} takes traffic; shift it away first")
        if not self.workers(slot):
            return False
        deadline = time.monotonic() + self.drain_seconds
        while self.connections(slot) and time.monotonic() < deadline:
            call.check()
            time.sleep(0.1)
        stopped = self.pm2.delete(self.process_names[slot], call)
        self.pm2.save()
        return stopped

    def connections(self, slot: str) -> int:
        """Established TCP connections to the slot's port on this host."""
        return self.host.connections(self.ports[names.slot(slot)])

    def runs(self, slot: str, version: str) -> bool:
        """Whether `version` runs in the slot with all its instances and answers well."""
        if not self._complete(self.workers(slot), version):
            return False
        health = self.health(slot)
        return health.ok and health.version == version

    def reload_worker(self, pm_id: int, *, old_pid: int | None = None, call: Call = _DIRECT) -> Process:
        """Replace one worker of this service by a fresh one of the same version, gated by health.

        With `old_pid` the call may be repeated: a worker that has another pid by now is only checked. The slot must
        answer healthy several times in a row afterwards, once per instance and once more; otherwise `PermanentError`.
        """
        for slot in names.SLOTS:
            if any(worker.pm_id == pm_id for worker in self.workers(slot)):
                break
        else:
            raise PermanentError(f"{self.service} has no worker {names.whole(pm_id, 0, 10**6, 'pm2 id')}")
        fresh = self.pm2.reload(pm_id, old_pid=old_pid, call=call)
        if not self._becomes_healthy(slot, fresh.version):
            raise PermanentError(f"slot {slot} of {self.service} is not healthy after its reload")
        return fresh

    def shift(self, weights: Mapping[str, int], token: str, fence: int | None = None, call: Call = _DIRECT) -> Switched:
        """Give the slots these weights at the edge (see `Nginx.switch` for proof, repetition and fence).

        A slot that gets its first traffic must be healthy (`PermanentError`). One that already has traffic is not
        asked, so that a withdrawal is never refused because the other side is having a bad moment.
        """
        wanted, present = names.weights(weights), self.weights()
        for slot in names.SLOTS:
            if wanted[slot] and not present[slot] and not self._becomes_healthy(slot, None):
                raise PermanentError(f"slot {slot} of {self.service} is not healthy: {self.health(slot).error}")
        return self.nginx.switch(token, {self.service: wanted}, fence, call)

    # -- means -----------------------------------------------------------------------------------------------------

    def release_folder(self, version: str) -> Path:
        """The folder of a release; `PermanentError` when it is not on this host."""
        root = self.releases.resolve()
        release = (root / version).resolve()
        if not release.is_relative_to(root) or not (release / "server.js").is_file():
            raise PermanentError(f"{self.service} has no release {version} on this host")
        return release

    def _complete(self, running: list[Process], version: str) -> bool:
        return len(running) == self.instances and all(w.online and w.version == version for w in running)

    def _becomes_healthy(self, slot: str, version: str | None) -> bool:
        """Whether the slot answers healthy once per instance and once more, in a row, within `health_seconds`."""
        deadline = time.monotonic() + self.health_seconds
        in_a_row = 0
        while in_a_row <= self.instances:
            health = self.health(slot)
            good = health.ok and version in (None, health.version)
            in_a_row = in_a_row + 1 if good else 0
            if not good:
                if time.monotonic() >= deadline:
                    return False
                time.sleep(0.1)
        return True

    def _needs_free(self, port: int) -> None:
        if self.host.listening(port):
            raise PermanentError(f"port {port} is held by another program")
