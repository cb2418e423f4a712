"""What can be done to a service in two slots: start, shift, return, reload and stop, each proved by health."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal

import msgspec

from drivers import names
from drivers.acts import Act, Call, Condition, Parameters, Report, Risk
from drivers.errors import PermanentError

if TYPE_CHECKING:
    from drivers.app.driver import App

Facts = Mapping[str, Any]
Slot = Annotated[Literal["a", "b"], msgspec.Meta(title="Slot", description="Which of the service's two slots.")]


class OfSlot(Parameters):
    slot: Slot


class OfVersion(OfSlot):
    version: Annotated[
        str,
        msgspec.Meta(
            title="Version",
            description="A release that lies on this host, such as 1.4.0.",
            pattern=r"^[0-9]+\.[0-9]+\.[0-9]+[0-9A-Za-z.+-]*$",
            max_length=64,
        ),
    ]


class Weights(Parameters):
    a: Annotated[int, msgspec.Meta(title="Weight of slot a", ge=0, le=100)]
    b: Annotated[int, msgspec.Meta(title="Weight of slot b", ge=0, le=100)]


class OnSlot[P: (OfSlot, OfVersion)](Act["App", P]):
    """An act on what runs in one slot. `before` says what runs there and how much traffic it takes."""

    timeout_seconds: ClassVar[float] = 180

    def before(self, driver: App, params: P) -> Report:
        driver.pm2.needs_daemon()
        workers = driver.workers(params.slot)
        return {
            "version": workers[0].version if workers else None,
            "weight": driver.weights()[params.slot],
            "workers": [{"pm_id": worker.pm_id, "pid": worker.pid, "status": worker.status} for worker in workers],
        }

    def idle(self, driver: App, params: P) -> Condition:
        weight = driver.weights()[params.slot]
        return Condition(f"slot {params.slot} takes no traffic", not weight, f"its weight is {weight}")


def _complete(driver: App, slot: str) -> Condition:
    workers = driver.workers(slot)
    online = sum(worker.online for worker in workers)
    whole = len(workers) == online == driver.instances
    return Condition(f"slot {slot} runs all its instances", whole, f"{online} of {driver.instances} are online")


def _healthy(driver: App, slot: str) -> Condition:
    health = driver.health(slot)
    return Condition(f"slot {slot} answers well on its own port", health.ok, health.error or "")


def _bring_back(driver: App, slot: str, version: str | None, call: Call) -> Report:
    """Run in a slot what ran there before, or nothing."""
    if version is None:
        return {"stopped": driver.stop_slot(slot, call)}
    return {"workers": [worker.pid for worker in driver.start_slot(slot, version, call)], "version": version}


class StartSlot(OnSlot[OfVersion]):
    """Run a version in the slot without traffic."""

    name = "start-slot"
    title = "Start {version} in slot {slot}"
    summary = (
        "The version is started beside the one that serves, in a slot that takes no traffic, and must answer well on "
        "its own port; otherwise nothing of it is left running. What ran in that slot is replaced. Users notice "
        "nothing; the host needs memory for both."
    )
    risk = Risk.LOW
    Parameters = OfVersion
    undo_title = "Run in the slot what ran there before, or nothing"

    def check(self, params: OfVersion) -> None:
        names.version(params.version)

    def conditions(self, driver: App, params: OfVersion) -> list[Condition]:
        try:
            driver.release_folder(params.version)
            missing = ""
        except PermanentError as error:
            missing = str(error)
        here = Condition(f"the release {params.version} is on this host", not missing, missing)
        return [self.idle(driver, params), here]

    def sends(self, driver: App, params: OfVersion, before: Facts) -> list[str]:
        process, port = driver.process_names[params.slot], driver.ports[params.slot]
        replaced = [f"pm2 delete {process}"] if before["workers"] else []
        return [
            *replaced,
            f"PORT={port} VERSION={params.version} pm2 start {driver.releases}/{params.version}/server.js"
            f" --name {process} -i {driver.instances} --wait-ready",
            f"GET http://127.0.0.1:{port}/healthz",
            "pm2 save",
        ]

    def done(self, driver: App, params: OfVersion, before: Facts) -> bool:
        return driver.runs(params.slot, params.version)

    def do(self, driver: App, params: OfVersion, before: Facts, call: Call) -> Report:
        driver.pm2.needs_daemon()
        return {"workers": [worker.pid for worker in driver.start_slot(params.slot, params.version, call)]}

    def undo(self, driver: App, params: OfVersion, before: Facts, call: Call) -> Report:
        return _bring_back(driver, params.slot, before["version"], call)


class StopSlot(OnSlot[OfSlot]):
    """Drain and stop the slot without traffic."""

    name = "stop-slot"
    title = "Stop slot {slot}"
    summary = (
        "What runs in this slot ends when the last connection to it has ended. It takes no traffic, so users notice "
        "nothing; but going back to its version is then no longer one switch."
    )
    risk = Risk.MEDIUM
    Parameters = OfSlot
    undo_title = "Start the version again that ran there"

    def conditions(self, driver: App, params: OfSlot) -> list[Condition]:
        return [self.idle(driver, params)]

    def sends(self, driver: App, params: OfSlot, before: Facts) -> list[str]:
        return [f"pm2 delete {driver.process_names[params.slot]}", "pm2 save"]

    def done(self, driver: App, params: OfSlot, before: Facts) -> bool:
        return not driver.workers(params.slot)

    def do(self, driver: App, params: OfSlot, before: Facts, call: Call) -> Report:
        driver.pm2.needs_daemon()
        return {"stopped": driver.stop_slot(params.slot, call)}

    def undo(self, driver: App, params: OfSlot, before: Facts, call: Call) -> Report:
        return _bring_back(driver, params.slot, before["version"], call)


class Reload(OnSlot[OfSlot]):
    """Replace the workers of a slot one after another."""

    name = "reload"
    title = "Reload slot {slot}"
    summary = (
        "One worker of the slot after another is replaced by a fresh one of the same version; the next one follows "
        "only when the slot answers well on its own port. Users notice nothing. It stops at the first worker that "
        "does not come back well."
    )
    risk = Risk.LOW
    Parameters = OfSlot
    why_no_undo = "The workers that ran before have ended, and what they held in memory with them."
    timeout_seconds = 600

    def conditions(self, driver: App, params: OfSlot) -> list[Condition]:
        return [_complete(driver, params.slot)]

    def sends(self, driver: App, params: OfSlot, before: Facts) -> list[str]:
        port = driver.ports[params.slot]
        gate = f"GET http://127.0.0.1:{port}/healthz"
        return [line for worker in before["workers"] for line in (f"pm2 reload {worker['pm_id']}", gate)]

    def done(self, driver: App, params: OfSlot, before: Facts) -> bool:
        workers = driver.workers(params.slot)
        old = {worker["pid"] for worker in before["workers"]}
        fresh = bool(workers) and all(worker.online and worker.pid not in old for worker in workers)
        return fresh and driver.health(params.slot).ok

    def do(self, driver: App, params: OfSlot, before: Facts, call: Call) -> Report:
        driver.pm2.needs_daemon()
        old = {worker["pid"] for worker in before["workers"]}
        workers = driver.workers(params.slot)
        for place, worker in enumerate(workers):
            call.progress(place, len(workers))
            if worker.pid in old:
                fresh = driver.reload_worker(worker.pm_id, old_pid=worker.pid, call=call)
                call.log(f"Worker {worker.pm_id} is process {fresh.pid} now")
        call.progress(len(workers), len(workers))
        return {"workers": [worker.pid for worker in driver.workers(params.slot)]}


class OnTraffic[P: (Weights, OfSlot)](Act["App", P]):
    """An act that divides the service's traffic."""

    undo_title = "Divide the traffic as before"
    timeout_seconds = 90

    def wanted(self, params: P) -> dict[str, int]:
        raise NotImplementedError

    def before(self, driver: App, params: P) -> Report:
        return {"weights": driver.weights(), "serving": driver.serving()}

    def conditions(self, driver: App, params: P) -> list[Condition]:
        present, wanted = driver.weights(), self.wanted(params)
        return [_healthy(driver, slot) for slot in names.SLOTS if wanted[slot] and not present[slot]]

    def sends(self, driver: App, params: P, before: Facts) -> list[str]:
        wanted = self.wanted(params)
        return [
            f"{driver.service}.conf: server 127.0.0.1:{driver.ports[slot]}"
            f" {f'weight={wanted[slot]}' if wanted[slot] else 'down'}; # slot {slot}"
            for slot in names.SLOTS
        ] + [
            "nginx -t",
            f"kill -HUP $(cat {driver.nginx.prefix}/nginx.pid)",
            f"GET {driver.nginx.url}/__edge/generation",
        ]

    def done(self, driver: App, params: P, before: Facts) -> bool:
        return driver.weights() == self.wanted(params) and driver.nginx.in_force()

    def do(self, driver: App, params: P, before: Facts, call: Call) -> Report:
        driver.nginx.master()  # an edge that does not run is waited for, whatever the slots say
        done = driver.shift(self.wanted(params), call.token, call=call)
        return {"generation": done.generation, "weights": self.wanted(params)}

    def undo(self, driver: App, params: P, before: Facts, call: Call) -> Report:
        done = driver.shift(before["weights"], call.token, call=call)
        return {"generation": done.generation, "weights": before["weights"]}


class Shift(OnTraffic[Weights]):
    """Divide the service's requests between its slots."""

    name = "shift"
    title = "Shift traffic to a:{a} and b:{b}"
    summary = (
        "The edge divides the requests of this service between its two slots in these parts. A slot that gets its "
        "first traffic must answer well on its own port. Users get the other version, and notice if it is worse."
    )
    risk = Risk.HIGH
    Parameters = Weights

    def check(self, params: Weights) -> None:
        names.weights(self.wanted(params))

    def wanted(self, params: Weights) -> dict[str, int]:
        return {"a": params.a, "b": params.b}


class ReturnToSlot(OnTraffic[OfSlot]):
    """Send all traffic to the slot whose version still runs."""

    name = "return-to-slot"
    title = "Return all traffic to slot {slot}"
    summary = (
        "All requests of this service go to this slot, whose version still runs: the way back from a bad release, in "
        "one switch. It must run with all its instances and answer well on its own port. The other slot keeps "
        "running, without traffic."
    )
    risk = Risk.MEDIUM
    Parameters = OfSlot

    def conditions(self, driver: App, params: OfSlot) -> list[Condition]:
        return [_complete(driver, params.slot), _healthy(driver, params.slot)]

    def wanted(self, params: OfSlot) -> dict[str, int]:
        return {slot: 100 if slot == params.slot else 0 for slot in names.SLOTS}


ACTS: tuple[Act[Any, Any], ...] = (Reload(), ReturnToSlot(), Shift(), StartSlot(), StopSlot())
