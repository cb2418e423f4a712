"""What can be done to the processes of one PM2 daemon, by the name that PM2 knows them under."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

import msgspec

from drivers.acts import Act, Call, Condition, Parameters, Report, Risk

if TYPE_CHECKING:
    from drivers.pm2.driver import Pm2
    from drivers.pm2.processes import Process

Facts = Mapping[str, Any]
Name = Annotated[
    str,
    msgspec.Meta(
        title="Process",
        description="The name that PM2 lists, such as api-a.",
        pattern=r"^[a-z0-9][a-z0-9._-]{0,62}$",
        max_length=63,
    ),
]
Instances = Annotated[int, msgspec.Meta(title="Instances", description="How many shall run.", ge=1, le=16)]


class Named(Parameters):
    process: Name


class Sized(Parameters):
    process: Name
    instances: Instances


class OnProcess[P: (Named, Sized)](Act["Pm2", P]):
    """An act on all processes of one name. `before` lists them as they were."""

    timeout_seconds: ClassVar[float] = 240
    verb: ClassVar[str]

    def conditions(self, driver: Pm2, params: P) -> list[Condition]:
        driver.needs_daemon()
        found = driver.processes(params.process)
        return [Condition(f"PM2 knows a process {params.process}", bool(found), "it lists none of this name")]

    def before(self, driver: Pm2, params: P) -> Report:
        found = driver.known(params.process)
        return {"processes": [{"pm_id": one.pm_id, "pid": one.pid, "status": one.status} for one in found]}

    def sends(self, driver: Pm2, params: P, before: Facts) -> list[str]:
        return [f"pm2 {self.verb} {one['pm_id']}" for one in before["processes"]]


def _ids(before: Facts, *, online: bool) -> list[int]:
    return [one["pm_id"] for one in before["processes"] if (one["status"] == "online") is online]


def _pids(before: Facts) -> set[int]:
    return {one["pid"] for one in before["processes"]} - {0}


def _report(found: list[Process]) -> Report:
    return {"processes": [{"pm_id": one.pm_id, "pid": one.pid, "status": one.status} for one in found]}


def _online(found: list[Process]) -> Condition:
    lost = [f"process {one.pm_id} is {one.status}" for one in found if not one.online]
    return Condition("all its processes are online", not lost, ", ".join(lost))


class Start(OnProcess[Named]):
    """Start the stopped processes of a name."""

    name = "start"
    title = "Start {process}"
    summary = (
        "The processes of this name that do not run are started from what PM2 remembers of them, and asked on their "
        "own port whether they can serve. If one crashes or does not answer, those just started are stopped again."
    )
    risk = Risk.LOW
    Parameters = Named
    undo_title = "Stop those again that did not run before"
    verb = "start"

    def sends(self, driver: Pm2, params: Named, before: Facts) -> list[str]:
        return [f"pm2 start {pm_id}" for pm_id in _ids(before, online=False)] or ["nothing: all of them run"]

    def done(self, driver: Pm2, params: Named, before: Facts) -> bool:
        return driver.unwell(driver.known(params.process)) is None

    def do(self, driver: Pm2, params: Named, before: Facts, call: Call) -> Report:
        return _report(driver.resume(params.process, call))

    def undo(self, driver: Pm2, params: Named, before: Facts, call: Call) -> Report:
        return _report(driver.stop(params.process, call, _ids(before, online=False)))


class Stop(OnProcess[Named]):
    """Stop all processes of a name."""

    name = "stop"
    title = "Stop {process}"
    summary = (
        "All processes of this name end: each gets 8 seconds to finish what it is at. Nothing answers on their port "
        "afterwards, so users notice unless the edge sends their requests elsewhere. PM2 keeps them in its list."
    )
    risk = Risk.HIGH
    Parameters = Named
    undo_title = "Start those again that ran before"
    verb = "stop"

    def sends(self, driver: Pm2, params: Named, before: Facts) -> list[str]:
        running = [one["pm_id"] for one in before["processes"] if one["status"] != "stopped"]
        return [f"pm2 stop {pm_id}" for pm_id in running] or ["nothing: none of them runs"]

    def done(self, driver: Pm2, params: Named, before: Facts) -> bool:
        return all(one.status == "stopped" for one in driver.known(params.process))

    def do(self, driver: Pm2, params: Named, before: Facts, call: Call) -> Report:
        return _report(driver.stop(params.process, call))

    def undo(self, driver: Pm2, params: Named, before: Facts, call: Call) -> Report:
        return _report(driver.resume(params.process, call, _ids(before, online=True)))


class Reload(OnProcess[Named]):
    """Replace the workers of a name one after another."""

    name = "reload"
    title = "Reload {process}"
    summary = (
        "One worker after another is replaced by a fresh one of the same version; the next one follows only when the "
        "process answers well on its own port. Users notice nothing if it has several workers or ends gracefully. It "
        "stops at the first worker that does not come back well."
    )
    risk = Risk.LOW
    Parameters = Named
    why_no_undo = "The workers that ran before have ended, and what they held in memory with them."
    timeout_seconds = 600
    verb = "reload"

    def conditions(self, driver: Pm2, params: Named) -> list[Condition]:
        found = driver.processes(params.process)
        address = driver.probe(found) if found else None
        why = "it has no PORT, and the connection's probes do not name it"
        return [
            *super().conditions(driver, params),
            _online(found),
            Condition("it can be asked whether it serves", address is not None, why),
        ]

    def done(self, driver: Pm2, params: Named, before: Facts) -> bool:
        found = driver.known(params.process)
        return not _pids(before) & {one.pid for one in found} and driver.unwell(found) is None

    def do(self, driver: Pm2, params: Named, before: Facts, call: Call) -> Report:
        return _report(driver.roll(params.process, _pids(before), call))


class Restart(OnProcess[Named]):
    """End and start all processes of a name at once."""

    name = "restart"
    title = "Restart {process} hard"
    summary = (
        "All processes of this name end and start anew at the same time. Until they are ready nothing answers on "
        "their port, so users notice unless the edge sends their requests elsewhere. Reload is the gentle way."
    )
    risk = Risk.HIGH
    Parameters = Named
    why_no_undo = "The processes that ran before have ended, and what they held in memory with them."
    verb = "restart"

    def done(self, driver: Pm2, params: Named, before: Facts) -> bool:
        found = driver.known(params.process)
        return not _pids(before) & {one.pid for one in found} and driver.unwell(found) is None

    def do(self, driver: Pm2, params: Named, before: Facts, call: Call) -> Report:
        return _report(driver.restart(params.process, _pids(before), call))


class Scale(OnProcess[Sized]):
    """Run more or fewer processes of a name."""

    name = "scale"
    title = "Run {instances} instances of {process}"
    summary = (
        "Processes are added as copies of the first one, or those that came last end gracefully, until so many run. "
        "More take memory on this host; fewer leave each of the others more to do. What is added must answer well on "
        "its own port, or it is removed again."
    )
    risk = Risk.MEDIUM
    Parameters = Sized
    undo_title = "Run as many as before"
    verb = "scale"

    def conditions(self, driver: Pm2, params: Sized) -> list[Condition]:
        return [*super().conditions(driver, params), _online(driver.processes(params.process))]

    def sends(self, driver: Pm2, params: Sized, before: Facts) -> list[str]:
        return [f"pm2 scale {params.process} {params.instances}  # {len(before['processes'])} now"]

    def done(self, driver: Pm2, params: Sized, before: Facts) -> bool:
        found = driver.known(params.process)
        return len(found) == params.instances and driver.unwell(found) is None

    def do(self, driver: Pm2, params: Sized, before: Facts, call: Call) -> Report:
        return _report(driver.scale(params.process, params.instances, call))

    def undo(self, driver: Pm2, params: Sized, before: Facts, call: Call) -> Report:
        return _report(driver.scale(params.process, len(before["processes"]), call))


ACTS: tuple[Act[Any, Any], ...] = (Reload(), Scale(), Start(), Stop(), Restart())
