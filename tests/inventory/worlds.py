"""The worlds of the plans on components: the reload's process manager in memory, and each driver's simulated world."""

from __future__ import annotations

import itertools
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from drivers.acts import Act
from drivers.base import PermanentError
from inventory.models import Component
from inventory.plans import DriverPlan, Reload, SwitchOver
from operations.plan import Plan, StepDraft
from tests import world as cast
from tests.drivers.contract import World as DriverWorld
from tests.drivers.contract import worlds as simulated_worlds
from tests.drivers.simulated.mariadb import SimulatedWorld as MariaDBWorld
from tests.operations.worlds import World


@dataclass(frozen=True)
class SimulatedWorker:
    pm_id: int
    pid: int
    version: str | None = "1.0.0"
    online: bool = True


@dataclass(frozen=True)
class SimulatedHealth:
    ok: bool
    version: str | None = "1.0.0"
    error: str | None = None


class SimulatedManager:
    """PM2 in memory, with the driver's own rules about repeating."""

    def __init__(self, workers: int) -> None:
        self.pids = itertools.count(100)
        self.running = {pm_id: SimulatedWorker(pm_id, next(self.pids)) for pm_id in range(workers)}
        self.reloads: list[int] = []

    def reload(self, pm_id: int, *, old_pid: int | None = None) -> SimulatedWorker:
        if pm_id not in self.running:
            raise PermanentError(f"pm2 has no process {pm_id}")
        before = self.running[pm_id]
        if old_pid is not None and before.online and before.pid != old_pid:
            return before
        self.reloads.append(pm_id)
        self.running[pm_id] = replace(before, pid=next(self.pids), online=True)
        return self.running[pm_id]


class SimulatedApp:
    """``drivers.app.App`` as far as a reload uses it. Faults are seeded by setting ``answers`` or a worker."""

    def __init__(self, workers: int = 2) -> None:
        self.pm2 = SimulatedManager(workers)
        self.answers: list[bool] = []
        self.ill = False

    def serving(self) -> str:
        return "a"

    def workers(self, slot: str) -> list[SimulatedWorker]:
        return list(self.pm2.running.values())

    def health(self, slot: str) -> SimulatedHealth:
        ok = self.answers.pop(0) if self.answers else not self.ill and any(w.online for w in self.workers(slot))
        return SimulatedHealth(ok, error=None if ok else "/healthz answered 500")

    def reload_worker(self, pm_id: int, *, old_pid: int | None = None) -> SimulatedWorker:
        fresh = self.pm2.reload(pm_id, old_pid=old_pid)
        if not self.health("a").ok:
            raise PermanentError("slot a is not healthy after its reload")
        return fresh

    def start_slot(self, slot: str, version: str) -> list[SimulatedWorker]:
        self.pm2.running = {pm_id: SimulatedWorker(pm_id, next(self.pm2.pids), version) for pm_id in range(2)}
        return self.workers(slot)


class ReloadWorld(World):
    def __init__(self) -> None:
        self.app = SimulatedApp()

    def plan(self) -> Plan:
        return Reload(app=lambda key: self.app)

    def subject(self) -> Component:
        return cast.component()

    def picture(self) -> Any:
        return dict(self.app.pm2.running)

    def clean(self, before: Any) -> bool:
        """Old processes cannot come back: as good means the same workers, up, of the same version, and healthy."""
        same = {pm_id: (worker.version, worker.online) for pm_id, worker in self.picture().items()}
        return same == {pm_id: (worker.version, True) for pm_id, worker in before.items()} and self.app.health("a").ok

    def reached(self, before: Any) -> bool:
        now = self.picture()
        return set(now) == set(before) and all(now[pm_id].pid != before[pm_id].pid for pm_id in now)


class DriverActWorld(World):
    """One act of one driver in the driver's own simulated world. Subclasses name both."""

    simulated: type[DriverWorld]
    act: Act[Any, Any]

    def __init__(self) -> None:
        self.place = self.simulated()
        self.place.prepare(self.act)
        self.params = self.place.examples[self.act.name]
        self.seen: dict[str, Any] = {}

    def plan(self) -> Plan:
        world = self

        class Remembering(DriverPlan):
            """Keeps what the act saw, which alone tells later whether its purpose was reached."""

            def draft(self, subject: Component, params: dict[str, Any]) -> list[StepDraft]:
                drafted = super().draft(subject, params)
                world.seen = drafted[0].arguments["before"]
                return drafted

        return Remembering(self.simulated.driver_class, self.act, driver=lambda key: self.place.driver())

    def subject(self) -> Component:
        component = cast.component("staging/us-central/thing")  # in production some would wait for an agreement
        component.connection = "somewhere"
        return component

    def picture(self) -> Any:
        return self.place.picture()

    def clean(self, before: Any) -> bool:
        return self.place.clean(before, self.act)

    def reached(self, before: Any) -> bool:
        return self.act.done(self.place.driver(), self.act.parse(self.params), self.seen)


class SwitchOverWorld(World):
    """Three servers in memory; the second is to take over from the first."""

    params: ClassVar[dict[str, Any]] = {"to": "two"}

    def __init__(self) -> None:
        self.place = MariaDBWorld()
        self.place.cluster.fresh()
        self.place.cluster.server(1).sends = True
        for number in (2, 3):
            self.place.cluster.server(number).acknowledges = True

    def plan(self) -> Plan:
        names = {"one": 1, "two": 2, "three": 3}
        drivers = self.place.cluster.driver
        return SwitchOver(members=lambda key: {name: drivers(number) for name, number in names.items()})

    def subject(self) -> Component:
        component = cast.component("staging/us-central/database")
        component.connection = "one"
        return component

    def picture(self) -> Any:
        return self.place.picture()

    def reached(self, before: Any) -> bool:
        servers = self.place.cluster.server
        follow = [(one := servers(number).channel) and one.port for number in (1, 3)]
        return [servers(number).read_only for number in (1, 2, 3)] == [True, False, True] and follow == [3302, 3302]


def _driver_worlds() -> dict[str, type[World]]:
    made: dict[str, type[World]] = {}
    for kind, world in simulated_worlds().items():
        for act in world.driver_class.acts:
            name = f"{kind}.{act.name}"
            made[name] = type(f"World of {name}", (DriverActWorld,), {"simulated": world, "act": act})
    return made


WORLDS = {"inventory.reload": ReloadWorld, "mariadb.switch-over": SwitchOverWorld, **_driver_worlds()}
