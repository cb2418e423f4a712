"""All parts of the lab together: which units there are, starting and stopping them, what the portal is told."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import partial
from typing import Any

from lab import broken, files, ports
from lab.apps import Apps
from lab.cache import Cache
from lab.daemon import Daemon
from lab.database import Database
from lab.edge import Edge
from lab.errors import LabError, MissingProgram, NotReady
from lab.layout import ENVIRONMENTS, Lab, cells
from lab.objects import Objects
from lab.unit import Row, Unit

READY_SECONDS = 60.0
_AT_ONCE = 4

Say = Callable[[str], None]


@dataclass(frozen=True)
class Outcome:
    """How the start of one unit ended; `problem` is empty when it is ready."""

    name: str
    seconds: float
    detail: str
    problem: str


class Estate:
    """The units of the selected environments in start order, and what cannot be had because a program is missing."""

    def __init__(self, lab: Lab, environments: Collection[str], numbers: dict[str, int]) -> None:
        self.lab = lab
        self.environments = set(environments)
        self.units: list[Unit] = []
        self.missing: dict[str, str] = {}
        chosen = cells(self.environments)
        for cell in chosen:
            self._add(f"{cell.key}/nginx", partial(Edge, lab, cell, numbers))
        for environment in sorted(self.environments, key=ENVIRONMENTS.index):
            names = [name for name in ports.CACHES if name.startswith(f"{environment}/")]
            self._add(f"{environment} cache", partial(Cache, lab, environment, names, numbers))
        self._add("objects", partial(Objects, lab, numbers, self.environments))
        for cell in chosen:
            self._add(f"{cell.key}/pm2", partial(Apps, lab, cell, numbers))
        if "production" in self.environments:
            self._add("production database", partial(Database, lab, numbers))

    def _add(self, name: str, make: Callable[[], Unit]) -> None:
        try:
            self.units.append(make())
        except MissingProgram as error:
            self.missing[name] = str(error)

    @property
    def daemons(self) -> list[Daemon]:
        """All daemons of all units."""
        return [daemon for unit in self.units for daemon in unit.daemons]

    def of(self, kind: type[Unit]) -> list[Any]:
        """The units of one class."""
        return [unit for unit in self.units if isinstance(unit, kind)]

    def write_connections(self) -> None:
        """Tell the portal where everything is."""
        found: dict[str, Any] = {}
        for unit in self.units:
            found |= unit.connections()
        files.write_json(self.lab.connections, {"version": 1, "connections": found})

    def up(self, owner: str, say: Say, seconds: float = READY_SECONDS) -> list[Outcome]:
        """Start all units, a few at a time, the first in order first; a unit that fails does not stop the others."""
        skip = broken.daemons(self.lab)
        outcomes: list[Outcome] = []
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            waiting = [pool.submit(_start, unit, owner, seconds, skip) for unit in self.units]
            for done in as_completed(waiting):
                outcome = done.result()
                outcomes.append(outcome)
                mark = "FAILED" if outcome.problem else "ready"
                about = outcome.problem or outcome.detail
                say(
                    f"[{len(outcomes):2}/{len(self.units)}] {outcome.name:<28} {mark:<6} {outcome.seconds:5.1f} s"
                    f"  {about}"
                )
        for name, reason in self.missing.items():
            say(f"        {name:<28} left out: {reason}")
        return outcomes

    def down(self, owners: Collection[str]) -> list[str]:
        """Stop what one of `owners` has started; the names of the stopped daemons."""
        if not self.units:
            return []
        with ThreadPoolExecutor(len(self.units)) as pool:
            return sorted(name for names in pool.map(lambda unit: unit.down(owners), self.units) for name in names)

    def rows(self) -> list[Row]:
        """The status table, sorted by environment and component."""
        with ThreadPoolExecutor(8) as pool:
            rows = [row for rows in pool.map(lambda unit: unit.rows(), self.units) for row in rows]
        return sorted(rows, key=lambda row: row.component)


def _start(unit: Unit, owner: str, seconds: float, skip: set[str]) -> Outcome:
    begun = time.monotonic()
    detail = problem = ""
    try:
        try:
            detail = unit.up(owner, seconds, skip)
        except NotReady:
            # Between the probe of a port and its use another program can take it for a moment: once more, then.
            if unit.stopping.is_set() or all(daemon.process() for daemon in unit.daemons if daemon.name not in skip):
                raise
            detail = unit.up(owner, seconds, skip)
    except Exception as error:  # noqa: BLE001 - one unit's failure, of whatever kind, must not keep the others down
        problem = str(error)[:400] or type(error).__name__
    return Outcome(unit.name, time.monotonic() - begun, detail, problem)


def prepare(lab: Lab, environments: Collection[str], base: int = ports.BASE) -> Estate:
    """Choose ports, write the connections file and return the estate; nothing is started yet."""
    lab.root.mkdir(parents=True, exist_ok=True, mode=0o700)
    with files.locked(lab.root / ".selection.lock"):
        selected = lab.selected() | set(environments)
        files.write_json(lab.selection, sorted(selected))
    before = files.read_json(lab.ports, {})
    numbers = ports.allocate(lab, _held(lab, before), base)
    estate = Estate(lab, selected, numbers)
    estate.write_connections()
    return estate


def opened(lab: Lab) -> Estate:
    """The estate as the last start left it; `LabError` when there was none or it was taken down."""
    numbers = ports.known(lab)
    selected = lab.selected()
    if not selected:
        raise LabError("the lab is down: run `manage.py lab up`")
    return Estate(lab, selected, numbers)


def everything(lab: Lab) -> Estate | None:
    """The estate of all environments, to stop whatever runs; None when the lab never ran."""
    numbers = files.read_json(lab.ports, {})
    return None if set(ports.names()) - set(numbers) else Estate(lab, ENVIRONMENTS, numbers)


def _held(lab: Lab, numbers: dict[str, int]) -> set[str]:
    """The port names that the lab's own running daemons hold."""
    estate = everything(lab)
    if estate is None:
        return set()
    running = {daemon.name for daemon in estate.daemons if daemon.process() is not None}
    held = {name for name in numbers if name in running}
    for name in running:
        cell, _, what = name.rpartition("/")
        if what == "pm2":
            held |= {one for one in numbers if one.startswith(f"{cell}/") and one[-2:] in ("-a", "-b")}
        elif name == "objects":
            held |= {f"objects/{part}" for part in ports.OBJECTS}
    return held
